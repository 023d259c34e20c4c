"""How `chroma-0.3.29.zip` was made: `python make_before_0_4.py NAME.zip` in an environment of its own with
chromadb 0.3.29, duckdb before 1 and pandas before 2.3.
"""

import json
import random
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import chromadb
import numpy as np
from chromadb.config import Settings


def client_of(path):
    settings = Settings(chroma_db_impl="duckdb+parquet", persist_directory=str(path), anonymized_telemetry=False)
    return chromadb.Client(settings)


def write(path):
    shuffle, draw = random.Random(5), np.random.default_rng(5)
    client = client_of(path)
    for space in ("l2", "cosine"):
        metadata = {"hnsw:space": space, "owner": "me"}
        made = client.create_collection(f"by-{space}", metadata=metadata, embedding_function=lambda texts: None)
        ids = [f"id{i:02d}" for i in range(30)] + ["ü"]
        shuffle.shuffle(ids)

        def records(names):
            return {
                "ids": names,
                "embeddings": (draw.standard_normal((len(names), 5)) * 3).astype("f4").tolist(),
                "documents": [f"text of {name}" for name in names],
                "metadatas": [{"page": i, "f": i / 3, "s": "é"} for i in range(len(names))],
            }

        made.add(**records(ids[:23]))
        made.delete(ids=ids[3:5])
        made.upsert(**records(ids[20:29]))
        made.update(ids=ids[1:3], metadatas=[{"page": 99}, {"s": "new"}])
        made.add(ids=ids[29:], embeddings=[[1, 2, 3, 4, 5.0], [5, 4, 3, 2, 1.0]])
    client.persist()


def expected(path):
    client = client_of(path)
    found = {}
    for name in ("by-l2", "by-cosine"):
        made = client.get_collection(name, embedding_function=lambda texts: None)
        rows = made.get(include=["embeddings", "documents", "metadatas"])
        vectors = np.asarray(rows["embeddings"], dtype="f4").tolist()
        found[name] = [rows["ids"], rows["documents"], rows["metadatas"], vectors]
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chroma"
        if len(sys.argv) > 2:
            write(sys.argv[2])
            sys.exit()
        import subprocess

        subprocess.run([sys.executable, __file__, sys.argv[1], str(path)], check=True)
        copy = Path(shutil.copytree(path, Path(folder) / "copy"))
        with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for file in sorted(path.glob("*.parquet")):
                archive.writestr(file.name, file.read_bytes())
            archive.writestr("expected.json", json.dumps(expected(copy), ensure_ascii=False))
