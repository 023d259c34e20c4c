"""Store chunks in a Chroma directory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.records import Progress

if TYPE_CHECKING:
    from langchain_core.documents import Document

_BATCH = 128


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
