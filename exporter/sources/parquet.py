"""A directory that Chroma wrote before 0.4: two parquet files, written anew as a whole at each persist.

`chroma-collections.parquet` holds uuid, name and metadata (JSON); `chroma-embeddings.parquet` collection_uuid, uuid,
embedding (doubles), document, id and metadata. Chroma 0.3's `get` promised no order; here it is the file's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from exporter.errors import CollectionError, SourceError
from exporter.records import Batch, Collection, Float32, Int64
from exporter.sources import Filter, Place, Rows, place_of
from exporter.sources import where as filters
from exporter.sources.changes import Changed, until_unchanged
from exporter.sources.configuration import space_of
from exporter.sources.database import understood
from exporter.sources.where import DOCUMENT, Condition

T = TypeVar("T")

NAMES = ("uuid", "name", "collection_uuid", "id")
"""Columns in which every row has something."""

COLLECTIONS, EMBEDDINGS = "chroma-collections.parquet", "chroma-embeddings.parquet"
ROWS_AT_ONCE = 1000


class Parquet:
    """Such a directory, as `exporter.sources.Source`. Raises `SourceError` when the files can't be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.location = path.resolve().name
        try:
            import pyarrow.compute
            import pyarrow.parquet
        except ImportError:
            raise SourceError(
                f"{path} was written by Chroma before 0.4 (it holds {COLLECTIONS}), which takes pyarrow to read: "
                "pip install 'chroma-projector[parquet]'"
            ) from None
        self._pyarrow = pyarrow

    def places(self) -> list[Place]:
        """Where there are collections, by name."""
        return sorted(Place(name) for name, _ in self._described().values())

    def describe(self, place: Place) -> Collection:
        """The collection there. Raises `CollectionError` when there is none."""
        for one in self.collections():
            if place_of(one) == place:
                return one
        raise CollectionError(f"there is no collection {place.name!r} any more; list what there is with `collections`")

    def collections(self) -> list[Collection]:
        """Every collection, by name."""
        described = self._described()
        counts: dict[str, int] = dict.fromkeys(described, 0)
        dimensions: dict[str, int] = {}
        for part in self._parts(EMBEDDINGS, ["collection_uuid", "embedding"]):
            lengths = self._pyarrow.compute.list_value_length(part["embedding"]).to_pylist()
            for name, length in zip(part["collection_uuid"].to_pylist(), lengths, strict=True):
                counts[name] = counts.get(name, 0) + 1
                dimensions.setdefault(name, length)
        found = []
        for uuid, (name, metadata) in described.items():
            space, space_from = space_of({}, {}, metadata)
            found.append(Collection(name, counts[uuid], dimensions.get(uuid), space, space_from, metadata=metadata))
        return sorted(found, key=lambda one: one.name)

    def read(
        self,
        collection: Collection,
        use: Callable[[Rows], T],
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> T:
        """`use(rows)`; called again from the start when the files were written anew meanwhile."""
        condition = filters.parse(where, where_document)
        try:
            return until_unchanged(lambda: use(_Rows(self, collection, condition)))
        except Changed as error:
            raise SourceError(
                f"{self.path} was written to each time it was read; stop the writer for a moment"
            ) from error

    def query(
        self,
        collection: Collection,
        vectors: Float32,
        top_k: int,
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> list[list[str]]:
        """Raises SourceError: only a Chroma of that age could."""
        raise SourceError(f"{self.path} was written by Chroma before 0.4, whose index no later Chroma reads")

    def uuid_of(self, collection: Collection) -> str:
        """What the embeddings call it. Raises CollectionError when it is gone."""
        for uuid, (name, _) in self._described().items():
            if name == collection.name:
                return uuid
        raise CollectionError(f"{self.path} has no collection {collection.name!r} any more")

    def chunks_of(self, uuid: str, columns: list[str]) -> Iterator[Any]:
        """The collection's rows as tables, some at a time."""
        for part in self._parts(EMBEDDINGS, ["collection_uuid", *columns]):
            yield part.filter(self._pyarrow.compute.equal(part["collection_uuid"], uuid))

    def state(self) -> tuple[int, int]:
        """What a persist changes."""
        with self._explained(EMBEDDINGS):
            found = (self.path / EMBEDDINGS).stat()
        return found.st_size, found.st_mtime_ns

    def _described(self) -> dict[str, tuple[str, dict[str, Any]]]:
        found = {}
        for part in self._parts(COLLECTIONS, ["uuid", "name", "metadata"]):
            for row in part.to_pylist():
                metadata = _json(row["metadata"])
                found[str(row["uuid"])] = (str(row["name"]), {key: metadata[key] for key in sorted(metadata)})
        return found

    def _parts(self, name: str, columns: list[str]) -> Iterator[Any]:
        with self._explained(name), self._pyarrow.parquet.ParquetFile(self.path / name) as file:
            for column in columns:
                self._refuse_other_kinds(column, file.schema_arrow.field(column).type)
            for part in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                for column in columns:
                    if column in NAMES and part[column].null_count:
                        raise ValueError(f"a row without {column}")
                yield self._pyarrow.Table.from_batches([part])

    def _refuse_other_kinds(self, column: str, kind: Any) -> None:
        types = self._pyarrow.types
        is_vector = types.is_list(kind) and types.is_floating(kind.value_type)
        if not (is_vector if column == "embedding" else types.is_string(kind)):
            raise ValueError(f"{column} is of type {kind}")

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, KeyError, ValueError) as error:  # pyarrow's own are of these
            why = " ".join(str(error).split())[:200]
            raise SourceError(
                f"{self.path / name} can't be read ({why}); restore the directory from a backup"
            ) from error


class _Rows:
    rule = "Chroma before 0.4"
    longest_lock = 0.0
    """Nobody waits for one who reads such files."""
    copied = None

    def __init__(self, source: Parquet, collection: Collection, condition: Condition | None) -> None:
        self._source, self._dimension = source, collection.dimension or 0
        self._state = source.state()
        self._uuid = source.uuid_of(collection)
        self._condition = condition

    @cached_property
    def _kept(self) -> Int64:
        """The places, among the collection's rows, of those that the filter leaves; ascending."""
        kept, start = [np.zeros(0, np.int64)], 0
        columns = ["document", "metadata"] if self._condition is not None else []
        for part in self._source.chunks_of(self._uuid, columns):
            matches = np.ones(part.num_rows, bool)
            if self._condition is not None:
                with understood(self._source.path / EMBEDDINGS):
                    matches = np.array(self._condition.matches([_record(row) for row in part.to_pylist()]), bool)
            kept.append(start + np.flatnonzero(matches))
            start += part.num_rows
        self._check()
        return np.concatenate(kept)

    @property
    def count(self) -> int:
        return len(self._kept)

    def batches(self, *, texts: bool = False, metadatas: bool = False) -> Iterator[Batch]:
        return self._batches(self._kept, texts=texts, metadatas=metadatas)

    def take(self, positions: Int64) -> Iterator[Batch]:
        return self._batches(self._kept[positions], texts=True, metadatas=True)

    def _batches(self, wanted: Int64, *, texts: bool, metadatas: bool) -> Iterator[Batch]:
        columns = ["id", "embedding", *["document"] * texts, *["metadata"] * metadatas]
        start = 0
        for part in self._source.chunks_of(self._uuid, columns):
            first, end = np.searchsorted(wanted, (start, start + part.num_rows))
            found = part.take(wanted[first:end] - start)
            start += part.num_rows
            if not found.num_rows:
                continue
            batch = Batch(
                found["id"].to_pylist(),
                self._vectors(found["embedding"].to_pylist()),
                found["document"].to_pylist() if texts else (),
                [_own(metadata) for metadata in found["metadata"].to_pylist()] if metadatas else (),
            )
            self._check()
            yield batch

    def _vectors(self, found: list[list[float] | None]) -> Float32:
        vectors = np.full((len(found), self._dimension), np.nan, np.float32)
        with np.errstate(over="ignore"):  # infinity comes of that, which is refused by the chunk's id
            for row, vector in enumerate(found):
                if vector is not None and len(vector) == self._dimension:
                    vectors[row] = vector
        return vectors

    def _check(self) -> None:
        if self._source.state() != self._state:
            raise Changed


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """Metadata with the document among it, as filters look at them."""
    record = {key: value for key, value in _json(row["metadata"]).items() if value is not None}
    return record if row["document"] is None else {**record, DOCUMENT: row["document"]}


def _own(metadata: str | None) -> dict[str, Any] | None:
    found = _json(metadata)
    return {key: found[key] for key in sorted(found) if found[key] is not None} or None


def _json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"metadata in {COLLECTIONS} or {EMBEDDINGS} is damaged ({error}); restore the directory from a backup"
        ) from error
    return found if isinstance(found, dict) else {}
