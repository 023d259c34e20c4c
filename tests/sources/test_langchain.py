import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import chromadb
import numpy as np
import pytest
from langchain_chroma import Chroma
from langchain_core.embeddings import DeterministicFakeEmbedding

from exporter.errors import CollectionError, QueryError, SourceError
from exporter.records import Collection
from exporter.sources import open_source
from exporter.sources.faults import Faults
from exporter.sources.paging import ClientSource
from tests.sources.conftest import content, content_of


@pytest.fixture
def collection():
    client = chromadb.EphemeralClient()
    made = client.create_collection("live", metadata={"hnsw:space": "cosine"}, embedding_function=None)
    vectors = np.random.default_rng(1).standard_normal((1200, 3))
    made.add(
        ids=[f"id{i}" for i in range(1200)],
        embeddings=vectors,
        documents=[f"text {i}" for i in range(1200)],
        metadatas=[{"page": i, "source": "a"} if i % 2 else None for i in range(1200)],
    )
    yield made
    client.delete_collection("live")


def test_a_live_collection_is_read_through_its_own_client(collection):
    """Every row is the one of its `get`, in its order, with float32 vectors."""
    source = open_source(collection)
    (described,) = source.collections()
    found = collection.get(include=["embeddings", "documents", "metadatas"])
    expected = content(
        found["ids"], found["documents"], [each or None for each in found["metadatas"]], found["embeddings"]
    )
    assert source.read(described, content_of) == expected
    assert (described.name, described.rows, described.dimension, described.space) == ("live", 1200, 3, "cosine")
    assert "live" in source.location
    assert source.read(described, lambda rows: rows.rule) == "collection.get"


def test_a_live_collection_is_filtered(collection):
    """Filters are those of Chroma, and the same ones are refused."""
    source = open_source(collection)
    (described,) = source.collections()
    assert source.read(described, lambda rows: rows.count, where={"page": {"$lt": 10}}) == 5
    with pytest.raises(QueryError, match="where"):
        source.read(described, content_of, where={})


class Odd:
    """A client of a collection that hands out one thing as Chroma never does, in each row."""

    def __init__(self, collection, key, value):
        self.inner, self.key, self.value = collection, key, value

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def get(self, **asked):
        answer = self.inner.get(**asked)
        return {**answer, self.key: answer[self.key] and [self.value] * len(answer["ids"])}


@pytest.mark.parametrize(
    ("key", "value"), [("ids", 7), ("ids", None), ("documents", 5), ("documents", {"a": 1}), ("metadatas", "abc")]
)
def test_what_chroma_never_hands_out_is_refused(collection, key, value):
    """An id or a document that is no text, and metadata that has no keys, are told in one line."""
    source = open_source(Odd(collection, key, value))
    (described,) = source.collections()
    with pytest.raises(SourceError, match=f"answers as Chroma never does: {key} of type {type(value).__name__};"):
        source.read(described, content_of)


class Endless(Odd):
    """One that gives its first ids whatever page is asked for."""

    def get(self, **asked):
        return self.inner.get(**{**asked, "offset": 0}) if "ids" not in asked else self.inner.get(**asked)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("where", [None, {"page": {"$gt": 5}}])
def test_pages_that_never_end(collection, where):
    """A client that always has another page is left after as many ids as it says it has."""
    source = open_source(Endless(collection, "", None))
    (described,) = source.collections()
    with pytest.raises(SourceError, match="was written to each time it was read"):
        source.read(described, content_of, where=where)


def test_a_count_that_is_not_true(collection):
    """A client that says it has a million billion rows gets no memory for them."""
    source = open_source(collection)
    (described,) = source.collections()
    many = SimpleNamespace(get=collection.get, count=lambda: 10**15, configuration_json={}, name="many")
    with pytest.raises(SourceError, match="many was written to each time it was read"):
        open_source(many).read(replace(described, name="many"), content_of)


@pytest.mark.timeout(60)
def test_collections_that_never_end():
    """A client that lists the same collections whatever page is asked for is no Chroma's."""
    client = SimpleNamespace(list_collections=lambda limit, offset: [SimpleNamespace(id=7, name="x")])
    with pytest.raises(SourceError, match="answers as Chroma never does: the same collections on every page"):
        ClientSource(client, "here", "rule", Faults(SourceError, "here")).collections()


def test_a_collection_that_was_deleted_is_told_in_one_line(collection):
    """What the client raises comes as an error of ours."""
    source = open_source(collection)
    (described,) = source.collections()
    client = chromadb.EphemeralClient()
    client.delete_collection("live")
    with pytest.raises((CollectionError, SourceError)) as caught:
        source.read(described, content_of)
    assert "\n" not in str(caught.value)
    client.create_collection("live")


def test_a_langchain_store_is_a_source():
    """A LangChain `Chroma` is its collection."""
    store = Chroma("notes", DeterministicFakeEmbedding(size=5), client=chromadb.EphemeralClient())
    store.add_texts(["one", "two"], [{"page": 1}, {"page": 2}], ids=["a", "b"])
    source = open_source(store)
    (described,) = source.collections()
    assert (described.name, described.rows, described.dimension) == ("notes", 2, 5)
    assert source.read(described, content_of).texts == ["one", "two"]
    store.delete_collection()


def test_rows_without_a_vector_are_told_with_the_way_out(written, tmp_path):
    """Where Chroma itself can't give the vectors any more, the error says what can."""
    directory = Path(shutil.copytree(written, tmp_path / "chroma"))
    (folder,) = [path for path in directory.iterdir() if path.is_dir()]
    shutil.rmtree(folder)
    client = chromadb.PersistentClient(str(directory))
    source = open_source(client.get_collection("chunks", embedding_function=None))
    with pytest.raises(SourceError, match="rows without a vector; read the directory itself"):
        source.read(Collection("chunks", 53, 4, "l2", ""), content_of)
    client.close()
