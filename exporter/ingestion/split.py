"""Cut documents into chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.documents import Document

LINES_A_PAGE = 60
"""Plain text has no pages; so many lines make one, counted from 0 as LangChain's loaders do."""


def split_texts(texts: Mapping[str, str], *, chunk_size: int, chunk_overlap: int) -> list[Document]:
    """Chunks of plain texts by LangChain's recursive splitter; sizes in characters.

    Metadata: `source` (the text's name), `page`, and `start_index`, where the chunk begins in its text.
    """
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(chunk_size=chunk_size, chunk_overlap=chunk_overlap, add_start_index=True)
    chunks: list[Document] = splitter.create_documents(list(texts.values()), [{"source": name} for name in texts])
    for chunk in chunks:
        before = texts[chunk.metadata["source"]][: chunk.metadata["start_index"]]
        chunk.metadata["page"] = before.count("\n") // LINES_A_PAGE
    return chunks
