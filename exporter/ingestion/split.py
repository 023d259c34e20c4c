"""Cut documents into chunks."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.records import Scalar

if TYPE_CHECKING:
    from langchain_core.documents import Document

LINES_A_PAGE = 60
"""Plain text has no pages; so many lines make one, counted from 0 as LangChain's loaders do."""

SPLITTER = "RecursiveCharacterTextSplitter"


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, ready to be embedded. The id is made of source and text, so it outlives what moves it."""

    id: str
    text: str
    metadata: Mapping[str, Scalar]


@dataclass(frozen=True)
class Cutting:
    """How documents are cut: sizes in characters, or in tokens when `length` counts those."""

    size: int
    overlap: int
    length: Callable[[str], int] = len

    def cut(self, source: str, documents: Iterable[Document]) -> Iterator[Chunk]:
        """The chunks of one source, by LangChain's recursive splitter.

        Metadata: the document's own, `source`, `start_index` (of the chunk in its document, in characters), `chunk`
        (counted from 0 over the whole source) and `content_hash`.
        """
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        splitter = RecursiveCharacterTextSplitter(
            chunk_size=self.size, chunk_overlap=self.overlap, length_function=self.length
        )
        logging.getLogger("langchain_text_splitters").setLevel(logging.ERROR)
        seen: Counter[str] = Counter()
        for document in documents:
            whole = _encodable(document.page_content)
            start, last = 0, ""
            for text in splitter.split_text(whole):
                start = self._place(text, whole, start, last)
                last = text
                digest = hashlib.sha256(text.encode()).hexdigest()
                yield Chunk(
                    _id(source, digest, seen[digest]),
                    text,
                    {
                        **_scalars(document.metadata),
                        "source": source,
                        "start_index": start,
                        "chunk": seen.total(),
                        "content_hash": digest[:16],
                    },
                )
                seen[digest] += 1

    def _place(self, text: str, whole: str, start: int, last: str) -> int:
        """Where a chunk begins, after the last one, which began at `start`.

        LangChain's own start_index takes an overlap in tokens for one in characters.
        """
        if self.length is len:
            return whole.find(text, max(start, start + len(last) - self.overlap))
        return whole.find(text, start + (text == last))


def _id(source: str, digest: str, before: int) -> str:
    """Of a source's equal chunks each has an id of its own."""
    name = hashlib.sha256(f"{source}\0{digest}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{name}-{before}" if before else name


def _scalars(metadata: Mapping[str, Any]) -> dict[str, Scalar]:
    """What Chroma can store: its whole numbers have 64 bits. Names that start with `chroma:` are its own."""
    kept: dict[str, Scalar] = {}
    for name, value in metadata.items():
        if name.startswith("chroma:") or not isinstance(value, (str, int, float, bool)):
            continue
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            value = str(value)
        if isinstance(value, float) and not math.isfinite(value):
            continue
        kept[_encodable(name)] = _encodable(value) if isinstance(value, str) else value
    return kept


def _encodable(text: str) -> str:
    """A lone half of a character, as JSON and PDF may hold, can be stored nowhere."""
    return text.encode("utf-8", "replace").decode()


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
