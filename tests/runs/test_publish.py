"""A run is whole or absent, and a rewritten one is the old or the new."""

import errno
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from exporter.errors import OutputError
from exporter.runs import publish
from tests.runs.conftest import make_run


def litter(tmp_path):
    return [path for path in tmp_path.rglob(".*") if "staging" in path.name]


def put(logdir, name, text, overwrite=False):
    with publish.stage(logdir, name, overwrite=overwrite) as staging:
        (staging.folder / "manifest.json").write_text(text)
        (staging.folder / f"events.out.{staging.mark}.1.x").write_text(text)
        staging.publish()


def content(logdir, name):
    return (logdir / name / "manifest.json").read_text()


def test_new_and_replaced(tmp_path):
    """A run appears, is replaced when that was asked for, and nothing else is left."""
    put(tmp_path / "logs", "a", "one")
    put(tmp_path / "logs", "a", "two", overwrite=True)
    assert content(tmp_path / "logs", "a") == "two"
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [".gitignore", "a"]
    assert litter(tmp_path) == []


def test_existing_runs_are_kept(tmp_path):
    """A run is not replaced unasked, and a folder that is no run of ours never."""
    put(tmp_path / "logs", "a", "one")
    with pytest.raises(OutputError, match="--overwrite"):
        put(tmp_path / "logs", "a", "two")
    (tmp_path / "logs" / "mine").mkdir()
    with pytest.raises(OutputError, match="not a run of ours"):
        put(tmp_path / "logs", "mine", "two", overwrite=True)
    assert content(tmp_path / "logs", "a") == "one"


def test_a_run_published_meanwhile_is_kept(tmp_path):
    """Two exports of one name without --overwrite: the second to finish fails, and the first one's run stays."""
    with (
        pytest.raises(OutputError, match="another export has just made it"),
        publish.stage(tmp_path / "logs", "a") as staging,
    ):
        put(tmp_path / "logs", "a", "first")
        (staging.folder / "manifest.json").write_text("second")
        staging.publish()
    assert content(tmp_path / "logs", "a") == "first"
    assert litter(tmp_path) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_after_a_failure(tmp_path, failure):
    """Whatever ends an export, the old run stays and no staging folder does."""
    put(tmp_path / "logs", "a", "one")
    with pytest.raises(failure), publish.stage(tmp_path / "logs", "a", overwrite=True) as staging:
        (staging.folder / "manifest.json").write_text("two")
        raise failure
    assert content(tmp_path / "logs", "a") == "one"
    assert litter(tmp_path) == []


def test_where_directories_cannot_be_exchanged(tmp_path, monkeypatch):
    """Without an atomic exchange the old run is moved aside, and is back, or the new one in, at the next start."""
    monkeypatch.setattr(publish, "_exchange", lambda one, other: False)
    put(tmp_path / "logs", "a", "one")
    put(tmp_path / "logs", "a", "two", overwrite=True)
    assert content(tmp_path / "logs", "a") == "two"
    staging = tmp_path / ".logs.staging-dead"
    for left in ("run", "old"):
        (staging / left).mkdir(parents=True)
        (staging / left / "manifest.json").write_text(left)
    (tmp_path / "logs" / "b").mkdir()
    (tmp_path / "logs" / "b").rmdir()
    (staging / "publishing.json").write_text('{"target": "b", "events": []}')
    put(tmp_path / "logs", "c", "three")
    assert content(tmp_path / "logs", "b") == "run"
    assert litter(tmp_path) == []


def test_staging_inside_the_log_directory(tmp_path, monkeypatch):
    """Where no sibling can be had, staging is inside: no events file under its own name there, and the run is whole."""
    monkeypatch.setattr(publish, "staging_parent", lambda logdir: logdir)
    seen = []
    move = publish._move
    monkeypatch.setattr(
        publish, "_move", lambda staging, *rest: (seen.extend((staging / "run").iterdir()), move(staging, *rest))
    )
    put(tmp_path / "logs", "a", "one")
    put(tmp_path / "logs", "a", "two", overwrite=True)
    assert not any("tfevents" in path.name for path in seen)
    assert (tmp_path / "logs" / "a" / "events.out.tfevents.1.x").read_text() == "two"
    assert litter(tmp_path) == []


def test_cut_short_inside(tmp_path, monkeypatch):
    """An export killed between the move and the renaming of its events file is finished at the next start."""
    logdir = tmp_path / "logs"
    put(logdir, "a", "one")
    events = logdir / "a" / "events.out.tfevents.1.x"
    events.rename(logdir / "a" / "events.out.pending..1.x")
    staging = logdir / ".logs.staging-dead"
    staging.mkdir()
    (staging / "publishing.json").write_text('{"target": "a", "events": ["events.out.tfevents.1.x"]}')
    put(logdir, "b", "two")
    assert events.read_text() == "one"
    assert litter(tmp_path) == []


def test_a_living_export_is_left_alone(tmp_path):
    """The staging folder of an export that lives is not swept by another one."""
    with publish.stage(tmp_path / "logs", "a") as staging:
        put(tmp_path / "logs", "b", "two")
        assert staging.folder.is_dir()
        (staging.folder / "manifest.json").write_text("one")
        staging.publish()
    assert content(tmp_path / "logs", "a") == "one"


def test_what_a_killed_export_left_is_swept(tmp_path):
    """The staging folder of a killed export is gone after the next one."""
    script = f"""
    import os, pathlib
    from exporter.runs.publish import stage
    with stage(pathlib.Path({str(tmp_path / "logs")!r}), "a") as staging:
        (staging.folder / "half").write_text("x")
        print("there", flush=True)
        os.read(0, 1)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    assert litter(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    put(tmp_path / "logs", "b", "two")
    assert litter(tmp_path) == []


def test_full_disk_and_no_permission():
    """A full disk is told as one, and other reasons in the system's words."""
    assert "disk is full" in str(publish.output_error("logs", OSError(errno.ENOSPC, "No space left")))
    assert "Permission denied" in str(publish.output_error("logs", OSError(errno.EACCES, "Permission denied")))


def test_unwritable_log_directory(tmp_path, monkeypatch):
    """A log directory that can't be written, or is a file, is refused beforehand, and nothing is created."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        publish.check_target(tmp_path / "file", "a", overwrite=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="can't be written"):
        publish.check_target(tmp_path / "logs", "a", overwrite=False)
    assert not (tmp_path / "logs").exists()


def test_a_real_run(tmp_path):
    """A run filled in staging arrives file by file as it was."""
    with publish.stage(tmp_path / "logs", "a") as staging:
        staging.folder.rmdir()
        make_run(staging.folder)
        files = {path.relative_to(staging.folder) for path in staging.folder.rglob("*")}
        staging.publish()
    assert {path.relative_to(tmp_path / "logs" / "a") for path in (tmp_path / "logs" / "a").rglob("*")} == files
