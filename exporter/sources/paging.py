"""Collections that are read through a chromadb client: a server's, a live one, or that of a private copy.

A client gives no point in time. What can be seen is seen: all ids are listed before and after, and a row that is
read twice must have the same vector. Else `Changed` is raised, and the read starts over. What no request shows is a
row that is written anew under its id before it is read, or whose text or metadata alone change: `reading_rule` in the
manifest says so.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from types import NoneType
from typing import Any, TypeVar

import numpy as np

from exporter.records import Batch, Collection, Float32, Int64
from exporter.sources import Copied, Filter, Place
from exporter.sources import where as filters
from exporter.sources.changes import Changed, until_unchanged
from exporter.sources.configuration import model_of, space_of
from exporter.sources.faults import Faults, Foreign

T = TypeVar("T")

PAGE = 1000
"""Rows a request: more are faster, but a request for metadata fails above 32,766, and a server answers others too."""

ID_PAGE = 50_000
"""Ids a request: skipping to a page costs a server as much as reading up to it, so few pages."""

QUERIES = 100
"""Questions a request."""


class ClientSource:
    """What a chromadb client gives, as `exporter.sources.Source`. `rule` is what its rows say of their origin; `page`
    is how many rows it gives at once.
    """

    def __init__(
        self,
        client: Any,
        location: str,
        rule: str,
        faults: Faults,
        *,
        page: int = PAGE,
        copied: Copied | None = None,
    ) -> None:
        self.location = location
        self.client, self._rule, self._faults, self.page, self._copied = client, rule, faults, page, copied

    def places(self) -> list[Place]:
        """Where the collections of the client's database are, by name."""
        return [Place(each.name, each.database, each.tenant) for each in self._list()]

    def describe(self, place: Place) -> Collection:
        """The collection of that name. Raises `CollectionError` when there is none."""
        return describe(self._get(place.name), self._faults)

    def collections(self) -> list[Collection]:
        """Every collection of the client's database, by name."""
        return [describe(each, self._faults) for each in self._list()]

    def read(
        self,
        collection: Collection,
        use: Callable[[PagedRows], T],
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> T:
        """`use(rows)`; called again from the start when rows appeared or vanished meanwhile, but not for ever."""
        filters.parse(where, where_document)  # for the same errors, in the same words, whatever the source
        given = {"where": where, "where_document": where_document}
        chosen = {name: part for name, part in given.items() if part is not None}
        found, faults = self._get(collection.name), self._faults
        try:
            return until_unchanged(lambda: use(PagedRows(found, self._rule, faults, chosen, self.page, self._copied)))
        except Changed as error:
            raise faults.kind(
                f"{faults.place}: {collection.name} was written to each time it was read; stop the writer for a moment"
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
        """The ids that Chroma's own query returns for each of (q, d) vectors, nearest first by its own index."""
        queried = self._get(collection.name)
        found: list[list[str]] = []
        for start in range(0, len(vectors), QUERIES):
            asked = vectors[start : start + QUERIES].tolist()
            with self._faults.told():
                answer = queried.query(
                    query_embeddings=asked, n_results=top_k, where=where, where_document=where_document, include=[]
                )
                if len(answer["ids"]) != len(asked):
                    raise Foreign(f"{len(answer['ids'])} answers to {len(asked)} questions")
                found += map(list, answer["ids"])
        return found

    def fetcher(self, collection: Collection) -> Fetcher:
        """Reads rows by their ids."""
        return Fetcher(self._get(collection.name), self._faults, self.page)

    def _list(self) -> list[Any]:
        found: dict[object, Any] = {}
        with self._faults.told():
            while page := self.client.list_collections(limit=self.page, offset=len(found)):
                if all(one.id in found for one in page):
                    raise Foreign("the same collections on every page")
                found.update((one.id, one) for one in page)
        return sorted(found.values(), key=lambda collection: str(collection.name))

    def _get(self, name: str) -> Any:
        with self._faults.told():
            # None, or chromadb builds the function that it recorded, which may need a key or load a model
            return self.client.get_collection(name, embedding_function=None)


class Fetcher:
    """Rows of a chromadb `Collection` by their ids."""

    def __init__(self, collection: Any, faults: Faults, page: int) -> None:
        self._collection, self._faults, self._page = collection, faults, page

    def batches(self, ids: Sequence[str], *, texts: bool = True, metadatas: bool = True) -> Iterator[Batch]:
        """The rows of these ids, which are in the order of `collection.get`, in pages. Raises `Changed`."""
        for first in range(0, len(ids), self._page):
            yield self._get(list(ids[first : first + self._page]), texts, metadatas)

    def _get(self, wanted: list[str], texts: bool, metadatas: bool) -> Batch:
        include = ["embeddings", *["documents"] * texts, *["metadatas"] * metadatas]
        with self._faults.told():
            page = self._collection.get(include=include, ids=wanted)
            ids, vectors = list(page["ids"]), np.asarray(page["embeddings"], np.float32)
            if ids != wanted:
                raise Changed
            if vectors.ndim != 2 or len(vectors) != len(ids):
                raise Foreign(f"vectors of shape {vectors.shape} for {len(ids)} ids")
            _refuse_others("documents", page["documents"] if texts else (), str, NoneType)
            _refuse_others("metadatas", page["metadatas"] if metadatas else (), dict, NoneType)
            return Batch(
                ids,
                vectors,
                page["documents"] if texts else (),
                [_sorted(metadata) for metadata in page["metadatas"]] if metadatas else (),
            )


class PagedRows:
    """The rows of a chromadb `Collection` as `exporter.sources.Rows`, a page at a time, cast to float32.

    The cast matters: over HTTP a vector comes as the shortest decimals, which are not the float64 of its float32.
    All ids are listed first, then rows are asked for by them: that takes a server no longer than counting off pages,
    however far on, and a row that has gone is missed.
    """

    def __init__(
        self, collection: Any, rule: str, faults: Faults, filters: dict[str, Filter], page: int, copied: Copied | None
    ) -> None:
        self.rule = rule
        self.copied = copied.why if copied else None
        self.longest_lock = copied.longest_lock if copied else None  # of a server: its own affair
        self._collection, self._faults, self._filters, self._page = collection, faults, filters, page
        self._fetcher = Fetcher(collection, faults, page)
        with faults.told():
            self._stored = int(collection.count())
        self.count = len(self.ids) if filters else self._stored

    @cached_property
    def ids(self) -> Sequence[str]:
        """The ids of all rows, in the order of `collection.get`."""
        return self._list_ids()

    @cached_property
    def _marks(self) -> Int64:
        """Of the vector of each row that was read, a checksum; else -1. Made when that many ids were listed."""
        return np.full(self.count, -1, np.int64)

    def batches(self, *, texts: bool = False, metadatas: bool = False) -> Iterator[Batch]:
        """All rows, in the order of `collection.get`. Raises `Changed`."""
        yield from self._batches(np.arange(len(self.ids)), texts, metadatas)
        self.check()

    def take(self, positions: Int64) -> Iterator[Batch]:
        """The rows at these positions, (m,) ascending, with texts and metadatas. Raises `Changed`."""
        yield from self._batches(positions, True, True)

    def id_pages(self) -> Iterator[list[str]]:
        """The ids of all rows, in the order of `collection.get`, none of them kept. Raises `Changed`."""
        done, limit = 0, ID_PAGE if self._page == PAGE else self._page
        while True:
            with self._faults.told():
                page = list(self._collection.get(include=[], limit=limit, offset=done, **self._filters)["ids"])
                if len(page) > limit:
                    raise Foreign(f"{len(page):,} ids where {limit:,} were asked for")
                _refuse_others("ids", page, str)
            if not page:
                return
            done += len(page)
            if done > self._stored:
                raise Changed  # some were added meanwhile, or the pages never end
            yield page

    def named(self, ids: Sequence[str]) -> Iterator[Batch]:
        """The rows of these ids, which are in the order of `collection.get`, with texts and metadatas. Raises
        `Changed`.
        """
        yield from self._fetcher.batches(ids)

    def note(self, first: int, marks: Int64) -> None:
        """The rows from this position on were read elsewhere, and their vectors have these `marks_of`."""
        self._marks[first : first + len(marks)] = marks

    def matching(self, where_document: Filter) -> tuple[list[str], bool]:
        """The first ids of rows that match this too, a page of them, and whether those are all."""
        both = {"where_document": where_document}
        if "where_document" in self._filters:
            both = {"where_document": {"$and": [self._filters["where_document"], where_document]}}
        with self._faults.told():
            found = list(self._collection.get(include=[], limit=self._page, **{**self._filters, **both})["ids"])
            _refuse_others("ids", found, str)
        return found, len(found) < self._page

    def check(self) -> None:
        """Raise `Changed` when rows appeared or vanished since they were listed."""
        if self._list_ids() != self.ids:
            raise Changed

    def _batches(self, positions: Int64, texts: bool, metadatas: bool) -> Iterator[Batch]:
        if len(self.ids) != self.count:
            raise Changed
        ids = [self.ids[position] for position in positions.tolist()]
        done = 0
        for batch in self._fetcher.batches(ids, texts=texts, metadatas=metadatas):
            these, marks = positions[done : done + len(batch)], marks_of(batch)
            known = self._marks[these]
            if ((known >= 0) & (known != marks)).any():
                raise Changed
            self._marks[these] = marks
            done += len(batch)
            yield batch

    def _list_ids(self) -> list[str]:
        return [one for page in self.id_pages() for one in page]


def marks_of(batch: Batch) -> Int64:
    """(n,) a checksum of each row's vector, to see later whether it is still the same."""
    return np.fromiter(map(zlib.crc32, batch.vectors), np.int64, len(batch))


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


def _refuse_others(name: str, values: Iterable[object], *kinds: type) -> None:
    if others := set(map(type, values)).difference(kinds):
        raise Foreign(f"{name} of type {others.pop().__name__}")


def _sorted(metadata: Any) -> dict[str, Any] | None:
    """In a stable order, which Chroma's hash maps have not; None where there is none."""
    return {key: metadata[key] for key in sorted(metadata)} or None if metadata else None
