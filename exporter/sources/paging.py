"""Collections that are read through a chromadb client: a server's, a live one, or that of a private copy.

A client gives no point in time. What can be seen is seen: rows that appear or vanish between two pages raise
`Changed`, and the read starts over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from exporter.errors import CollectionError, ExporterError, QueryError
from exporter.records import Batch, Collection, Float32, Int64
from exporter.sources import Filter, Rows
from exporter.sources import where as filters
from exporter.sources.changes import Changed, until_unchanged
from exporter.sources.configuration import model_of, space_of

T = TypeVar("T")

PAGE = 1000
"""Rows a request: more are faster, but a request for metadata fails above 32,766, and a server answers others too."""

QUERIES = 100
"""Questions a request."""

LONGEST_ERROR = 300
"""Characters of a foreign error that are told: a proxy may answer with a whole page."""


@dataclass(frozen=True)
class Faults:
    """How what goes wrong in a client is told: as which kind, in whose name, and without which secrets."""

    kind: type[ExporterError]
    place: str
    secrets: tuple[str, ...] = ()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raise an `ExporterError` of one line in place of whatever the client raises: it knows no common class."""
        try:
            yield
        except (ExporterError, Changed):
            raise
        except Exception as error:
            raise self._told(error) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # how Rust gives up; no Exception to Python
                raise
            raise self._told(error) from error

    def _told(self, error: BaseException) -> ExporterError:
        # by name: chromadb is not imported here, and a server's errors have other classes than a local client's
        name = type(error).__name__
        text = " ".join(str(error).split()) or name
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = text[:LONGEST_ERROR]
        if name == "NotFoundError":
            return CollectionError(f"{self.place} has it not: {text}; list what it has with `collections`")
        if name == "InvalidArgumentError":
            return QueryError(f"{self.place} can't use the filter: {text}; mend it")
        if "finding id" in text or "getting embedding" in text:
            return self.kind(
                f"{self.place}: {text}: rows without a vector; read the directory itself, which skips them"
            )
        return self.kind(f"{self.place}: {text}")


