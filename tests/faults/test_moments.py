"""Sources that vanish, and clocks that jump, while an export is at work."""

import os
import shutil
import time
from itertools import count

import pytest

from exporter import export
from exporter.errors import SourceError
from exporter.runs.verify import faults
from tests.conftest import collection, write_chroma
from tests.faults.conftest import files
from tests.serving.little_runs import runs_of

ROWS = 2500


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """A collection that is read in several batches, most of it from its index."""
    return write_chroma(tmp_path_factory.mktemp("longer") / "db", collection(rows=ROWS, dimension=4))


def whole(folder):
    shutil.rmtree(folder)


def database(folder):
    (folder / "chroma.sqlite3").unlink()


def index(folder):
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def emptied(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


@pytest.mark.parametrize("points", [100, 5000], ids=["read twice", "read once"])
@pytest.mark.parametrize("gone", [whole, database, index, emptied], ids=lambda gone: gone.__name__)
def test_a_source_that_vanishes(longer, tmp_path, gone, points):
    """Whenever a source vanishes, what comes is a whole run of what was read, or one line; never a part of a run."""
    vector = tmp_path / "q.json"
    vector.write_text("[0, 0, 0, 1]")
    ended = []
    for moment in count():
        source = shutil.copytree(longer, tmp_path / "db")
        logdir = tmp_path / "logs"
        calls = count()

        def vanish(*_, moment=moment, source=source, calls=calls):
            if next(calls) == moment:
                gone(source)

        try:
            run = export(
                source,
                question_vector=vector,
                logdir=logdir,
                run="a",
                max_points=points,
                projection="none",
                progress=vanish,
            )
        except SourceError:
            ended.append("told")
            assert not logdir.exists()
        else:
            ended.append("whole")
            assert faults(run.path) == []
            assert run.facts["source"]["rows"] == ROWS
            shutil.rmtree(logdir)
        shutil.rmtree(source, ignore_errors=True)
        if next(calls) <= moment:  # there was no such moment any more
            break
    assert len(ended) > 3
    assert ended[-1] == "whole"
    print(f"{gone.__name__}: {', '.join(ended)}")


YEAR = 365 * 24 * 3600.0


@pytest.mark.parametrize("jump", [-60 * YEAR, -YEAR, -3600, 3600, YEAR, 60 * YEAR, 90 * YEAR])
def test_a_clock_that_jumps(chroma, vector, tmp_path, monkeypatch, serve, jump):
    """A clock that jumps in the middle of an export, or between two, spoils no run and no server."""
    true, calls = time.time, count()
    asked = {"question_vector": vector, "logdir": tmp_path / "logs", "projection": "none"}
    one = export(chroma, run="one", **asked)
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: true() + (max(jump, 1 - true()) if next(calls) % 3 else 0))
        two = export(chroma, run="two", **asked)
    assert next(calls) > 1
    again = export(chroma, run="one", overwrite=True, **asked)
    assert faults(again.path) == faults(two.path) == []
    assert files(one.path / "assets") == files(two.path / "assets")
    assert sorted(runs_of(serve(tmp_path / "logs"))) == ["one", "two"]


@pytest.mark.parametrize("written", [0, time.time() + 3 * YEAR], ids=["1970", "the future"])
def test_files_of_another_time(longer, tmp_path, written):
    """A source whose files bear a time that can't be, as a clock set them, is read all the same."""
    source = shutil.copytree(longer, tmp_path / "db")
    for path in source.rglob("*"):
        os.utime(path, (written, written))
    vector = tmp_path / "q.json"
    vector.write_text("[0, 0, 0, 1]")
    start = time.monotonic()
    run = export(source, question_vector=vector, logdir=tmp_path / "logs", projection="none")
    assert faults(run.path) == []
    assert time.monotonic() - start < 60
