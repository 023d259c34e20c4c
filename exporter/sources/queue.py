"""The queue of writes, replayed: what Chroma has written down, but not yet put into its index and its tables.

Both replays follow the segments of Chroma 1.x (rust/segment/src/local_hnsw.rs:648-840 and sqlite_metadata.rs:372-497
at tag 1.5.9; the Python versions agree, but for cosine). Each starts after its own segment's high-water mark:

- the index is written each `sync_threshold` records, so that most new vectors are in the queue only;
- the tables are written after the queue, in another commit: a reader beside a writer, or after a crash, sees the gap.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.errors import SourceError
from exporter.records import Float32, MetadataValue
from exporter.sources.database import Database
from exporter.sources.pace import Pace

ADD, UPDATE, UPSERT, DELETE = 0, 1, 2, 3  # rust/log/src/sqlite_log.rs:608-627; 4 is not for local databases
RECORDS_AT_ONCE = 2000

Record = dict[str, MetadataValue]
"""Metadata with the document among it, as the tables hold them."""


@dataclass(frozen=True)
class Batching:
    """How 0.4 to 0.6 fill a batch before it goes into the index: only then a cosine vector is rounded.

    A batch of `size` is full after so many records of the queue; in 0.4, after so many ids that wait in it.
    """

    size: int
    counts_records: bool


@dataclass(frozen=True)
class NewVectors:
    """Where the vectors are that the index does not have yet.

    `records` gives the queue's record (seq_id) of each id that was written to, None where it was deleted; the records
    in `unrounded` are handed out with the bits that were added.
    """

    records: dict[str, int | None]
    unrounded: frozenset[int]


@dataclass(frozen=True)
class NewMetadata:
    """Records that the tables don't have yet: those that changed (None: deleted), and those that come at the end."""

    changed: dict[str, Record | None]
    added: dict[str, Record]


def read_queue(database: Database, topic: str, after: int, column: str) -> Iterator[tuple[int, int, str, Any]]:
    """seq_id, operation, id and one column of a collection's records after `after`, a short statement at a time."""
    last = database.select("SELECT max(seq_id) FROM embeddings_queue")[0][0]
    some = "SELECT seq_id FROM embeddings_queue WHERE seq_id > ? AND seq_id <= ? ORDER BY seq_id LIMIT ?"
    pace = Pace(database, RECORDS_AT_ONCE)
    while end := database.select(f"SELECT max(seq_id) FROM ({some})", after, last, pace.rows)[0][0]:  # noqa: S608
        yield from database.select(
            f"SELECT seq_id, operation, id, {column} FROM embeddings_queue"  # noqa: S608
            " WHERE seq_id > ? AND seq_id <= ? AND topic = ? ORDER BY seq_id",
            after,
            end,
            topic,
        )
        pace.kept()
        after = end


def read_vectors(database: Database, seq_ids: list[int]) -> list[tuple[int, bytes]]:
    """seq_id and vector, float32 from the lowest byte, of these records; of those that are still there."""
    return database.select(
        "SELECT seq_id, vector FROM embeddings_queue WHERE seq_id IN (SELECT value FROM json_each(?))",
        json.dumps(seq_ids),
    )


def has_records_after(database: Database, topic: str, seq_id: int) -> bool:
    """Whether the collection was written to since the queue ended with that record."""
    later = "SELECT 1 FROM embeddings_queue WHERE seq_id > ? AND topic = ? LIMIT 1"
    return bool(database.select(later, seq_id, topic))


def replay_vectors(
    records: Iterable[tuple[int, int, str, Any]], indexed: Container[str], batching: Batching | None
) -> NewVectors:
    """Apply the records (seq_id, operation, id, whether there is a vector) to an index that holds the ids `indexed`."""
    written: dict[str, int | None] = {}
    waiting: dict[str, int] = {}  # what the batch holds: the record of each id, 0 for a deletion
    fresh: set[str] = set()  # ids that came with the batch; when they go again, nothing of them waits
    count = 0
    for seq_id, operation, name, has_vector in records:
        there = written[name] is not None if name in written else name in indexed
        count += 1
        if operation == DELETE and there:
            written[name], waiting[name] = None, 0
            if name in fresh:
                fresh.remove(name)
                del waiting[name]
        elif has_vector and _applies(operation, there):
            if not there and name not in waiting:
                fresh.add(name)
            written[name] = waiting[name] = seq_id
        if batching and (count if batching.counts_records else len(waiting)) >= batching.size:
            waiting.clear()
            fresh.clear()
            count = 0
    return NewVectors(written, frozenset(waiting.values() if batching else ()))


def replay_metadata(records: Iterable[tuple[int, int, str, Any]], stored: Mapping[str, Record]) -> NewMetadata:
    """Apply the records (seq_id, operation, id, change as JSON) to tables that hold `stored` for the ids concerned."""
    changed: dict[str, Record | None] = {}
    added: dict[str, Record] = {}
    for seq_id, operation, name, change in records:
        record = added[name] if name in added else changed[name] if name in changed else stored.get(name)
        if operation == DELETE:
            if name in added:
                del added[name]
            elif record is not None:
                changed[name] = None
        elif _applies(operation, record is not None):
            # a deleted record that is added again gets a new place, at the end
            target = added if record is None or name in added else changed
            target[name] = _merged(record or {}, change, seq_id)
    return NewMetadata(changed, added)


@np.errstate(all="ignore")  # vectors may be too long to be squared: NaN, as the index gives, which is refused later
def through_cosine_index(vectors: Float32) -> Float32:
    """The bits that hnswlib hands out for vectors, (n, d) float32, that were put into an index of cosine distance.

    It keeps x * (1 / (|x| + 1e-30)) and |x|, and multiplies them again, all in float32 (hnswalg.h:426-438, 1509-1545).
    Its sum of squares goes from the first to the last; numpy's own adds in pairs, and gives other bits.
    """
    squares = np.ascontiguousarray((vectors * vectors).T)
    total = np.zeros(len(vectors), np.float32)
    for square in squares:
        total += square
    lengths = np.sqrt(total)
    inverse = np.float32(1) / (lengths + np.float32(1e-30))
    return vectors * inverse[:, None] * lengths[:, None]


def _applies(operation: int, there: bool) -> bool:
    return operation == UPSERT or (operation == ADD and not there) or (operation == UPDATE and there)


def _merged(record: Record, change: str | None, seq_id: int) -> Record:
    try:
        values = dict(json.loads(change or "null") or {})
    except (ValueError, TypeError, RecursionError) as error:
        raise SourceError(f"record {seq_id} of the queue is damaged ({error}); restore it from a backup") from error
    merged = {**record, **values}
    return {key: value for key, value in merged.items() if value is not None and value != []}
