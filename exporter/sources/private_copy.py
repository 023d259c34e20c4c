"""A private copy of a Chroma directory: the last resort.

It is taken when a collection is written to faster than it can be read in place, when the database is in WAL mode
(where even a reader writes), and when the layout is one that only chromadb knows. It lies in the temporary directory,
for its owner's eyes only, and goes at the end of the read; after a SIGKILL, at the start of the next.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from exporter.errors import SourceError
from exporter.records import Notice, no_notice
from exporter.scratch import scratch, sweep
from exporter.sources import Copied
from exporter.sources.changes import Changed
from exporter.sources.database import FILE, Database, explained, state_of_file, uses_wal
from exporter.sources.faults import Faults
from exporter.sources.hnsw import State, state
from exporter.sources.paging import ClientSource
from exporter.sources.snapshot import SETTLING, is_unrecorded, is_young

PREFIX = "chroma-projector-copy-"
SEGMENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

ATTEMPTS = 10
PAUSE = 0.05  # seconds between them
RESTARTS = 5  # of one backup, which starts over whenever somebody commits
PAGES_A_STEP = 1000  # 4 MB, some milliseconds of lock
UNDER_ONE_LOCK = 16 * 2**20  # bytes: up to here all is copied under one lock, a hundredth of a second


class PrivateCopy(NamedTuple):
    """Where a copy is, and for how many seconds at most a writer was kept waiting while it was made."""

    path: Path
    longest_lock: float


@contextmanager
def private_copy(
    directory: Path, segment: str | None = None, *, why: str = "", notice: Notice = no_notice
) -> Iterator[PrivateCopy]:
    """A copy that nobody else writes to: the database, and the index of one segment, or of all when None is named.

    `notice` is told beforehand, and `why`. Up to `UNDER_ONE_LOCK` bytes the lock lasts as long as the copying does; of
    a bigger directory the database is copied in steps of some milliseconds each, and the index without any lock.

    Raises `SourceError` when there is no room for it, or when the directory is written to without a pause.
    """
    with explained(directory):
        folders = [folder for folder in directory.iterdir() if SEGMENT.fullmatch(folder.name) and folder.is_dir()]
        folders = [folder for folder in folders if segment in (None, folder.name)]
        size = _size_of(directory, folders)
    _refuse_without_room(directory, size)
    if why:
        place = tempfile.gettempdir()
        notice(f"{directory} {why}: a private copy of it is made in {place} ({size / 1e6:,.0f} MB) and read")
    with scratch(Path(tempfile.gettempdir()), PREFIX) as folder:
        folder.chmod(0o700)  # what others may not read there, they may not read here
        copy = folder / "chroma"
        with explained(directory):
            lock = _copy(directory, folders, copy, under_one_lock=size <= UNDER_ONE_LOCK)
        yield PrivateCopy(copy, lock)


def remove_leftovers() -> None:
    """Remove the copies that killed processes left behind."""
    sweep(Path(tempfile.gettempdir()), PREFIX)


@contextmanager
def opened_by_chroma(
    copy: PrivateCopy, location: str, place: str, *database: str, why: str = ""
) -> Iterator[ClientSource]:
    """A private copy as a source that chromadb itself reads: it may migrate the copy, and writes at every opening.

    `database` is a tenant and one of its databases, or nothing for the default; `place` is what errors call it.
    """
    faults = Faults(SourceError, place)
    with faults.told():
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        # who migrates may keep connections that know the tables as they were, and give up on them (1 in 25, under load)
        chromadb.PersistentClient(str(copy.path), settings, *database).close()
        client = chromadb.PersistentClient(str(copy.path), settings, *database)
    with closing(client):
        rule = f"chromadb {chromadb.__version__} on a private copy"
        yield ClientSource(client, location, rule, faults, copied=Copied(why, copy.longest_lock))


def _copy(directory: Path, folders: list[Path], copy: Path, *, under_one_lock: bool) -> float:
    """Make it, and tell the longest lock in seconds, of the attempts that were overtaken too."""
    longest = 0.0
    for _ in range(ATTEMPTS):
        copy.mkdir()
        try:
            _wait_for_persist(directory, folders)
            if uses_wal(directory):
                _copy_wal(directory, folders, copy)
                return longest
            with closing(Database(directory)) as database:
                try:
                    _copy_journaled(database, folders, copy, under_one_lock=under_one_lock)
                finally:
                    longest = max(longest, database.longest_lock)
                return longest
        except Changed:
            shutil.rmtree(copy)
            time.sleep(PAUSE)
    raise SourceError(
        f"{directory} is written to faster than it can be read ({ATTEMPTS} copies were overtaken); "
        "stop the writer for a moment, or export from a copy that was made while it was stopped"
    )


def _copy_journaled(database: Database, folders: list[Path], copy: Path, *, under_one_lock: bool) -> None:
    with database.transaction() if under_one_lock else nullcontext():
        before = _states(folders)
        if _is_unrecorded(database.file.parent, folders):
            raise Changed
        with closing(sqlite3.connect(copy / FILE)) as target:
            target.execute("PRAGMA synchronous = OFF")
            database.back_up(target, pages=-1 if under_one_lock else PAGES_A_STEP, progress=_stop_after(RESTARTS))
        _copy_folders(folders, copy)
        # an index that was not persisted meanwhile belongs to whatever commit the backup ended on
        if _states(folders) != before:
            raise Changed


def _copy_wal(directory: Path, folders: list[Path], copy: Path) -> None:
    files = [file for name in (FILE, f"{FILE}-wal") if (file := directory / name).exists()]
    before = [file.stat().st_mtime_ns for file in files], _states(folders)
    for file in files:
        _copy_file(file, copy)
    _copy_folders(folders, copy)
    if ([file.stat().st_mtime_ns for file in files], _states(folders)) != before:
        raise Changed
    with closing(sqlite3.connect(copy / FILE)) as database:
        database.execute("PRAGMA journal_mode = DELETE")  # puts into the copy what its -wal holds


def _stop_after(restarts: int) -> Callable[[int, int, int], None]:
    """A backup's progress callback that ends it when it was started over too often."""
    last: int | None = None

    def progress(_status: int, remaining: int, _total: int) -> None:
        nonlocal restarts, last
        restarts -= last is not None and remaining >= last
        last = remaining
        if restarts < 0:
            raise Changed

    return progress


def _wait_for_persist(directory: Path, folders: list[Path]) -> None:
    deadline = time.monotonic() + SETTLING
    while _is_unrecorded(directory, folders) and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_unrecorded(directory: Path, folders: list[Path]) -> bool:
    return any(is_young(files) and is_unrecorded(files, directory / FILE) for files in _states(folders))


def _states(folders: list[Path]) -> list[State]:
    return [state(folder) for folder in folders]


def _copy_folders(folders: list[Path], copy: Path) -> None:
    for folder in folders:
        shutil.copytree(folder, copy / folder.name, copy_function=_copy_file)


def _copy_file(file: str | Path, copy: str | Path) -> None:
    state_of_file(Path(file))
    shutil.copy2(file, copy)


def _size_of(directory: Path, folders: list[Path]) -> int:
    files = [directory / FILE, *directory.glob(f"{FILE}-wal")]
    for folder in folders:
        files += folder.iterdir()
    return sum(file.stat().st_size for file in files)


def _refuse_without_room(directory: Path, size: int) -> None:
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if size > free:
        raise SourceError(
            f"{directory} has to be copied to be read, which takes {size / 1e6:,.0f} MB, and {place} has "
            f"{free / 1e6:,.0f} MB free; free some, or set TMPDIR to a bigger disk"
        )
