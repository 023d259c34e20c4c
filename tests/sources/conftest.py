"""chromadb in a process of its own, some directories that it wrote, and what a source gives in a form that compares."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from exporter.sources.directory import Directory

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where Chroma's many commits wait for no disk; for the tests that write a directory an example."""

PROCESS = Path(__file__).parent / "chroma_process.py"


class ChromaProcess:
    """Calls the commands of `chroma_process.py`; an error there is raised here."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, command, **arguments):
        self.process.stdin.write(json.dumps([command, arguments], default=str).encode() + b"\n")
        self.process.stdin.flush()
        answer = pickle.load(self.process.stdout)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Content(NamedTuple):
    """A whole collection. Metadata with the type of each value, vectors as their bits."""

    ids: list
    texts: list
    metadatas: list
    bits: list


def content(ids, texts, metadatas, vectors):
    typed = [metadata and {key: (type(value), value) for key, value in metadata.items()} for metadata in metadatas]
    return Content(list(ids), list(texts), typed, np.asarray(vectors, np.float32).view(np.uint32).tolist())


def content_of(rows):
    """All of `Rows`."""
    batches = list(rows.batches(texts=True, metadatas=True))
    return content(
        [name for batch in batches for name in batch.ids],
        [text for batch in batches for text in batch.texts],
        [metadata for batch in batches for metadata in batch.metadatas],
        np.concatenate([batch.vectors for batch in batches]) if batches else np.empty((0, 0)),
    )


def read(directory, name="chunks", use=content_of, **filters):
    """What `use` makes of one collection of a directory."""
    source = Directory(directory)
    (collection,) = [one for one in source.collections() if one.name == name]
    return source.read(collection, use, **filters)


def fingerprint(directory):
    """Every file under a directory, with the sha256 of its bytes."""
    files = sorted(path for path in Path(directory).rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def worker():
    process = ChromaProcess()
    yield process
    process.process.stdin.close()
    process.process.wait(timeout=30)


def rows(count, first=0, *, dimension=4, **more):
    """Arguments for `add` and `upsert`: ids from `id<first>`, vectors, texts and metadata."""
    return {
        "ids": [f"id{i}" for i in range(first, first + count)],
        "embeddings": {"rows": count, "dimension": dimension, "seed": first + 1, "scale": 1.0},
        "documents": [f"text {i}" for i in range(first, first + count)],
        "metadatas": [{"source": f"doc{i % 3}.md", "page": i} for i in range(first, first + count)],
        **more,
    }


@pytest.fixture(scope="session")
def written(worker, tmp_path_factory):
    """A directory of which most vectors are in the index, some in the queue; not to be changed."""
    path = tmp_path_factory.mktemp("written") / "chroma"
    steps = [["add", rows(50)], ["add", rows(5, 50)], ["delete", {"ids": ["id3", "id51"]}]]
    worker(
        "write",
        path=path,
        collection="chunks",
        steps=steps,
        metadata={"hnsw:sync_threshold": 50, "hnsw:batch_size": 10},
    )
    worker("close", path=path)
    return path


@pytest.fixture
def directory(written, tmp_path):
    """A copy of that directory, to be spoilt."""
    return Path(shutil.copytree(written, tmp_path / "chroma"))


@pytest.fixture
def index(directory):
    """Its index folder."""
    (folder,) = [path for path in directory.iterdir() if path.is_dir()]
    return folder
