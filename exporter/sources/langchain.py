"""A collection that is open in this process: a chromadb `Collection`, or a LangChain `Chroma`.

It is read through its own client, never from its files: two SQLite libraries in one process don't see each other's
locks, and closing one of them drops those of the other.
"""

from __future__ import annotations

from typing import Any

from exporter.errors import SourceError
from exporter.sources.faults import Faults
from exporter.sources.paging import ClientSource


class Client(ClientSource):
    """One live collection as `exporter.sources.Source`. Raises `SourceError` for an object that is neither."""

    def __init__(self, store: Any) -> None:
        # LangChain keeps it in a private attribute only, in langchain_chroma as in langchain_community
        self._collection = getattr(store, "_collection", store)
        if not all(hasattr(self._collection, name) for name in ("get", "count", "configuration_json")):
            raise SourceError(
                f"a {type(store).__name__} is no source; give a path, an address, a LangChain Chroma, "
                "or a chromadb Collection"
            )
        location = f"collection {self._collection.name} of a client"
        super().__init__(None, location, "collection.get", Faults(SourceError, location))  # its client is its own

    def _list(self) -> list[Any]:
        return [self._collection]

    def _get(self, name: str) -> Any:
        return self._collection
