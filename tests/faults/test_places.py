"""Log directories on full, read-only and other file systems, and names of all kinds."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from exporter import export, share
from exporter.errors import OutputError
from exporter.runs import publish
from exporter.runs.verify import faults
from tests.faults.conftest import files
from tests.serving.little_runs import get, runs_of

PAGE = 4096


@pytest.fixture
def ask(chroma, vector):
    """An export of the small collection into a log directory."""

    def export_to(logdir, run="a", **options):
        given = {"answer": "text 7", "overwrite": True, "projection": "none", **options}
        return export(chroma, question_vector=vector, logdir=logdir, run=run, **given)

    return export_to


def fill(place, pages):
    """Fill a file system but for so many pages."""
    (place / "filler").unlink(missing_ok=True)
    room = os.statvfs(place)
    (place / "filler").write_bytes(bytes(max(0, room.f_bavail * room.f_bsize - pages * PAGE)))


@pytest.mark.parametrize("inside", [False, True], ids=["beside", "mount point"])
def test_a_disk_that_fills_up_at_each_file(mount, ask, monkeypatch, inside):
    """Wherever the disk fills up while a run is written, the old run stays byte by byte, and nothing else does."""
    disk = mount("disk", "size=1m")
    logdir = disk if inside else disk / "logs"
    ask(logdir)
    before, beside = files(logdir / "a"), sorted(path.name for path in logdir.iterdir())
    reached: set[int] = set()
    tidy = publish._finish

    def note(logs, staging):
        reached.add(sum(path.is_file() for path in (staging / "run").rglob("*")))
        tidy(logs, staging)

    monkeypatch.setattr(publish, "_finish", note)
    for pages in range(100):
        fill(disk, pages)
        with suppress(OutputError):
            ask(logdir)
            break
        assert files(logdir / "a") == before
        left = sorted(path.name for path in logdir.iterdir())
        assert [name for name in left if name != "filler"] == beside
    assert pages > 8
    assert len(reached) >= 5  # so many files were begun when it was full
    assert faults(logdir / "a") == []
    fill(disk, 0)
    with pytest.raises(OutputError, match="the disk is full"):
        ask(logdir)
    print(f"{pages + 1} times full, with {', '.join(map(str, sorted(reached)))} files begun")


def test_a_disk_that_fills_up_while_sharing(mount, ask, tmp_path):
    """What is shared onto a full disk leaves the older file as it was, and no other."""
    disk = mount("disk", "size=6m")
    run = ask(tmp_path / "logs")
    for name in ("run.html", "run.zip"):
        shared = share(run.path, disk / name)
        before = shared.read_bytes()
        fill(disk, 2)
        with pytest.raises(OutputError, match="full"):
            share(run.path, shared)
        assert shared.read_bytes() == before
        assert sorted(path.name for path in disk.iterdir()) == ["filler", name]
        (disk / "filler").unlink()
        shared.unlink()


def test_a_full_cache(mount, demo_directory, tmp_path, monkeypatch):
    """A cache that can't be written costs time, and nothing else."""
    disk = mount("cache", "size=64k")
    fill(disk, 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
    run = export(demo_directory, question="How do I pause?", logdir=tmp_path / "logs", projection="none")
    assert faults(run.path) == []


def test_a_read_only_log_directory(mount, ask, command, serve, chroma, vector):
    """Runs on a read-only file system can be verified, drawn, shared and served; an export there is one line."""
    disk = mount("disk", "size=4m")
    run = ask(disk / "logs", projection="auto")
    before = files(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = command("export", chroma, "--question-vector", vector, "--logdir", disk / "logs", "--run", "b")
    assert (done.code, done.err.count("\n")) == (7, 1)
    assert "can't be written" in done.err
    assert command("verify", run.path).code == 0
    assert command("plot", run.path, "-o", "a.svg").code == 0
    assert command("share", run.path, "-o", "a.html").code == 0
    assert runs_of(serve(disk / "logs")) == ["a"]
    assert files(disk) == before


@pytest.mark.parametrize("where", ["the mount point", "below it"])
def test_another_file_system(mount, ask, serve, tmp_path, where):
    """A log directory on another file system: runs are new, replaced, and served, and nothing is left over."""
    disk = mount("disk", "size=8m")
    logdir = disk if where == "the mount point" else disk / "logs"
    ask(logdir, answer="text 3")
    server = serve(logdir)
    ask(logdir, answer="text 7")
    ask(logdir, "b")
    assert [faults(logdir / name) for name in "ab"] == [[], []]
    assert sorted(path.name for path in logdir.iterdir() if path.name != ".gitignore") == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "question.json"]
    deadline = time.monotonic() + 60
    while runs_of(server) != ["b", "a"] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sorted(runs_of(server)) == ["a", "b"]


KILLED = """
import os, sys
from pathlib import Path
from exporter.runs import publish
import exporter
import numpy
moves = int(sys.argv[4])
real = os.rename
def rename(*arguments, **keywords):
    global moves
    moves -= 1
    if moves < 0:
        os.kill(os.getpid(), 9)
    return real(*arguments, **keywords)
Path.rename = lambda self, target: (rename(self, target), Path(target))[1]
publish._exchange = lambda one, other: False
exporter.export(sys.argv[1], question_vector=sys.argv[2], logdir=sys.argv[3], run="a", overwrite=True,
                projection="none", answer="text 3")
"""


def test_killed_at_each_step_where_nothing_is_atomic(mount, ask, chroma, vector):
    """On a mount point that knows no exchange, a kill at each rename leaves what the next export mends; no half run."""
    disk = mount("disk", "size=8m")
    ask(disk)
    killed = 0
    for step in range(40):
        done = subprocess.run([sys.executable, "-c", KILLED, chroma, vector, disk, str(step)], capture_output=True)
        for events in disk.rglob("*tfevents*"):  # what TensorBoard would list: the run, or the old one put aside
            assert faults(events.parent) == []
        if done.returncode == 0:
            break
        assert done.returncode == -9
        killed += 1
        ask(disk, "b")
        assert faults(disk / "a") == []
        shutil.rmtree(disk / "b")
        assert sorted(path.name for path in disk.iterdir() if path.name != ".gitignore") == ["a"]
    assert killed >= 4


NAMES = ["with spaces", 'quote\'s "and" $HOME `x`', "Übung 日本 ★", "-dash", "new\nline", "#&%+?", "a" * 200]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_folders(ask, command, chroma, serve, vector, tmp_path, name):
    """Folders of any name can hold a collection, a log directory, and what is shared."""
    source = shutil.copytree(chroma, tmp_path / name / "db")
    logdir = tmp_path / name / "logs"
    run = export(source, question_vector=vector, logdir=logdir, run="a", projection="none")
    assert faults(run.path) == []
    assert share(run.path, tmp_path / name / f"{name[:50].strip('-')}.html").stat().st_size > 100_000
    server = serve(logdir)
    assert runs_of(server) == ["a"]
    assert get(server, "metadata", run="a", name=run.facts["tensors"][0]["name"])[0] == 200


def test_a_name_that_is_no_text(chroma, vector, command, tmp_path):
    """A folder whose name is no UTF-8 can be read from; TensorBoard can't serve it, so none is written to."""
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    source = shutil.copytree(chroma, strange / "db\udcff")
    done = command("export", source, "--question-vector", vector, "--projection", "none", "--run", "a")
    assert done.code == 0, done.err
    assert faults(tmp_path / "logs" / "a") == []
    done = command("export", source, "--question-vector", vector, "--projection", "none", "--logdir", strange / "logs")
    assert (done.code, done.err.count("\n")) == (7, 1)
    assert not list((strange / "logs").rglob("manifest.json"))
