"""What a Chroma database says of itself: which versions wrote it, and which collections it holds.

No file carries Chroma's version. The `migrations` table does: the newest migration of each of its three directories.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.errors import CollectionError, SourceError
from exporter.records import Collection, Scalar
from exporter.sources import Place, place_of
from exporter.sources.configuration import model_of, space_of
from exporter.sources.database import Database, understood
from exporter.sources.queue import Batching

OLDEST = {"sysdb": 3, "metadb": 3, "embeddings_queue": 1}
NEWEST = {"sysdb": 10, "metadb": 6, "embeddings_queue": 2}
"""The migrations of 0.4.10 and of 1.5.9: between them the layout is known."""

COLLECTIONS_AT_ONCE = 250  # some milliseconds of lock
_SCALARS = (str, int, float)
_TABLES = (
    "migrations", "databases", "collections", "collection_metadata", "segments", "segment_metadata", "max_seq_id",
    "embeddings", "embedding_metadata", "embedding_metadata_array", "embeddings_queue",
)  # fmt: skip
_LATEST = 10_000
"""Migrations. In three years there were ten."""
_WIDEST = 100_000
"""Dimensions. No model has as many, and a number that is damage would ask for any memory."""


class UnknownLayout(Exception):
    """A database of a version whose tables this reader does not know."""


def first_value(text: str | None, whole: int | None, real: float | None, flag: int | None = None) -> Scalar | None:
    """The value that a row of columns by type stands for; None when all are NULL."""
    found: Scalar | None = whole if text is None else text
    if found is None:
        found = real
    if found is None:
        return None if flag is None else bool(flag)
    if type(found) not in _SCALARS:
        raise TypeError(f"metadata of type {type(found).__name__}")
    return found


@dataclass(frozen=True)
class Rule:
    """How one family of Chroma versions puts index, tables and queue together."""

    name: str
    by_user_id: bool = False
    """`get` answers in the order of the ids as text, not in the order in which they were added."""
    batches: bool = False
    """Vectors that wait for a full batch are handed out as they were added."""
    counts_records: bool = False
    """A batch is full after so many records of the queue, not after so many ids that wait."""


CHROMA_1 = Rule("Chroma 1.x")
CHROMA_0_6 = Rule("Chroma 0.5.11 to 0.6", batches=True, counts_records=True)
CHROMA_0_4 = Rule("Chroma 0.4 to 0.5.10", batches=True, by_user_id=True)


@dataclass(frozen=True)
class Layout:
    """Which tables there are, and by which rule they are read."""

    rule: Rule
    arrays: bool
    """Whether there is a table of array metadata (1.5)."""


@dataclass(frozen=True)
class Entry:
    """One collection of the catalogue, with what only its reader needs: the names of its parts."""

    collection: Collection
    topic: str
    vectors: str
    """The VECTOR segment, after which the index folder is named."""
    metadata: str
    """The METADATA segment, which owns the rows."""
    batching: Batching | None


def versions(database: Database) -> dict[str, int]:
    """The newest migration of each kind. Raises `SourceError` where there are no Chroma tables."""
    if not database.select("SELECT 1 FROM sqlite_master WHERE name = 'migrations'"):
        raise SourceError(f"{database.file} holds no tables of Chroma; give the directory that Chroma wrote")
    for table in _TABLES:
        _refuse_what_only_looks_like_a_table(database, table)
    return dict(database.select("SELECT dir, max(version) FROM migrations GROUP BY dir"))


def _refuse_what_only_looks_like_a_table(database: Database, table: str) -> None:
    """A view, a virtual table, a computed column: reading one may take for ever, or all memory."""
    hidden = any(column[6] for column in database.select(f"PRAGMA table_xinfo({table})"))
    if hidden or database.select("SELECT 1 FROM sqlite_master WHERE name = ? AND rootpage = 0", table):
        raise SourceError(f"{table} of {database.file} is no plain table, which Chroma never makes: it is not read")


def read_layout(database: Database) -> Layout:
    """Raises `SourceError` where there are no Chroma tables, `UnknownLayout` where they are of an unknown version."""
    with understood(database.file):
        found = {str(name): int(version) for name, version in versions(database).items()}
        if not all(0 <= version < _LATEST for version in found.values()):
            raise ValueError(f"migrations of number {max(found.values())}")
    if any(not OLDEST[name] <= found.get(name, 0) <= NEWEST[name] for name in OLDEST):
        raise UnknownLayout(", ".join(f"{name} {version}" for name, version in sorted(found.items()))[:200])
    if found["metadb"] >= 5:
        return Layout(CHROMA_1, arrays=found["metadb"] >= 6)
    return Layout(CHROMA_0_6 if found["embeddings_queue"] >= 2 else CHROMA_0_4, arrays=False)


def read_places(database: Database) -> list[Place]:
    """Where there are collections, by name."""
    with database.transaction():
        databases = _databases(database)
        column = "database_id" if databases else "NULL"
        rows = database.select(f"SELECT name, {column} FROM collections ORDER BY name")  # noqa: S608
    return [Place(name, *databases.get(key, ())) for name, key in rows]


def read_entries(database: Database, rule: Rule, name: str | None = None) -> list[Entry]:
    """Every collection, or those of one name, by name; its number of rows is still 0."""
    which = ("WHERE name = ?", name) if name is not None else ("",)
    ids = [key for (key,) in database.select(f"SELECT id FROM collections {which[0]} ORDER BY name", *which[1:])]  # noqa: S608
    pages = [ids[first : first + COLLECTIONS_AT_ONCE] for first in range(0, len(ids), COLLECTIONS_AT_ONCE)]
    return [entry for page in pages for entry in _read_page(database, rule, json.dumps(page))]


def _read_page(database: Database, rule: Rule, ids: str) -> list[Entry]:
    among = "IN (SELECT value FROM json_each(?))"
    with database.transaction():
        columns = [column[1] for column in database.select("PRAGMA table_info(collections)")]
        found = database.select(f"SELECT * FROM collections WHERE id {among} ORDER BY name", ids)  # noqa: S608
        databases = _databases(database)
        segments = {
            (owner, scope): segment
            for owner, scope, segment in database.select(
                f"SELECT collection, scope, id FROM segments WHERE collection {among}",  # noqa: S608
                ids,
            )
        }
        own = _metadata(database, "collection", ids)
        copied = _metadata(database, "segment", json.dumps(list(segments.values())))
    entries = []
    for row in (dict(zip(columns, values, strict=True)) for values in found):
        vectors, metadata = (segments.get((row["id"], scope), "") for scope in ("VECTOR", "METADATA"))
        place = databases.get(row.get("database_id"), ())
        entries.append(_entry(rule, row, place, (vectors, metadata), own.get(row["id"], {}), copied.get(vectors, {})))
    return entries


def find_entry(database: Database, rule: Rule, place: Place) -> Entry:
    """The entry of a collection. Raises `CollectionError` when it is not there."""
    for entry in read_entries(database, rule, place.name):
        if place_of(entry.collection) == place:
            return entry
    names = ", ".join(other.name for other in read_places(database)) or "none"
    raise CollectionError(f"there is no collection {place.name!r} (there are: {names}); name one of them")


def _databases(database: Database) -> dict[str | None, tuple[str, ...]]:
    """The name and the tenant of each database; none before 0.4.15."""
    if not database.select("SELECT 1 FROM sqlite_master WHERE name = 'databases'"):
        return {}
    return {key: (name, tenant) for key, name, tenant in database.select("SELECT id, name, tenant_id FROM databases")}


def _entry(
    rule: Rule,
    row: Mapping[str, Any],
    place: Sequence[str],
    segments: tuple[str, str],
    own: Mapping[str, Scalar],
    copied: Mapping[str, Scalar],
) -> Entry:
    # 0.4 to 0.6 build the index from what they copied to the segment; a collection's own metadata may be replaced later
    recorded = {**own, **copied}
    _check(row["name"], row["dimension"], segments[0])
    schema, configuration = _parsed(row, "schema_str"), _parsed(row, "config_json_str")
    space, space_from = space_of(schema, configuration, recorded)
    collection = Collection(
        name=row["name"],
        rows=0,
        dimension=row["dimension"],
        space=space,
        space_from=space_from,
        model=model_of(schema, configuration, own),
        metadata=own,
        **dict(zip(("database", "tenant"), place, strict=False)),
    )
    topic = row.get("topic") or f"persistent://default/default/{row['id']}"  # rust/sqlite/src/helpers.rs:365
    batching = Batching(int(recorded.get("hnsw:batch_size", 100)), rule.counts_records) if rule.batches else None
    return Entry(collection, topic, *segments, batching)


def _check(name: object, dimension: object, folder: object) -> None:
    """Raise ValueError for what only looks like a collection, or would lead out of its directory."""
    if type(name) is not str or not (dimension is None or (type(dimension) is int and 0 <= dimension <= _WIDEST)):
        raise ValueError(f"a collection {name!r} of dimension {dimension!r}")
    if type(folder) is not str or not re.fullmatch("[0-9A-Za-z-]*", folder):
        raise ValueError(f"a folder {folder!r}")


def _parsed(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    try:
        return dict(json.loads(row.get(column) or "{}"))
    except (ValueError, TypeError, RecursionError) as error:
        raise SourceError(
            f"{column} of the collection {row['name']} is damaged ({error}); restore the directory from a backup"
        ) from error


def _metadata(database: Database, owner: str, ids: str) -> dict[str, dict[str, Scalar]]:
    """The metadata of each collection or segment of a JSON list of ids, by key."""
    columns = {column[1] for column in database.select(f"PRAGMA table_info({owner}_metadata)")}
    values = "str_value, int_value, float_value" + (", bool_value" if "bool_value" in columns else "")
    rows = database.select(
        f"SELECT {owner}_id, key, {values} FROM {owner}_metadata"  # noqa: S608
        f" WHERE {owner}_id IN (SELECT value FROM json_each(?)) ORDER BY key",
        ids,
    )
    found: dict[str, dict[str, Scalar]] = {}
    for name, key, *several in rows:
        if (value := first_value(*several)) is not None:
            found.setdefault(name, {})[key] = value
    return found