class ClientSource:
    """What a chromadb client gives, as `exporter.sources.Source`. `rule` is what its rows say of their origin."""

    def __init__(self, client: Any, location: str, rule: str, faults: Faults) -> None:
        self.location = location
        self.client, self._rule, self._faults = client, rule, faults

    def collections(self) -> list[Collection]:
        """Every collection of the client's database, by name."""
        with self._faults.told():
            found: list[Any] = []
            while page := self.client.list_collections(limit=PAGE, offset=len(found)):
                found += page
        return sorted((describe(each, self._faults) for each in found), key=lambda collection: collection.name)

    def read(
        self,
        collection: Collection,
        use: Callable[[Rows], T],
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> T:
        """`use(rows)`; called again from the start when rows appeared or vanished meanwhile."""
        return read_pages(self._get(collection), self._rule, self._faults, use, where, where_document)

    def query(
        self,
        collection: Collection,
        vectors: Float32,
        top_k: int,
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> list[list[str]]:
        """The ids that Chroma's own query returns for each of (q, d) vectors."""
        return query_index(self._get(collection), self._faults, vectors, top_k, where, where_document)

    def _get(self, collection: Collection) -> Any:
        with self._faults.told():
            # None, or chromadb builds the function that it recorded, which may need a key or load a model
            return self.client.get_collection(collection.name, embedding_function=None)


class PagedRows:
    """The rows of a chromadb `Collection` as `exporter.sources.Rows`, a page at a time, cast to float32.

    The cast matters: over HTTP a vector comes as the shortest decimals, which are not the float64 of its float32.
    """

    def __init__(self, collection: Any, rule: str, faults: Faults, filters: dict[str, Filter]) -> None:
        self.rule = rule
        self._collection, self._faults, self._filters = collection, faults, filters
        self._ids: list[str] | None = self._list_ids() if filters else None
        self._count = len(self._ids) if self._ids is not None else self._stored()

    @property
    def longest_lock(self) -> None:
        """Not known: the server's own affair."""

    @property
    def count(self) -> int:
        """How many rows there are, after the filter."""
        return self._count

    def batches(self, *, texts: bool = False, metadatas: bool = False) -> Iterator[Batch]:
        """All rows, in the order of `collection.get`. Raises `Changed`."""
        if self._ids is not None:
            yield from self._batches(self._ids, texts, metadatas)
            return
        ids: list[str] = []
        while len(ids) < self._count:
            page = self._get(texts, metadatas, limit=PAGE, offset=len(ids))
            if not page:
                raise Changed
            ids += page.ids
            yield page
        if len(set(ids)) != self._count or self._stored() != self._count:
            raise Changed
        self._ids = ids

    def take(self, positions: Int64) -> Iterator[Batch]:
        """The rows at these positions, (m,) ascending, with texts and metadatas. Raises `Changed`."""
        if self._ids is None:
            self._ids = self._list_ids()
        if len(self._ids) != self._count:
            raise Changed
        ids = self._ids
        yield from self._batches([ids[position] for position in positions.tolist()], True, True)

    def _batches(self, ids: Sequence[str], texts: bool, metadatas: bool) -> Iterator[Batch]:
        for first in range(0, len(ids), PAGE):
            wanted = list(ids[first : first + PAGE])
            batch = self._get(texts, metadatas, ids=wanted)
            if batch.ids != wanted:
                raise Changed
            yield batch

    def _get(self, texts: bool, metadatas: bool, **which: Any) -> Batch:
        include = ["embeddings", *["documents"] * texts, *["metadatas"] * metadatas]
        with self._faults.told():
            page = self._collection.get(include=include, **which)
        ids, vectors = list(page["ids"]), page["embeddings"]
        wide = (len(ids), -1) if len(ids) else (0, 0)
        return Batch(
            ids,
            np.asarray(vectors, np.float32).reshape(wide),
            page["documents"] if texts else (),
            [_sorted(metadata) for metadata in page["metadatas"]] if metadatas else (),
        )

    def _list_ids(self) -> list[str]:
        ids: list[str] = []
        with self._faults.told():
            while page := self._collection.get(include=[], limit=PAGE, offset=len(ids), **self._filters)["ids"]:
                ids += page
        return ids

    def _stored(self) -> int:
        with self._faults.told():
            return int(self._collection.count())


def describe(collection: Any, faults: Faults) -> Collection:
    """What a chromadb `Collection` says of itself."""
    with faults.told():
        rows = int(collection.count())
        dimension = collection.get_model().dimension
        if dimension is None and rows:  # a live object keeps what it knew when it was made
            dimension = len(collection.get(limit=1, include=["embeddings"])["embeddings"][0])
        configuration, metadata = collection.configuration_json or {}, collection.metadata or {}
    space, space_from = space_of({}, configuration, metadata)
    return Collection(
        name=collection.name,
        rows=rows,
        dimension=dimension,
        space=space,
        space_from=space_from,
        model=model_of({}, configuration, metadata),
        metadata=_sorted(metadata) or {},
        database=collection.database,
        tenant=collection.tenant,
    )


def read_pages(
    collection: Any,
    rule: str,
    faults: Faults,
    use: Callable[[Rows], T],
    where: Filter | None,
    where_document: Filter | None,
) -> T:
    """`use(rows)` of a chromadb `Collection`, again from the start as long as it changes, but not for ever."""
    filters.parse(where, where_document)  # for the same errors, in the same words, whatever the source
    given = {"where": where, "where_document": where_document}
    chosen = {name: part for name, part in given.items() if part is not None}
    try:
        return until_unchanged(lambda: use(PagedRows(collection, rule, faults, chosen)))
    except Changed as error:
        raise faults.kind(
            f"{faults.place}: {collection.name} was written to each time it was read; stop the writer for a moment"
        ) from error


def query_index(
    collection: Any,
    faults: Faults,
    vectors: Float32,
    top_k: int,
    where: Filter | None,
    where_document: Filter | None,
) -> list[list[str]]:
    """The ids that a chromadb `Collection` returns for each of (q, d) vectors, nearest first by its own index."""
    found: list[list[str]] = []
    for start in range(0, len(vectors), QUERIES):
        asked = vectors[start : start + QUERIES].tolist()
        with faults.told():
            answer = collection.query(
                query_embeddings=asked, n_results=top_k, where=where, where_document=where_document, include=[]
            )
        found += answer["ids"]
    return found


def _sorted(metadata: Any) -> dict[str, Any] | None:
    """In a stable order, which Chroma's hash maps have not; None where there is none."""
    return {key: metadata[key] for key in sorted(metadata)} or None if metadata else None
