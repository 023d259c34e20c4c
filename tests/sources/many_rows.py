"""A directory of very many rows, or collections, made of a small one in a second: Chroma itself would take minutes."""

import os
import pickle
import sqlite3
import struct
import time
import uuid
from contextlib import closing

import numpy as np

DIMENSION = 4
FIRST = 1_000_000


def swell(directory, rows, *, seed=1):
    """Put so many rows, with ids like those of LangChain, in the place of those of its one collection."""
    random = np.random.default_rng(seed)
    ids = [str(uuid.UUID(bytes=random.bytes(16))) for _ in range(rows)]
    with closing(sqlite3.connect(directory / "chroma.sqlite3")) as database, database:
        segments = dict(database.execute("SELECT scope, id FROM segments"))
        for table in ("embeddings_queue", "embeddings", "embedding_metadata", "max_seq_id"):
            database.execute(f"DELETE FROM {table}")
        owner = segments["METADATA"]
        database.executemany(
            "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (?, ?, ?, ?)",
            ((FIRST + i, owner, name, i) for i, name in enumerate(ids)),
        )
        marks = [(segments["METADATA"], rows), (segments["VECTOR"], rows)]
        database.executemany("INSERT INTO max_seq_id (segment_id, seq_id) VALUES (?, ?)", marks)
    folder = directory / segments["VECTOR"]
    vector_at, label_at = 132, 132 + 4 * DIMENSION
    vectors = random.standard_normal((rows, DIMENSION)).astype("<f4")
    elements = np.zeros((rows, label_at + 8), np.uint8)
    elements[:, vector_at:label_at] = vectors.view(np.uint8)
    elements[:, label_at:] = np.arange(rows, dtype="<i8")[:, None].view(np.uint8)
    elements.tofile(folder / "data_level0.bin")
    np.ones(rows, "<f4").tofile(folder / "length.bin")
    sizes = (1, 0, rows, rows, label_at + 8, label_at, vector_at, 0, 0, 16, 32, 16, 0.3, 100)
    (folder / "header.bin").write_bytes(struct.pack("<iQQQQQQiIQQQdQ", *sizes))
    table = {"max_seq_id": None, "id_to_label": dict(zip(ids, range(rows), strict=True))}
    (folder / "index_metadata.pickle").write_bytes(pickle.dumps(table, protocol=3))
    for path in folder.iterdir():
        os.utime(path, (time.time() - 60,) * 2)
    return ids, vectors


def multiply(directory, collections):
    """Add so many empty collections that are copies of its one, but for name and ids."""
    with closing(sqlite3.connect(directory / "chroma.sqlite3")) as database, database:
        database.row_factory = sqlite3.Row
        (one,) = map(dict, database.execute("SELECT * FROM collections"))
        segments = list(map(dict, database.execute("SELECT * FROM segments")))
        metadata = list(map(dict, database.execute("SELECT * FROM collection_metadata")))
        for number in range(collections):
            key = str(uuid.uuid4())
            _insert(database, "collections", {**one, "id": key, "name": f"tenant-{number:05}"})
            for segment in segments:
                _insert(database, "segments", {**segment, "id": str(uuid.uuid4()), "collection": key})
            for row in metadata:
                _insert(database, "collection_metadata", {**row, "collection_id": key})


def _insert(database, table, row):
    marks = ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
