"""A run is whole or absent, and a rewritten one is the old or the new, at every moment.

Everything is written into a staging folder beside the log directory: TensorBoard walks all that is inside it, hidden or
not. One atomic step then publishes: a rename, or, over an old run, an exchange of the two directories. The staging
folder holds a lock while its export lives, so what a killed one left behind is known, and swept or finished at the
next start.

Two cases can't be atomic, and are finished at the next start if they are cut short. Where the file system can't
exchange, the old run is moved aside first. Where no sibling of the log directory can be had (it is a mount point, or
its parent can't be written), staging is inside, with the events file under another name until the move is done.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporter.errors import OutputError
from exporter.runs.manifest import MANIFEST
from exporter.runs.projector import MARK, PENDING
from exporter.scratch import scratch, sweep

_NEW = "run"
_OLD = "old"
_PLAN = "publishing.json"


@dataclass(frozen=True)
class Staging:
    """A run being written: `folder` is where its files go, `target` where they will be."""

    folder: Path
    target: Path
    overwrite: bool

    @property
    def inside(self) -> bool:
        """Is the staging folder inside the log directory, where TensorBoard sees it?"""
        return self.folder.parent.parent == self.target.parent

    @property
    def mark(self) -> str:
        """What its events file bears in its name until it is published."""
        return PENDING if self.inside else MARK

    def publish(self) -> None:
        """Make the run visible, in one step where the file system can. Raises OutputError when it can't be done."""
        staging = self.folder.parent
        hidden = [events.name.replace(PENDING, MARK) for events in self.folder.glob(f"*{PENDING}*")]
        (staging / _PLAN).write_text(json.dumps({"target": self.target.name, "events": hidden}))
        _sync_tree(staging)
        try:
            _move(staging, self.target, self.overwrite)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise OutputError(f"the run {self.target} exists: another export has just made it") from error
            raise output_error(self.target, error) from error
        _show_events(self.target, hidden)
        sync(self.target.parent)


@contextmanager
def stage(logdir: Path, name: str, *, overwrite: bool = False) -> Iterator[Staging]:
    """A place to write the run `name` of a log directory; gone at the end, whatever happens.

    Finishes or sweeps first what killed exports of this log directory left. Raises OutputError when the run exists
    and may not be overwritten, and when the log directory can't be made or written.
    """
    logdir = logdir.absolute()
    check_target(logdir, name, overwrite=overwrite)
    tidy = partial(_finish, logdir)
    try:
        make_log_directory(logdir)
        beside = staging_parent(logdir)
        if beside != logdir:  # what was begun inside when no sibling could be had
            sweep(logdir, _prefix(logdir), tidy)
        with scratch(beside, _prefix(logdir), tidy) as folder:
            (folder / _NEW).mkdir()
            yield Staging(folder / _NEW, logdir / name, overwrite)
    except OSError as error:
        raise output_error(logdir, error) from error


def make_log_directory(logdir: Path) -> None:
    """With a .gitignore where it is new: runs hold texts of documents, and are large."""
    if not logdir.exists():
        logdir.mkdir(parents=True, exist_ok=True)
        (logdir / ".gitignore").write_text("# runs hold the texts of documents\n*\n", encoding="utf-8")


def check_target(logdir: Path, name: str, *, overwrite: bool) -> None:
    """Raise OutputError when the run can't be written there, as far as that shows beforehand. Creates nothing."""
    target = logdir / name
    if os.path.lexists(target):
        if not overwrite:
            raise OutputError(f"the run {target} exists: use --overwrite to replace it, or another --run NAME")
        if not (target / MANIFEST).is_file():
            raise OutputError(
                f"{target} exists and is not a run of ours, so it is not replaced: use another --run NAME"
            )
    existing = next(place for place in (logdir, *logdir.absolute().parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"the log directory {logdir} can't be written: use another --logdir")


def output_error(place: Path, error: OSError, instead: str = "use another --logdir") -> OutputError:
    """An OSError while writing, in one line with the next step."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"the disk is full: {place} can't be written; free some space, or {instead}")
    return OutputError(f"{place} can't be written ({error.strerror or error}): {instead}")


def sync(path: Path) -> None:
    """Have the file or directory on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _prefix(logdir: Path) -> str:
    return f".{logdir.name}.staging-"


def staging_parent(logdir: Path) -> Path:
    """Beside the log directory; inside where that is another file system, or can't be written."""
    beside = logdir.parent
    writable = os.access(beside, os.W_OK | os.X_OK)
    return beside if writable and beside.stat().st_dev == logdir.stat().st_dev else logdir


def _move(staging: Path, target: Path, overwrite: bool) -> None:
    if not overwrite or not target.exists():
        (staging / _NEW).rename(target)  # fails over a run that another export published meanwhile
    elif not _exchange(staging / _NEW, target):
        target.rename(staging / _OLD)
        (staging / _NEW).rename(target)


def _finish(logdir: Path, staging: Path) -> None:
    """Do what is left of a publishing that began, then remove the staging folder. Safe to repeat."""
    if (staging / _PLAN).exists():
        with suppress(ValueError, KeyError, TypeError):
            plan = json.loads((staging / _PLAN).read_text())
            target = logdir / Path(plan["target"]).name
            if (staging / _OLD).exists() and not target.exists():  # the old run was moved aside, the new one not in yet
                (staging / (_NEW if (staging / _NEW).exists() else _OLD)).rename(target)
            _show_events(target, plan["events"])
    # First of all: of a run that goes file by file TensorBoard would show half.
    for events in staging.rglob(f"*{MARK}*"):
        events.unlink(missing_ok=True)
    shutil.rmtree(staging, ignore_errors=True)


def _show_events(run: Path, names: list[str]) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            (run / name.replace(MARK, PENDING)).rename(run / name)


def _sync_tree(folder: Path) -> None:
    for inside, _, files in os.walk(folder):
        for file in files:
            sync(Path(inside) / file)
        sync(Path(inside))


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories in one step; False where the system can't.

    Linux: renameat2(2) with RENAME_EXCHANGE; macOS: renamex_np(2) with RENAME_SWAP.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    here, there = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        return hasattr(libc, "renamex_np") and libc.renamex_np(here, there, 2) == 0
    at_cwd = -100
    return hasattr(libc, "renameat2") and libc.renameat2(at_cwd, here, at_cwd, there, 2) == 0
