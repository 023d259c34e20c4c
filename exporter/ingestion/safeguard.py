"""A second copy of a collection's index while Chroma writes it anew.

Chroma keeps new vectors in its database and writes the index from time to time (each `sync_threshold` records), over
the old one, in place. Killed in that moment it leaves an index that no version opens, and the vectors in it are lost,
as the database has forgotten them. So there is always a copy of the last whole index, together with the
number of the last record it holds (`max_seq_id`). Chroma sets that number after the index is written: when a process
was killed and the number is still the old one, the copy is put back, and the rest is in the database; else the index is
whole.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from exporter.errors import OutputError

DATABASE = "chroma.sqlite3"
_COPY, _FACTS = "index", "facts.json"
_SEGMENT = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""How Chroma names the folder of an index; a stranger's database may hold any path in its place."""
_WRITTEN_LAST = "index_metadata.pickle"

_QUERY = """
    SELECT segments.id, hex(max_seq_id.seq_id) FROM segments
    LEFT JOIN max_seq_id ON max_seq_id.segment_id = segments.id
    WHERE segments.collection = ? AND segments.scope = 'VECTOR'
"""
_ASK = f"""
import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=60)
print(json.dumps(database.execute({_QUERY!r}, [sys.argv[2]]).fetchone()))
database.close()
"""


class Safeguard:
    """Of one collection, a chromadb `Collection` of a local directory; `state` is where the copy lies."""

    def __init__(self, directory: Path, state: Path, collection: Any) -> None:
        self._directory, self._state, self._id = directory, state, str(collection.id)
        self._index: Path | None = None
        self._copied: int | None = None

    def renew(self) -> None:
        """Before Chroma is asked for anything: copy the index, unless the copy is of this one. Raises OutputError."""
        if self._index is not None and self._written(self._index) == self._copied:
            return
        try:
            self._copy()
        except (OSError, ValueError, TypeError, subprocess.SubprocessError) as error:
            raise OutputError(f"{self._directory}: no copy can be made of its index: {error}") from error

    def _copy(self) -> None:
        # by a process of its own: this one has Chroma's SQLite open, and the two don't see each other's locks
        command = [sys.executable, "-I", "-c", _ASK, str(self._directory / DATABASE), self._id]
        segment, number = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        if not _SEGMENT.fullmatch(segment):
            raise ValueError(f"{segment!r} is no name of its folder")
        self._index = self._directory / segment
        self._copied = self._written(self._index)
        new = self._state / f"{_COPY}.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        if self._index.exists():
            shutil.copytree(self._index, new / segment)
        (new / _FACTS).write_text(json.dumps({"collection": self._id, "segment": segment, "number": number}))
        shutil.rmtree(self._state / _COPY, ignore_errors=True)  # nothing is being written now
        new.rename(self._state / _COPY)

    @staticmethod
    def _written(index: Path) -> int | None:
        """When it was written last, in nanoseconds; None when it never was."""
        path = index / _WRITTEN_LAST
        return path.stat().st_mtime_ns if path.exists() else None


def drop(state: Path) -> None:
    """Remove the copy: it is not needed any more."""
    shutil.rmtree(state / _COPY, ignore_errors=True)
    shutil.rmtree(state / f"{_COPY}.new", ignore_errors=True)


def mend(directory: Path, state: Path) -> None:
    """After a kill: undo the write that was cut short, and put the index back if that was one. Nobody has it open.

    Raises OutputError where that can't be done.
    """
    copy = state / _COPY
    try:
        with closing(sqlite3.connect(directory / DATABASE, timeout=60)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()  # a hot journal is rolled back here
            if facts := _facts(copy):
                collection, segment, number = facts
                if database.execute(_QUERY, [collection]).fetchone() == (segment, number):
                    _put_back(copy / segment, directory / segment)
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"{directory}: a write that was cut short can't be undone: {error}") from error
    drop(state)


def _facts(copy: Path) -> tuple[str, str, str] | None:
    """Collection, segment and number that were noted of the copy; None where there is none of ours."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        facts = json.loads((copy / _FACTS).read_text())
        if _SEGMENT.fullmatch(facts["segment"]):
            return str(facts["collection"]), facts["segment"], str(facts["number"])
    return None


def _put_back(copy: Path, index: Path) -> None:
    """Repeatable: a kill in between leaves the copy whole."""
    shutil.rmtree(index, ignore_errors=True)
    if copy.exists():
        shutil.copytree(copy, index)
