"""The rows of one collection of a Chroma directory at one point in time, without a lock that lasts.

What is small is read at the start: the high-water marks, the ids, and where each vector is. Vectors, texts and
metadata are fetched a batch at a time, and after each batch it is asked whether anything of the collection has changed
since the start. If so, the rows given out and those to come belong to different times, and `Changed` is raised.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from exporter.errors import SourceError
from exporter.records import Batch, Collection, Float32, Int64, Metadata
from exporter.sources.catalogue import CHROMA_1, find, read_entries, read_layout
from exporter.sources.changes import Changed
from exporter.sources.database import Database, understood
from exporter.sources.hnsw import Damaged, Index, State, state
from exporter.sources.queue import (
    Record,
    has_records_after,
    read_queue,
    read_vectors,
    replay_metadata,
    replay_vectors,
    through_cosine_index,
)
from exporter.sources.tables import read_ids, read_marks, read_records
from exporter.sources.where import DOCUMENT, Condition

ROWS_AT_ONCE = 1000  # so few that a statement over them locks for some milliseconds
SETTLING = 2.0  # seconds; index files that stay newer than the last commit for longer are what a crash has left


class Snapshot:
    """One collection as `exporter.sources.Rows`. Close it: it holds a file of the index open.

    With `at_rest` nobody else writes to the directory: files that don't fit together are damaged, not in the making.

    Raises `Changed` when the collection is written to, `UnknownLayout` for tables of an unknown version, `SourceError`
    for what can't be read, `CollectionError` when the collection is gone.
    """

    def __init__(
        self, database: Database, collection: Collection, condition: Condition | None, *, at_rest: bool = False
    ) -> None:
        self._database, self._at_rest = database, at_rest
        self._version = database.version()
        with database.transaction():
            self._layout = read_layout(database)
            self._entry = find(read_entries(database, self._layout.rule), collection)
            with understood(database.file):
                self._marks = read_marks(database, self._entry)
            self._queue_end: int = database.select("SELECT max(seq_id) FROM embeddings_queue")[0][0] or 0
        self._folder = database.file.parent / self._entry.vectors
        self._files = state(self._folder)
        if not at_rest and is_young(self._files) and is_unrecorded(self._files, database.file):
            raise Changed
        try:
            self._index = self._open_index()
        except Damaged as error:
            if not at_rest and is_young(state(self._folder)):  # a persist is at work
                raise Changed from error
            raise
        try:
            with understood(database.file):
                self._place_rows(condition)
                self._place_vectors()
            self._check()
        except BaseException:
            self.close()
            raise

    @property
    def rule(self) -> str:
        """The family of versions whose way of putting index, tables and queue together was followed."""
        return self._layout.rule.name

    @property
    def longest_lock(self) -> float | None:
        """For how many seconds at most a statement held its lock; None on a copy, which nobody waits for."""
        return None if self._at_rest else self._database.longest_lock

    @property
    def count(self) -> int:
        """How many rows there are, after the filter."""
        return len(self._ids)

    def batches(self, *, texts: bool = False, metadatas: bool = False) -> Iterator[Batch]:
        """All rows in stored order, as many at a time as are quickly read. Raises `Changed`."""
        yield from self._batches(np.arange(self.count), texts, metadatas)

    def take(self, positions: Int64) -> Iterator[Batch]:
        """The rows at these positions, (m,) ascending, with texts and metadatas. Raises `Changed`."""
        yield from self._batches(positions, True, True)

    def close(self) -> None:
        """Give the index back."""
        self._index.close()

    def _open_index(self) -> Index:
        collection = self._entry.collection
        return Index(self._folder, dimension=collection.dimension, cosine=collection.space == "cosine")

    def _place_rows(self, condition: Condition | None) -> None:
        """Which rows there are, in which order; records that only the queue has are kept whole in `_new`."""
        rowids = dict(read_ids(self._database, self._entry))
        if not all(type(name) is str for name in rowids):
            raise TypeError("an id that is no text")
        self._new: dict[int, Record] = {}
        self._apply_queue(rowids)
        if condition is not None:
            left = self._matching(condition, sorted(rowids.values()))
            rowids = {name: rowid for name, rowid in rowids.items() if rowid in left}
        # `read_ids` gives them by id, as 0.4's `get` does; from 0.5.11 on `get` gives them as they were added
        order = sorted(rowids) if self._layout.rule.by_user_id else sorted(rowids, key=rowids.__getitem__)
        self._ids = order
        self._rowids = np.fromiter((rowids[name] for name in order), np.int64, len(order))

    def _apply_queue(self, rowids: dict[str, int]) -> None:
        log = list(read_queue(self._database, self._entry.topic, self._marks.metadata or 0, "metadata"))
        touched = {name: rowids[name] for _, _, name, _ in log if name in rowids}
        stored = zip(touched, self._records(list(touched.values()), texts=True, metadatas=True), strict=True)
        new = replay_metadata(log, dict(stored))
        for name, record in new.changed.items():
            if record is None:
                del rowids[name]
            else:
                self._new[rowids[name]] = record
        end = max(rowids.values(), default=0) + 1
        for rowid, (name, record) in enumerate(new.added.items(), end):
            rowids[name] = rowid
            self._new[rowid] = record

    def _matching(self, condition: Condition, rowids: Sequence[int]) -> set[int]:
        statement = condition.statement(arrays=self._layout.arrays)
        found: set[int] = set()
        stored = [rowid for rowid in rowids if rowid not in self._new]
        for first in range(0, len(stored), ROWS_AT_ONCE):
            page = json.dumps(stored[first : first + ROWS_AT_ONCE])
            found.update(row[0] for row in self._database.select(statement, page, *condition.values))
        matches = condition.matches(list(self._new.values()))
        return found | {rowid for rowid, match in zip(self._new, matches, strict=True) if match}

    def _place_vectors(self) -> None:
        """Where the vector of each row is: an element of the index (-1: none), or a record of the queue (0: none)."""
        mark = self._marks.vectors
        if self._layout.rule is CHROMA_1:
            # 1.x takes an index without ids for one that was never written, and replays all that is in the queue
            mark = mark if self._index.labels else 0
        elif mark is None:
            mark = self._index.max_seq_id
        log = read_queue(self._database, self._entry.topic, mark or 0, "vector IS NOT NULL")
        new = replay_vectors(log, self._index.labels, self._entry.batching)
        self._unrounded = new.unrounded
        self._elements = self._index.rows_of(self._ids)
        self._queued = np.zeros(self.count, np.int64)
        if new.places:
            for position, name in enumerate(self._ids):
                if name in new.places:
                    self._elements[position] = -1
                    self._queued[position] = new.places[name] or 0
        self._index.labels.clear()  # as big as the ids, and not needed any more

    def _batches(self, positions: Int64, texts: bool, metadatas: bool) -> Iterator[Batch]:
        for first in range(0, len(positions), ROWS_AT_ONCE):
            page = positions[first : first + ROWS_AT_ONCE]
            ids = [self._ids[position] for position in page.tolist()]
            try:
                with understood(self._database.file):
                    records = self._records(self._rowids[page].tolist(), texts=texts, metadatas=metadatas)
                    own = [_own_keys(record) for record in records] if metadatas else ()
                    vectors = self._vectors(page)
            except Damaged:
                self._check()  # a persist may be at work
                raise
            batch = Batch(
                ids,
                vectors,
                [cast("str | None", record.get(DOCUMENT)) for record in records] if texts else (),
                own,
            )
            self._check()
            yield batch

    def _records(self, rowids: list[int], *, texts: bool, metadatas: bool) -> list[Record]:
        arrays = self._layout.arrays
        stored = read_records(self._database, rowids, texts=texts, metadatas=metadatas, arrays=arrays)
        return [self._new.get(rowid, record) for rowid, record in zip(rowids, stored, strict=True)]

    def _vectors(self, positions: Int64) -> Float32:
        dimension = self._entry.collection.dimension or 0
        vectors = np.full((len(positions), dimension), np.nan, np.float32)
        elements, queued = self._elements[positions], self._queued[positions]
        indexed = elements >= 0
        if indexed.any():
            vectors[indexed] = self._index.vectors(elements[indexed])
        if queued.any():
            vectors[queued > 0] = self._queued_vectors(queued[queued > 0].tolist(), dimension)
        return vectors

    def _queued_vectors(self, seq_ids: list[int], dimension: int) -> Float32:
        vectors = np.full((len(seq_ids), dimension), np.nan, np.float32)
        found = dict(read_vectors(self._database, seq_ids))
        for row, seq_id in enumerate(seq_ids):
            if seq_id in found:  # else it was purged a moment ago, and the check after this batch says so
                vectors[row] = _vector(seq_id, found[seq_id], dimension)
        if self._entry.collection.space == "cosine":
            rounded = np.array([seq_id not in self._unrounded for seq_id in seq_ids])
            vectors[rounded] = through_cosine_index(vectors[rounded])
        return vectors

    def _check(self) -> None:
        """Raise `Changed` if anything of the collection was written since the start."""
        if state(self._folder) != self._files:
            raise Changed
        version = self._database.version()
        if version != self._version:
            # another collection's write changes nothing here, nor does Chroma's opening, which inserts a row of its own
            with self._database.transaction():
                written = has_records_after(self._database, self._entry.topic, self._queue_end)
                if written or read_marks(self._database, self._entry) != self._marks:
                    raise Changed
            self._version = version


def is_unrecorded(files: State, database_file: Path) -> bool:
    """Whether an index was persisted after the last commit: its high-water mark is then the one of before."""
    return _last_write(files) >= database_file.stat().st_mtime_ns  # a clock of file times ticks each few milliseconds


def is_young(files: State) -> bool:
    """Whether an index was written so lately that a persist may still be under way."""
    return abs(time.time() - _last_write(files) / 1e9) < SETTLING


def _last_write(files: State) -> int:
    pickled = files[0] is not None  # without it no persist was ever finished, and the other files mean nothing
    return max(file[1] for file in files if file is not None) if pickled else 0


def _own_keys(record: Record) -> Metadata | None:
    """The metadata as `get` shows it: keys that begin with chroma: are its own (rust/types/src/api_types.rs:2056)."""
    return {key: record[key] for key in sorted(record) if not key.startswith("chroma:")} or None


def _vector(seq_id: int, blob: bytes, dimension: int) -> Float32:
    if len(blob) != 4 * dimension:
        raise SourceError(
            f"record {seq_id} of the queue has a vector of {len(blob)} bytes, not {4 * dimension}; "
            "the database is damaged, restore it from a backup"
        )
    return np.frombuffer(blob, np.float32)
