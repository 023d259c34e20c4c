"""What many tests share: a demo collection, embedded once; small collections, written by Chroma in its own process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

WRITE = """
import json, sys
import chromadb, numpy
asked = json.load(sys.stdin)
client = chromadb.PersistentClient(asked["directory"])
for one in asked["collections"]:
    made = client.create_collection(
        one["name"], metadata={"hnsw:space": one["space"], **one["metadata"]}, embedding_function=None
    )
    if one["ids"]:
        made.add(ids=one["ids"], embeddings=one["vectors"], documents=one["texts"], metadatas=one["metadatas"])
client.close()
"""


def collection(
    name="chunks", vectors=None, *, rows=30, dimension=8, space="l2", texts=None, metadatas=None, metadata=None
):
    """What to store: by default chunks `id0` ... of random vectors, with a text, a source and a page each."""
    if vectors is None:
        vectors = np.random.default_rng(7).normal(size=(rows, dimension))
    vectors = np.asarray(vectors, np.float32).tolist()
    rows = len(vectors)
    return {
        "name": name,
        "space": space,
        "metadata": metadata or {},
        "ids": [f"id{i}" for i in range(rows)],
        "vectors": vectors,
        "texts": texts or [f"text {i}" for i in range(rows)],
        "metadatas": metadatas or [{"source": f"doc{i % 3}.md", "page": i} for i in range(rows)],
    }


def write_chroma(directory, *collections):
    """A Chroma directory, written by a real client: in another process, as two SQLites in one don't see each other."""
    asked = {"directory": str(directory), "collections": collections or [collection()]}
    subprocess.run([sys.executable, "-c", WRITE], input=json.dumps(asked), text=True, check=True, capture_output=True)
    return Path(directory)


@pytest.fixture(scope="session")
def chroma(tmp_path_factory):
    """A directory with one small collection, `chunks`; not to be changed."""
    return write_chroma(tmp_path_factory.mktemp("chroma") / "db")


@pytest.fixture
def vector(tmp_path):
    """A file with a question's vector for that collection."""
    path = tmp_path / "question.json"
    path.write_text(json.dumps(np.random.default_rng(8).normal(size=8).tolist()))
    return path


@pytest.fixture(scope="session")
def demo_directory(request):
    """The demo collection, built by the real model; kept between test runs, as it takes a minute."""
    from exporter.workflows.demo import CHUNK_SIZE, build

    version = f"{sys.version_info[0]}.{sys.version_info[1]}"  # its text is that Python's own
    folder = Path(request.config.cache.mkdir(f"demo-collection-{version}-{CHUNK_SIZE}"))
    with FileLock(folder / "lock"):
        return build(folder / "chroma")


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch):
    """No colours, a known width, and nothing from the developer's own environment."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    for name in tuple(os.environ):  # MAKELEVEL changes what is to be typed next
        if name.startswith(("CHROMA_", "HF_", "MAKE")) and name != "CHROMA_PROJECTOR_BROWSER":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def cache_of_its_own(tmp_path_factory):
    """Tests neither read nor fill the user's cache of vectors; commands that they start inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
