"""One read-only connection to `chroma.sqlite3`, and what SQLite's errors mean for its owner.

Chroma writes with a rollback journal, so a reader's lock makes the next commit wait. Every statement here is fetched
to its end before it returns, and no lock outlives the call or the `transaction` it was taken in.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from exporter.bounded import never_ends
from exporter.errors import SourceError

FILE = "chroma.sqlite3"
BUSY_TIMEOUT = 5.0  # seconds to wait for a writer's commit
LFS_POINTER = b"version https://git-lfs"
MAGIC = b"SQLite format 3\0"
clock = time.perf_counter


class Database:
    """A connection that can only read. Close it on every way out: a leaked one can freeze the user's writer.

    Raises `SourceError` where SQLite can't read the file. Nothing is created beside it: the file must exist, and must
    not be in WAL mode (`uses_wal`), as SQLite makes a `-shm` file even for a reader. `longest_lock`, and
    `recent_lock`, which its owner sets back, say for how many seconds a lock was held at most.
    """

    def __init__(self, directory: Path) -> None:
        self.longest_lock = self.recent_lock = 0.0
        self.file = directory / FILE
        _refuse_what_is_no_database(self.file)
        # never immutable=1: it ignores the locks and the journal of a living writer
        uri = f"file:{quote(os.fsencode(self.file.absolute()))}?mode=ro"
        with explained(self.file):
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT)
            try:
                self._connection.execute("PRAGMA query_only = 1")
                self._refuse_a_cut()
            except BaseException:  # no caller has it yet, to close it
                self._connection.close()
                raise

    def _refuse_a_cut(self) -> None:
        """SQLite misses whole pages only, and takes the end of one that is cut for zeros."""
        with self.transaction():
            size = self.file.stat().st_size
            if size % self.select("PRAGMA page_size")[0][0]:
                raise SourceError(
                    f"{self.file} is damaged (it is cut off after {size:,} bytes); restore it from a backup"
                )

    def select(self, sql: str, *values: object) -> list[Any]:
        """All rows of one statement, as tuples."""
        with explained(self.file), self.transaction():
            return self._connection.execute(sql, values).fetchall()

    def version(self) -> int:
        """A number that differs from the last one when another connection has committed in between."""
        with explained(self.file):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is selected inside belongs to one point in time. Keep it short: writers wait. One may hold another."""
        if self._connection.in_transaction:
            yield
            return
        with explained(self.file), _no_garbage_collection():
            self._connection.execute("BEGIN")
            try:
                self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # waits, and takes the lock
                start = clock()
                yield
            finally:
                self._connection.rollback()
            self._note(clock() - start)

    def back_up(self, target: sqlite3.Connection, pages: int, progress: Callable[[int, int, int], None]) -> None:
        """Copy the whole database, so many pages under one lock (-1: all of them)."""
        start = clock()

        def noted(*numbers: int) -> None:
            nonlocal start
            self._note(clock() - start)
            progress(*numbers)
            start = clock()

        with explained(self.file):
            self._connection.backup(target, pages=pages, progress=noted, sleep=0.01)

    def _note(self, lock: float) -> None:
        self.longest_lock = max(self.longest_lock, lock)
        self.recent_lock = max(self.recent_lock, lock)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()


def uses_wal(directory: Path) -> bool:
    """Whether the database is, or was left, in WAL mode. Chroma never uses it, other tools do."""
    file = directory / FILE
    if (directory / f"{FILE}-wal").exists():
        return True
    with explained(file), file.open("rb") as stream:
        return stream.read(20)[18:20] == b"\x02\x02"  # https://www.sqlite.org/fileformat.html, 1.3.3


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """It may fall upon any moment, and takes a tenth of a second where a model is loaded."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Raise a `SourceError` with the next step in place of SQLite's and the system's errors."""
    try:
        yield
    except OSError as error:
        fact = f"{error.filename or file} can't be read ({error.strerror or error})"
        raise SourceError(f"{fact}; check that it is there and yours to read") from error
    except sqlite3.Error as error:
        raise SourceError(_meaning(file, error)) from error


def state_of_file(file: Path) -> os.stat_result:
    """What the system says of it. Raises `SourceError` for a pipe or a device, whose reading may never end."""
    found = file.stat()
    if never_ends(found):
        raise SourceError(f"{file} is a pipe or a device, not a file: Chroma never makes one; remove it")
    return found


@contextmanager
def understood(file: Path) -> Iterator[None]:
    """Raise a `SourceError` where values are of kinds that Chroma never writes: in SQLite any may stand anywhere."""
    try:
        yield
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise SourceError(
            f"{file} holds what Chroma never writes ({type(error).__name__}: {' '.join(str(error).split())[:100]}); "
            "it is damaged, or somebody else's: restore it from a backup"
        ) from error


def _meaning(file: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorname", "")
    if code == "SQLITE_READONLY_ROLLBACK":
        return (
            f"a write to {file} was cut short and has to be undone ({file.name}-journal is there); "
            "let the service that owns it finish, or open a copy of the directory once with Chroma and read the copy"
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{file} is locked by another process (waited {BUSY_TIMEOUT:.0f} s); try again when it has finished"
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")):
        return f"{file} is damaged ({error}); restore it from a backup, or mend a copy with sqlite3's .recover"
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")):
        return (
            f"{file} can't be read ({error}); check that it is there and yours to read, or read a copy on a local disk"
        )
    return f"{file} can't be read as a Chroma database ({error}); if Chroma itself opens it, please report this"


def _refuse_what_is_no_database(file: Path) -> None:
    with explained(file), file.open("rb") as stream:
        start = stream.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        raise SourceError(f"{file} is a git-lfs pointer, not the database; run `git lfs pull` in its repository first")
    if not start.startswith(MAGIC):
        seen = f"begins with {start[:16]!r}" if start else "is empty"
        raise SourceError(f"{file} is not a SQLite database (it {seen}); give the directory that Chroma wrote")
