"""chromadb in a process of its own: reads one JSON command a line, answers each with one pickle on stdout.

Python's sqlite3 and chromadb's SQLite do not see each other's locks within one process, so tests that read files must
not hold a client.
"""

import json
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import chromadb
import numpy as np
from chromadb.config import Settings

SETTINGS = Settings(anonymized_telemetry=False)
clients = {}


def client(path):
    if path not in clients:
        clients[path] = chromadb.PersistentClient(path, settings=SETTINGS)
    return clients[path]


def close(path):
    if path in clients:
        clients.pop(path).close()


def write(path, collection, steps, metadata=None, configuration=None, forgiving=False):
    """Apply [operation, arguments] in turn; `forgiving` goes on after those that Chroma refuses."""
    made = client(path).get_or_create_collection(
        collection, metadata=metadata, configuration=configuration, embedding_function=None
    )
    for operation, arguments in steps:
        if isinstance(drawn := arguments.get("embeddings"), dict):
            arguments["embeddings"] = vectors(**drawn)
        try:
            getattr(made, operation)(**arguments)
        except (ValueError, TypeError):
            if not forgiving:
                raise


def vectors(rows, dimension, seed, scale):
    drawn = np.random.default_rng(seed).standard_normal((rows, dimension)) * scale
    if seed % 5 == 0:
        drawn[0] = 0
    return drawn.astype(np.float32)


def get(path, collection, where=None, where_document=None, on_a_copy=True):
    """What Chroma gives for a directory, from a copy: its first `get` of a collection writes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        if on_a_copy:
            path = shutil.copytree(path, Path(folder) / "copy")
        try:
            found = client(str(path)).get_collection(collection, embedding_function=None)
            rows = found.get(
                include=["embeddings", "documents", "metadatas"], where=where, where_document=where_document
            )
        finally:
            if on_a_copy:
                close(str(path))
    vectors = np.asarray(rows["embeddings"], np.float32)
    return rows["ids"], rows["documents"], [metadata or None for metadata in rows["metadatas"]], vectors


def filtered(path, collection, filters):
    """The ids that each [where, where_document] leaves; None where Chroma refuses it."""
    found = client(path).get_collection(collection, embedding_function=None)
    answers = []
    for where, where_document in filters:
        try:
            answers.append(found.get(where=where, where_document=where_document, include=[])["ids"])
        except Exception:
            answers.append(None)
    return answers


def described(path):
    """The metric that the package finds for each collection of a client."""
    from exporter.errors import SourceError
    from exporter.sources.faults import Faults
    from exporter.sources.paging import describe

    return {one.name: describe(one, Faults(SourceError, "here")).space for one in client(path).list_collections()}


def drop(path, collection):
    client(path).delete_collection(collection)


COMMANDS = {"write": write, "get": get, "filtered": filtered, "described": described, "drop": drop, "close": close}

if __name__ == "__main__":
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer = COMMANDS[command](**arguments)
        except Exception as error:
            answer = error.with_traceback(None)
        pickle.dump(answer, answers)
        answers.flush()
