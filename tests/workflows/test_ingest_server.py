"""From files to a collection of a real Chroma server, again and again."""

import pytest

import exporter
from exporter.errors import CollectionError, NetworkError, OutputError
from exporter.sources import Access
from exporter.sources.server import Server
from tests.ingestion.little_model import LittleModel
from tests.ingestion.site import words
from tests.sources.served import running

PARAGRAPHS = 400
"""More than a write to a server takes."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """An empty server."""
    with running(tmp_path_factory.mktemp("served")) as (_, address):
        yield address


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """Two files; the state of an ingest is kept in a home of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("\n\n".join(words(number, 8) for number in range(PARAGRAPHS)))
    (tmp_path / "docs" / "b.txt").write_text("Le nœud de raccordement dessert Évreux.")
    return tmp_path / "docs"


def test_a_server(address, docs):
    """What was ingested is asked by export; the second run embeds nothing, --prune removes what is gone."""
    asked = {"files": "docs", "chunk_size": 80, "chunk_overlap": 0, "collection": "docs"}
    model = LittleModel()
    first = exporter.ingest(address, model=model, **asked)
    assert first.added == first.chunks >= PARAGRAPHS
    run = exporter.export(address, question="le nœud de raccordement dessert", answer="dessert Évreux", model=model)
    assert run.questions[0].first_answer_rank == 1
    assert run.warnings == []
    second = exporter.ingest(address, model=LittleModel(), **asked)
    assert (second.added, second.unchanged, second.updated) == (0, first.chunks, 0)
    (docs / "a.txt").unlink()
    third = exporter.ingest(address, model=LittleModel(), prune=True, **asked)
    assert third.removed == first.chunks - 1
    (collection,) = (one for one in exporter.collections(address) if one.name == "docs")
    assert (collection.rows, collection.metadata["ingest:chunk_size"]) == (1, 80)
    assert not list((docs.parent / "cache" / "chroma-projector").iterdir())


def test_a_foreign_collection(address, docs):
    """A server's collection that no ingest made is added to only with --into-existing."""
    made = Server(address).client.create_collection("theirs", embedding_function=None)
    made.add(ids=["1"], documents=["x"], embeddings=LittleModel().embed_documents(["x"]))
    asked = {"files": docs / "b.txt", "collection": "theirs", "model": LittleModel()}
    with pytest.raises(CollectionError, match=r"'theirs' in 127.0.0.1:\d+ was not made by ingest"):
        exporter.ingest(address, **asked)
    assert exporter.ingest(address, into_existing=True, **asked).added == 1
    assert made.count() == 2


def test_two_at_once(address, docs):
    """A second ingest into the same collection is told so; one into another collection is not in its way."""
    told = []

    class Meanwhile(LittleModel):
        def embed_documents(self, texts):
            if not told:
                told.append("")
                exporter.ingest(address, files=docs / "b.txt", collection="beside", model=LittleModel())
                with pytest.raises(OutputError) as error:
                    exporter.ingest(address, files="docs", collection="twice", model=LittleModel())
                told.append(str(error.value))
            return super().embed_documents(texts)

    exporter.ingest(address, files="docs", collection="twice", model=Meanwhile())
    assert told[1].startswith("another ingest is writing to 127.0.0.1")


def test_a_server_that_dies(tmp_path, docs):
    """A server that goes away meanwhile is one line, of the network's kind, without the token; the next run goes on."""

    class Kills(LittleModel):
        def embed_documents(self, texts):
            if len(texts) > 1:
                server.kill()
                server.wait()
            return super().embed_documents(texts)

    with running(tmp_path / "served") as (server, address), pytest.raises(NetworkError) as error:
        access = Access(token="s3cret", timeout=5)
        exporter.ingest(address, files="docs", model=Kills(), access=access, chunk_size=80, chunk_overlap=0)
    assert str(error.value).startswith(f"{address.removeprefix('http://')} can't be written: ")
    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)
    with running(tmp_path / "served") as (_, address):
        done = exporter.ingest(address, files="docs", model=LittleModel(), chunk_size=80, chunk_overlap=0)
        assert exporter.collections(address)[0].rows == done.chunks
