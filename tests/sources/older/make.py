"""How the archives here were made: `python make.py NAME.zip` in an environment of its own with that chromadb.

Each holds a directory as that version left it, and `expected.json`: what its own `get` gave for a copy.
"""

import json
import random
import shutil
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import chromadb
import numpy as np


def write(path):
    shuffle, draw = random.Random(5), np.random.default_rng(5)
    client = chromadb.PersistentClient(path=str(path))
    for space in ("l2", "cosine"):
        metadata = {"hnsw:space": space, "hnsw:sync_threshold": 20, "hnsw:batch_size": 7, "owner": "me"}
        made = client.create_collection(f"by-{space}", metadata=metadata, embedding_function=None)
        ids = [f"id{i:02d}" for i in range(30)] + ["ü"]
        shuffle.shuffle(ids)

        def records(names):
            return {
                "ids": names,
                "embeddings": (draw.standard_normal((len(names), 5)) * 3).astype("f4").tolist(),
                "documents": [f"text of {name}" for name in names],
                "metadatas": [{"page": i, "f": i / 3, "b": i % 2 == 0, "s": "é"} for i in range(len(names))],
            }

        made.add(**records(ids[:23]))
        made.delete(ids=ids[3:5])
        made.upsert(**records(ids[20:29]))
        made.update(ids=ids[1:3], metadatas=[{"page": 99}, {"s": "new"}])
        made.add(**records(ids[29:]))
        made.delete(ids=ids[7:9])
        made.update(ids=[ids[10]], embeddings=[[1, 2, 3, 4, 5.0]])


def expected(path):
    client = chromadb.PersistentClient(path=str(path))
    found = {}
    for name in ("by-l2", "by-cosine"):
        rows = client.get_collection(name, embedding_function=None).get(
            include=["embeddings", "documents", "metadatas"]
        )
        vectors = np.asarray(rows["embeddings"], dtype="f4").tolist()
        found[name] = [rows["ids"], rows["documents"], rows["metadatas"], vectors]
    return found


def without_memory(path, content):
    """Behind the elements that are in use lies whatever was in memory: nobody's business."""
    if path.name not in ("data_level0.bin", "length.bin"):
        return content
    count, size = struct.unpack_from("<QQ", (path.parent / "header.bin").read_bytes(), 20)
    used = count * (size if path.name == "data_level0.bin" else 4)
    return content[:used] + bytes(len(content) - used)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chroma"
        if len(sys.argv) > 2:  # in a process of its own: the writer's batches are not those of a reader
            write(sys.argv[2])
            sys.exit()
        import subprocess

        subprocess.run([sys.executable, __file__, sys.argv[1], str(path)], check=True)
        copy = Path(shutil.copytree(path, Path(folder) / "copy"))
        with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                archive.writestr(str(file.relative_to(path)), without_memory(file, file.read_bytes()))
            archive.writestr("expected.json", json.dumps(expected(copy), ensure_ascii=False))
