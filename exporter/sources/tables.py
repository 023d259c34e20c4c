"""Chroma's tables of one collection: what its metadata segment has applied, read by short statements.

`embeddings` gives each record a number (its rowid, called id there) in the order in which they were added. Metadata
and document are rows of `embedding_metadata`, one a key, since 1.5 array values one an element in a table of their
own. The document is never read from `embedding_fulltext_search`: a migration of 0.4 has filled it by other numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from exporter.sources.catalogue import Entry, first_value
from exporter.sources.database import Database
from exporter.sources.queue import Record, read_queue, replay_metadata
from exporter.sources.where import DOCUMENT

IDS_AT_ONCE = 5000


class Marks(NamedTuple):
    """The last record of the queue that each segment has applied; None where a segment has recorded nothing."""

    metadata: int | None
    vectors: int | None


def read_marks(database: Database, entry: Entry) -> Marks:
    """The high-water marks of a collection."""
    found = dict(
        database.select(
            "SELECT segment_id, seq_id FROM max_seq_id WHERE segment_id IN (?, ?)", entry.metadata, entry.vectors
        )
    )
    return Marks(_number(found.get(entry.metadata)), _number(found.get(entry.vectors)))


def read_ids(database: Database, entry: Entry) -> Iterator[list[tuple[str, int]]]:
    """The user's id and the rowid of each record, some thousand at a time, by id as text.

    That is the order of the one index that covers both.
    """
    last, more = "", True
    while more:
        page = database.select(
            "SELECT embedding_id, id FROM embeddings WHERE segment_id = ? AND embedding_id > ?"
            " ORDER BY embedding_id LIMIT ?",
            entry.metadata,
            last,
            IDS_AT_ONCE,
        )
        if page:
            yield page
            last = page[-1][0]
        more = len(page) == IDS_AT_ONCE


def read_rowids(database: Database, entry: Entry, ids: Sequence[str]) -> dict[str, int]:
    """The rowid of each of these ids that there is a record of."""
    return dict(
        database.select(
            "SELECT embedding_id, id FROM embeddings"
            " WHERE segment_id = ? AND embedding_id IN (SELECT value FROM json_each(?))",
            entry.metadata,
            json.dumps(ids),
        )
    )


def read_names(database: Database, rowids: Sequence[int]) -> dict[int, str]:
    """The user's id of each of these rows that is there. Raises TypeError for one that is no text: in a damaged file
    the table may say other than the index by which it was found.
    """
    names = "SELECT id, embedding_id FROM embeddings WHERE id IN (SELECT value FROM json_each(?))"
    found = dict(database.select(names, json.dumps(rowids)))
    if not all(isinstance(name, str) for name in found.values()):
        raise TypeError("an id is no text")
    return found


def read_records(
    database: Database, rowids: Sequence[int], *, texts: bool, metadatas: bool, arrays: bool
) -> list[Record]:
    """Document, metadata, or both, of each of these rows. `arrays`: whether there is a table of array values."""
    found: dict[int, Record] = {rowid: {} for rowid in rowids}
    if texts or metadatas:
        keys = "" if texts and metadatas else f" AND key {'=' if texts else '<>'} '{DOCUMENT}'"
        for rowid, key, *values in database.select(_values_of("embedding_metadata", keys), json.dumps(rowids)):
            value = first_value(*values)
            if value is not None:
                found[rowid][key] = value
    if metadatas and arrays:
        elements: dict[tuple[int, str], list[Any]] = {}
        table = _values_of("embedding_metadata_array", " ORDER BY rowid")  # there is no column for the position
        for rowid, key, *values in database.select(table, json.dumps(rowids)):
            elements.setdefault((rowid, key), []).append(first_value(*values))
        for (rowid, key), array in elements.items():
            found[rowid][key] = array
    return [found[rowid] for rowid in rowids]


def count_rows(database: Database, entry: Entry) -> int:
    """How many records `get` would give: those of the tables, and what the queue adds to them and takes away."""
    count = sum(map(len, read_ids(database, entry)))  # count(*) would hold one lock all through
    with database.transaction():
        log = list(read_queue(database, entry.topic, read_marks(database, entry).metadata or 0, "NULL"))
        stored = read_rowids(database, entry, sorted({name for _, _, name, _ in log}))
    new = replay_metadata(log, {name: {} for name in stored})
    return count + len(new.added) - sum(record is None for record in new.changed.values())


def _values_of(table: str, more: str) -> str:
    return (
        f"SELECT id, key, string_value, int_value, float_value, bool_value FROM {table}"  # noqa: S608
        f" WHERE id IN (SELECT value FROM json_each(?)){more}"
    )


def _number(seq_id: int | bytes | None) -> int | None:
    """1.x keeps an integer, before it was a blob of 8 bytes, the biggest first."""
    return int.from_bytes(seq_id, "big") if isinstance(seq_id, bytes) else seq_id
