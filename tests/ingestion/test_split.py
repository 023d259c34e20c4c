"""Chunks: pieces of their documents, at the place they say, with ids that stay."""

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter

from exporter.ingestion.split import Cutting

TEXTS = st.lists(st.sampled_from(["ab ", "b ", "a\n", "\n\n", "œ ", "ccc", " "]), max_size=120).map("".join)


def cut(text, *, source="s", size=30, overlap=8, **settings):
    return list(Cutting(size, overlap, **settings).cut(source, [Document(text)]))


@given(TEXTS)
def test_chunks_are_langchains(text):
    """The chunks are those of LangChain's splitter, and each is found at its start_index."""
    expected = RecursiveCharacterTextSplitter(chunk_size=30, chunk_overlap=8).split_text(text)
    chunks = cut(text)
    assert [chunk.text for chunk in chunks] == expected
    assert all(text[chunk.metadata["start_index"] :].startswith(chunk.text) for chunk in chunks)


@given(TEXTS)
def test_places_when_tokens_are_counted(text):
    """With sizes in tokens, too, each chunk is found at its start_index, and the places never go back."""
    chunks = cut(text, size=6, overlap=2, length=lambda part: len(part.split()))
    starts = [chunk.metadata["start_index"] for chunk in chunks]
    assert starts == sorted(starts)
    assert all(text[start:].startswith(chunk.text) for start, chunk in zip(starts, chunks, strict=True))


@given(TEXTS)
def test_ids_are_unique(text):
    """No two chunks of a source have one id, even where their texts are equal; another source has others."""
    ids = [chunk.id for chunk in cut(text)]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {chunk.id for chunk in cut(text, source="t")}


def test_ids_outlive_a_move():
    """A text that moves in its document keeps its id; only its metadata changes."""
    before, after = (
        cut("same text here", size=20, overlap=0),
        cut("new start now\n\nsame text here", size=20, overlap=0),
    )
    assert after[1].id == before[0].id
    assert (before[0].metadata["start_index"], after[1].metadata["start_index"]) == (0, 15)


def test_metadata():
    """Chunks are counted over the whole source; what Chroma can't store is not kept."""
    pages = [Document("one two", metadata={"page": 0, "list": [1], "chroma:document": "x"}), Document("three")]
    chunks = list(Cutting(4, 0).cut("s", pages))
    assert [chunk.text for chunk in chunks] == ["one", "two", "thre", "e"]
    assert [chunk.metadata["chunk"] for chunk in chunks] == [0, 1, 2, 3]
    assert set(chunks[0].metadata) == {"source", "page", "start_index", "chunk", "content_hash"}
    assert "page" not in chunks[3].metadata


def test_what_chroma_cannot_store():
    """Halves of characters, whole numbers beyond 64 bits and what is no number are stored as what can be."""
    odd = {"big": 2**63, "small": -(2**63), "none": float("nan"), "half": "a\ud83d", "flag": True, "k\ud83d": 1}
    (chunk,) = Cutting(20, 0).cut("s", [Document("one \ud83d two", metadata=odd)])
    assert chunk.text == "one ? two"
    kept = {name: value for name, value in chunk.metadata.items() if name in odd or name == "k?"}
    assert kept == {"big": str(2**63), "small": -(2**63), "half": "a?", "flag": True, "k?": 1}
