"""The model of an ingest: its prompts, its tokens, where it is; and that `export` takes the same."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import exporter
from exporter.embedding import models
from exporter.embedding.encoders import _minilm_weights
from exporter.errors import ModelError
from exporter.records import INGESTED, Collection, RecordedModel
from tests.ingestion.little_model import LittleModel

QUESTION = "Which animal barks at night?"


@pytest.fixture(scope="module")
def bare():
    """all-MiniLM-L6-v2 as sentence-transformers has it."""
    return SentenceTransformer(str(_minilm_weights()), device="cpu")


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """Short texts, and one that no model reads to its end."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "dog.txt").write_text("The dog of the neighbours barks all night long.")
    (tmp_path / "docs" / "fibre.md").write_text("# Fibre\n\nLe nœud de raccordement optique dessert la ville d'Évreux.")
    (tmp_path / "docs" / "long.txt").write_text(" ".join(f"sentence number {n} is here." for n in range(300)))
    return tmp_path / "docs"


def vectors():
    """Text -> stored vector."""
    from exporter.sources.directory import Directory

    found = {}

    def use(stored):
        for batch in stored.batches(texts=True):
            found.update(zip(batch.texts, batch.vectors, strict=True))

    source = Directory("db")
    source.read(source.collections()[0], use)
    return found


def test_prompts_are_recorded_and_used_again(docs, bare):
    """Chunks are embedded with the document's prompt; export asks with the question's, and finds nothing wrong."""
    exporter.ingest("db", files="docs", query_prompt="query: ", document_prompt="passage: ")
    stored = vectors()
    expected = bare.encode(["passage: " + text for text in stored], show_progress_bar=False)
    np.testing.assert_allclose(list(stored.values()), expected, atol=1e-5)
    run = exporter.export("db", question=QUESTION, projection="none")
    assert run.warnings == []
    np.testing.assert_allclose(run.points.vectors[-1], bare.encode("query: " + QUESTION), atol=1e-5)
    assert run.questions[0].hits[0].source == "docs/dog.txt"
    assert (
        exporter.export("db", question=QUESTION, run="named", model="all-MiniLM-L6-v2", projection="none").warnings
        == []
    )
    again = exporter.ingest("db", files="docs")
    assert (again.added, again.unchanged) == (0, len(stored))
    with pytest.raises(ModelError, match="made with another document_prompt"):
        exporter.ingest("db", files="docs", document_prompt="search_document: ")


def test_sizes_in_tokens(docs, bare):
    """With --chunk-unit tokens no chunk has more of the model's tokens than asked for, and none is cut off."""
    done = exporter.ingest("db", files="docs", chunk_unit="tokens", chunk_size=50)
    counts = [len(bare.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in vectors()]
    assert done.chunks == len(counts) > 30
    assert 40 < max(counts) <= 50
    assert done.warnings == ()
    (collection,) = exporter.collections("db")
    kept = {name.partition(":")[2]: value for name, value in collection.metadata.items()}
    sizes = {
        "chunk_unit": "tokens",
        "chunk_size": 50,
        "chunk_overlap": 12,
        "splitter": "RecursiveCharacterTextSplitter",
    }
    assert sizes.items() <= kept.items()
    assert exporter.ingest("db", files="docs").unchanged == done.chunks


@pytest.mark.parametrize("prompt", [None, "passage: " * 20])
def test_chunks_that_are_longer_than_the_model_reads(docs, bare, prompt):
    """They are counted and told, the prompt and the model's own marks included."""
    done = exporter.ingest("db", files="docs", chunk_size=1500, document_prompt=prompt)
    assert bare.max_seq_length == 256
    counts = [len(bare.tokenizer((prompt or "") + text)["input_ids"]) for text in vectors()]
    cut = sum(count > 256 for count in counts)
    assert 0 < cut < len(counts)
    (warning,) = done.warnings
    assert warning.startswith(f"{cut} of {len(counts)} new chunks are longer than the 256 tokens that all-MiniLM-L6-v2")


class Endpoint(BaseHTTPRequestHandler):
    """Speaks as much of OpenAI's API as embeddings need."""

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked["model"])
        vectors = LittleModel().embed_documents(asked["input"]).tolist()
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        body = json.dumps({"object": "list", "model": asked["model"], "data": data, "usage": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.asked = []
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_endpoint(docs):
    """An endpoint's model and address are recorded, so neither the next ingest nor export needs to be told; its host
    is named before it gets the texts.
    """
    with endpoint() as server:
        told = []
        base = f"http://127.0.0.1:{server.server_port}/v1"
        done = exporter.ingest("db", files="docs", model="openai:little", base_url=base, notice=told.append)
        assert told == ["the texts are sent to 127.0.0.1"]
        assert exporter.ingest("db", files="docs").unchanged == done.chunks
        run = exporter.export("db", question="the dog barks", projection="none")
        assert run.questions[0].hits[0].source == "docs/dog.txt"
        assert run.warnings == []
        assert set(server.asked) == {"little"}


def test_an_endpoint_elsewhere_is_not_asked_because_a_collection_says_so(docs):
    """A recorded address on another machine gets no question and no key before the user has named it."""
    recorded = RecordedModel(INGESTED, {"model_name": "openai:little", "base_url": "http://example.com/v1"})
    there = Collection("docs", 10, 64, "l2", "default", recorded)
    with pytest.raises(ModelError, match=r"openai:little at http://example.com/v1: if you trust .* --base-url"):
        models.load_model("auto", there)
    with endpoint() as server:
        base = f"http://127.0.0.1:{server.server_port}/v1"
        assert models.load_model("auto", there, base).embed_questions(["x"]).shape == (1, 64)
