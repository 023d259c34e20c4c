"""A collection that is open in this process: a chromadb `Collection`, or a LangChain `Chroma`.

It is read through its own client, never from its files: two SQLite libraries in one process don't see each other's
locks, and closing one of them drops those of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from exporter.errors import SourceError
from exporter.records import Collection, Float32
from exporter.sources import Filter, Place, Rows
from exporter.sources.paging import Faults, describe, query_index, read_pages

T = TypeVar("T")


class Client:
    """One live collection as `exporter.sources.Source`. Raises `SourceError` for an object that is neither."""

    def __init__(self, store: Any) -> None:
        # LangChain keeps it in a private attribute only, in langchain_chroma as in langchain_community
        self._collection = getattr(store, "_collection", store)
        if not all(hasattr(self._collection, name) for name in ("get", "count", "configuration_json")):
            raise SourceError(
                f"a {type(store).__name__} is no source; give a path, an address, a LangChain Chroma, "
                "or a chromadb Collection"
            )
        self.location = f"collection {self._collection.name} of a client"
        self._faults = Faults(SourceError, self.location)

    def places(self) -> list[Place]:
        """Where the one collection is."""
        return [Place(self._collection.name, self._collection.database, self._collection.tenant)]

    def describe(self, place: Place) -> Collection:
        """The one collection."""
        return describe(self._collection, self._faults)

    def collections(self) -> list[Collection]:
        """The one collection."""
        return [describe(self._collection, self._faults)]

    def read(
        self,
        collection: Collection,
        use: Callable[[Rows], T],
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> T:
        """`use(rows)`; called again from the start when rows appeared or vanished meanwhile."""
        return read_pages(self._collection, "collection.get", self._faults, use, where, where_document)

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
        return query_index(self._collection, self._faults, vectors, top_k, where, where_document)
