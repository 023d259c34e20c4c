"""Store chunks in a collection of Chroma."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import ExporterError
from exporter.ingestion.safeguard import Safeguard
from exporter.ingestion.split import PATH, Chunk
from exporter.records import Float32, Metadata, Progress, Scalar

if TYPE_CHECKING:
    from langchain_core.documents import Document

_BATCH = 128
_PAGE = 1000  # rows a request
_WRITTEN = 300
"""Rows a write to a server: Chroma Cloud takes no more (docs.trychroma.com/cloud/quotas-limits)."""


class Stored:
    """One collection that chunks are written to. When that fails, it raises what `fault` makes of the client's words.

    `connect` gives a chromadb client; `metadata` is what a collection is made with when the first chunks come, None for
    one that is there. Of a local collection `guard` makes the `Safeguard`, None for a server; a local client is closed
    in the end.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        name: str,
        metadata: Mapping[str, Scalar] | None,
        fault: Callable[[str], ExporterError],
        guard: Callable[[Any], Safeguard] | None = None,
    ) -> None:
        self._connect, self._name, self._metadata, self._fault = connect, name, metadata, fault
        self._make_guard = guard
        self._guard: Safeguard | None = None
        self._local = guard is not None
        self._client: Any = None
        self._collection: Any = None

    def known(self, ids: Sequence[str]) -> dict[str, Metadata]:
        """Those of the ids that are stored, with their metadata."""
        if self._collection is None and self._metadata is not None:
            return {}  # it is made when there is something to store: the model may fail before
        with self._asked() as collection:
            found = collection.get(ids=list(ids), include=["metadatas"])
            return {key: dict(metadata or {}) for key, metadata in zip(found["ids"], found["metadatas"], strict=True)}

    def add(self, chunks: Sequence[Chunk], vectors: Float32) -> None:
        """Store chunks with their vectors, (n, d)."""
        for part in self._parts(len(chunks)):
            with self._asked() as collection:
                collection.upsert(
                    ids=[chunk.id for chunk in chunks[part]],
                    embeddings=vectors[part],
                    documents=[chunk.text for chunk in chunks[part]],
                    metadatas=[dict(chunk.metadata) for chunk in chunks[part]],
                )

    def update(self, chunks: Sequence[Chunk], stored: Mapping[str, Metadata]) -> None:
        """Give stored chunks the metadata that they have now. A key that is no more goes."""
        for part in self._parts(len(chunks)):
            changed = [{**dict.fromkeys(stored[chunk.id]), **chunk.metadata} for chunk in chunks[part]]
            with self._asked() as collection:
                collection.update(ids=[chunk.id for chunk in chunks[part]], metadatas=changed)

    def own(self) -> Iterator[tuple[str, str]]:
        """Id, and path or else source, of every chunk that was stored by an ingest: those have a `content_hash`."""
        offset = 0
        while True:
            with self._asked() as collection:
                page = collection.get(limit=_PAGE, offset=offset, include=["metadatas"])
                rows = [
                    (key, dict(metadata or {})) for key, metadata in zip(page["ids"], page["metadatas"], strict=True)
                ]
            if not rows:
                return
            offset += len(rows)
            for key, metadata in rows:
                if "content_hash" in metadata and isinstance(metadata.get("source"), str):
                    yield key, str(metadata.get(PATH, metadata["source"]))

    def remove(self, ids: Sequence[str]) -> None:
        """Remove chunks."""
        for part in self._parts(len(ids), _PAGE):
            with self._asked() as collection:
                collection.delete(ids=list(ids[part]))

    def sample(self, rows: int) -> tuple[list[str], Any]:
        """Some texts that are stored, and their vectors."""
        with self._asked() as collection:
            found = collection.get(limit=rows, include=["documents", "embeddings"])
            kept = [row for row, text in enumerate(found["documents"]) if text and text.strip()]
            return [found["documents"][row] for row in kept], found["embeddings"][kept] if kept else []

    def describe_anew(self, metadata: Mapping[str, Scalar]) -> None:
        """Record other facts about the collection, when it is there."""
        with self._asked() as collection:
            kept = {name: value for name, value in (collection.metadata or {}).items() if not name.startswith("hnsw:")}
            collection.modify(metadata={**kept, **metadata})

    def close(self) -> None:
        """Give the directory back."""
        if self._client is not None and self._local:
            self._client.close()
        self._client = self._collection = None

    def _opened(self) -> Any:
        if self._collection is None:
            if self._client is None:
                self._client = self._connect()
            # no function of Chroma's: the model's name stands in the metadata, and LangChain brings its own
            if self._metadata is None:
                self._collection = self._client.get_collection(self._name, embedding_function=None)
            else:
                self._collection = self._client.get_or_create_collection(
                    self._name, metadata=dict(self._metadata), embedding_function=None
                )
            self._guard = self._make_guard(self._collection) if self._make_guard else None
        return self._collection

    def _parts(self, rows: int, most: int | None = None) -> Iterator[slice]:
        """So many rows as one write takes: of a directory `most`, or all; of a server what Chroma Cloud allows."""
        step = (most or max(rows, 1)) if self._local else _WRITTEN
        yield from (slice(first, first + step) for first in range(0, rows, step))

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """The collection, guarded: even when it is only read, Chroma may catch up with its index.

        One line in place of what chromadb raises: its errors have no class in common.
        """
        try:
            collection = self._opened()
            if self._guard is not None:
                self._guard.renew()
            yield collection
        except ExporterError:  # the guard's, told already
            raise
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # how Rust gives up
                raise
            raise self._fault(str(error) or type(error).__name__) from error


def open_directory(directory: Path, tenant: str | None = None, database: str | None = None) -> Any:
    """A chromadb client that writes to a directory, which is made when it is not there."""
    logging.getLogger("chromadb").setLevel(logging.ERROR)
    import chromadb
    from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings

    return chromadb.PersistentClient(
        str(directory),
        Settings(anonymized_telemetry=False),
        tenant or DEFAULT_TENANT,
        database or DEFAULT_DATABASE,
    )


def own_migrations() -> dict[str, int]:
    """The newest migration of each kind in a directory that the installed chromadb makes: what it would migrate to."""
    with tempfile.TemporaryDirectory() as folder:
        open_directory(Path(folder)).close()
        with closing(sqlite3.connect(Path(folder) / "chroma.sqlite3")) as made:
            return dict(made.execute("SELECT dir, max(version) FROM migrations GROUP BY dir"))


def store(directory: Path, collection: str, chunks: Sequence[Document], model: Any, progress: Progress) -> None:
    """Embed chunks by a LangChain `Embeddings` and add them to a collection, by LangChain's own Chroma store.

    Ids are `<source>:<start_index>`. The space is Chroma's default, l2, as in most LangChain collections.
    """
    logging.getLogger("chromadb").setLevel(logging.ERROR)
    from langchain_chroma import Chroma

    opened = Chroma(collection_name=collection, embedding_function=model, persist_directory=str(directory))
    for start in range(0, len(chunks), _BATCH):
        progress("embedding", start, len(chunks))
        batch = chunks[start : start + _BATCH]
        opened.add_documents(
            list(batch), ids=[f"{one.metadata['source']}:{one.metadata['start_index']}" for one in batch]
        )
    opened._client.close()
