"""The rows of one collection of a Chroma directory at one point in time, without a lock that lasts.

What is small is read at the start: the high-water marks, the ids, and where each vector is. Vectors, texts and
metadata are fetched a batch at a time, and after each batch it is asked whether anything of the collection has changed
since the start. If so, the rows given out and those to come belong to different times, and `Changed` is raised.

Of a row 8 bytes are kept, its rowid and its element of the index (12 where rowids need more than 32 bits, and with
cosine 4 more for its length). Ids are fetched with their batch. While rows are matched with the index, up to 45 bytes a
row are needed; a record that waits in the queue takes some 400 for good, but there are few.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from exporter.errors import SourceError
from exporter.records import Batch, Collection, Float32, Int64, Metadata
from exporter.sources import Copied, place_of
from exporter.sources.catalogue import CHROMA_1, find_entry, read_layout
from exporter.sources.changes import Changed
from exporter.sources.database import Database, understood
from exporter.sources.hnsw import Damaged, Index, State, state
from exporter.sources.id_rows import IdRows
from exporter.sources.pace import Pace
from exporter.sources.queue import (
    Record,
    has_records_after,
    read_queue,
    read_vectors,
    replay_metadata,
    replay_vectors,
    through_cosine_index,
)
from exporter.sources.tables import read_ids, read_marks, read_names, read_records, read_rowids
from exporter.sources.where import DOCUMENT, Condition

ROWS_AT_ONCE = 1000
SETTLING = 2.0  # seconds; index files that stay newer than the last commit for longer are what a crash has left


class Snapshot:
    """One collection as `exporter.sources.Rows`. Close it: it holds a file of the index open.

    Nobody else writes to a copy (`copied`): files that don't fit together are damaged, not in the making.

    Raises `Changed` when the collection is written to, `UnknownLayout` for tables of an unknown version, `SourceError`
    for what can't be read, `CollectionError` when the collection is gone.
    """

    def __init__(
        self,
        database: Database,
        collection: Collection,
        condition: Condition | None,
        copied: Copied | None = None,
    ) -> None:
        self._database, self._copied = database, copied
        self._version = database.version()
        with database.transaction():
            self._layout = read_layout(database)
            with understood(database.file):
                self._entry = find_entry(database, self._layout.rule, place_of(collection))
                self._marks = read_marks(database, self._entry)
            self._queue_end: int = database.select("SELECT max(seq_id) FROM embeddings_queue")[0][0] or 0
        self._folder = database.file.parent / self._entry.vectors
        self._files = state(self._folder)
        if copied is None and is_young(self._files) and is_unrecorded(self._files, database.file):
            raise Changed
        try:
            self._index = self._open_index()
            try:
                with understood(database.file):
                    self._place(condition)
                self._check()
            except BaseException:  # no caller has it yet, to close it
                self.close()
                raise
        except Damaged as error:
            if copied is None and is_young(state(self._folder)):  # a persist is at work
                raise Changed from error
            raise

    @property
    def rule(self) -> str:
        """The family of versions whose way of putting index, tables and queue together was followed."""
        return self._layout.rule.name

    @property
    def longest_lock(self) -> float | None:
        """For how many seconds at most a statement held its lock, or the making of the copy."""
        return (self._copied or self._database).longest_lock

    @property
    def copied(self) -> str | None:
        """Why it is a private copy that is read; None where it is not."""
        return self._copied.why if self._copied else None

    @property
    def count(self) -> int:
        """How many rows there are, after the filter."""
        return len(self._rowids)

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

    def _place(self, condition: Condition | None) -> None:
        """Which rows there are, in which order, and where the vector of each is.

        `_elements` holds an element of the index, or -2 - i for the i-th of the records of the queue that are
        `_waiting`, or -1 for a vector that is lost.
        """
        gone, added = self._apply_queue()
        self._added = {rowid: name for name, rowid in added.items()}
        rowids, rows = self._list_rows(gone, added)
        labels, written = self._match(rows, len(rowids))
        del rows  # as much memory as what comes next takes
        elements = self._index.elements_of(labels)
        elements[written] = np.where(self._waiting > 0, -2 - np.arange(len(written)), -1)
        # the ids come as text, as 0.4's `get` gives them; from 0.5.11 on `get` gives them as they were added
        order = np.arange(len(rowids)) if self._layout.rule.by_user_id else np.argsort(rowids)
        if condition is not None:
            order = order[np.isin(rowids[order], self._matching(condition, np.sort(rowids)))]
        self._rowids = rowids[order].astype(np.min_scalar_type(rowids.max(initial=0)))
        self._elements = elements[order].astype(np.int32)

    def _list_rows(self, gone: set[int], added: Mapping[str, int]) -> tuple[Int64, IdRows]:
        """The rowids, ordered by id as text or the added ones last, and the row of each id among them."""
        rowids = array("q")

        def pages() -> Iterator[list[str]]:
            del rowids[:]
            for page in self._id_pages(added):
                left = [row for row in page if row[1] not in gone] if gone else page
                rowids.extend([rowid for _, rowid in left])
                yield [name for name, _ in left]

        rows = IdRows(pages)  # which fills `rowids`
        return np.frombuffer(rowids, np.int64), rows

    def _id_pages(self, added: Mapping[str, int]) -> Iterator[Sequence[tuple[str, int]]]:
        """Every id and its rowid: by id as text, or those that are in the queue only at the end."""
        stored = read_ids(self._database, self._entry)
        if not self._layout.rule.by_user_id:
            yield from chain(stored, [list(added.items())])
            return
        waiting = sorted(added.items(), reverse=True)
        for page in stored:
            fitting = []
            while waiting and waiting[-1] < page[-1]:
                fitting.append(waiting.pop())
            yield sorted([*page, *fitting])
        yield waiting[::-1]

    def _apply_queue(self) -> tuple[set[int], dict[str, int]]:
        """The rows that the queue deletes, and the ids that it adds with rowids of their own, beyond all others."""
        self._new: dict[int, Record] = {}
        log = list(read_queue(self._database, self._entry.topic, self._marks.metadata or 0, "metadata"))
        rowids = read_rowids(self._database, self._entry, sorted({name for _, _, name, _ in log}))
        stored = zip(rowids, self._records(list(rowids.values()), texts=True, metadatas=True), strict=True)
        new = replay_metadata(log, dict(stored))
        self._new = {rowids[name]: record for name, record in new.changed.items() if record is not None}
        end = 1 + (self._database.select("SELECT max(id) FROM embeddings")[0][0] or 0)
        added = {name: rowid for rowid, name in enumerate(new.added, end)}
        self._new |= {added[name]: record for name, record in new.added.items()}
        return {rowids[name] for name, record in new.changed.items() if record is None}, added

    def _matching(self, condition: Condition, rowids: Int64) -> Int64:
        new = list(self._new)
        stored = rowids[~np.isin(rowids, new)]
        matches = condition.matches(list(self._new.values()))
        found = [np.array(new, np.int64)[np.array(matches, bool)]]
        for page in Pace(self._database, ROWS_AT_ONCE).pages(stored):
            left = condition.matching(page.tolist(), self._database.select, arrays=self._layout.arrays)
            found.append(np.array(left, np.int64))
        return np.concatenate(found)

    def _match(self, rows: IdRows, count: int) -> tuple[Int64, Int64]:
        """The label of each row in the index, -1 without one; and the rows that the queue has written to, (w,).

        `_waiting` names the record that holds the vector of each of these, (w,); 0 where it was deleted.
        """
        mark = self._marks.vectors
        if self._layout.rule is CHROMA_1:
            # 1.x takes an index without ids for one that was never written, and replays all that is in the queue
            mark = 0 if self._index.is_empty else mark
        elif mark is None:
            mark = self._index.max_seq_id
        log = list(read_queue(self._database, self._entry.topic, mark or 0, "vector IS NOT NULL"))
        written = {name for _, _, name, _ in log}
        indexed: set[str] = set()
        labels = np.full(count, -1, np.int64)
        for ids, some in self._index.labels():
            indexed.update(written.intersection(ids))
            found = rows.of(ids)
            labels[found[found >= 0]] = np.array(some, np.int64)[found >= 0]
        new = replay_vectors(log, indexed, self._entry.batching)
        self._unrounded = new.unrounded
        found = rows.of(list(new.records))
        self._waiting = np.array([seq_id or 0 for seq_id in new.records.values()], np.int64)[found >= 0]
        return labels, found[found >= 0]

    def _batches(self, positions: Int64, texts: bool, metadatas: bool) -> Iterator[Batch]:
        for page in Pace(self._database, ROWS_AT_ONCE).pages(positions):
            rowids = self._rowids[page].tolist()
            try:
                with understood(self._database.file):
                    names = read_names(self._database, rowids) | self._added
                    records = self._records(rowids, texts=texts, metadatas=metadatas)
                    documents = [_document(record) for record in records] if texts else ()
                    own = [_own_keys(record) for record in records] if metadatas else ()
                    vectors = self._vectors(page)
            except Damaged:
                self._check()  # a persist may be at work
                raise
            batch = Batch(
                [names.get(rowid, "") for rowid in rowids],  # one that is missing is gone, as the check says
                vectors,
                documents,
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
        elements = self._elements[positions].astype(np.int64)
        indexed, queued = elements >= 0, elements < -1
        if indexed.any():
            vectors[indexed] = self._index.vectors(elements[indexed])
        if queued.any():
            vectors[queued] = self._queued_vectors(self._waiting[-2 - elements[queued]].tolist(), dimension)
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


def _document(record: Record) -> str | None:
    document = record.get(DOCUMENT)
    if not isinstance(document, str | None):
        raise TypeError(f"a document of type {type(document).__name__}")
    return document


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
