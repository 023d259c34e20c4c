"""A writer that never rests: `python writer.py DIRECTORY ROWS SYNC SECONDS`, one JSON line at the end.

Each round upserts all rows with the number of the round as every component and as metadata, and now and then deletes
some. A reader must never see two rounds in one row.

Chroma 1.5.9 now and then loses updates of a batch when it persists its index, so that its own `get` gives old vectors,
too; less often with RAYON_NUM_THREADS=1. `lost` are the rounds in which it did.
"""

import json
import sys
import time

import chromadb
import numpy as np
from chromadb.config import Settings

path, count, sync, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
client = chromadb.PersistentClient(path, settings=Settings(anonymized_telemetry=False))
made = client.get_or_create_collection(
    "chunks", metadata={"hnsw:sync_threshold": sync, "hnsw:batch_size": min(sync, 100)}, embedding_function=None
)
ids = [f"id{i}" for i in range(count)]
rounds, slowest, lost, end = 0, 0.0, [], time.monotonic() + seconds
while time.monotonic() < end or rounds < 6:
    rounds += 1
    start = time.monotonic()
    made.upsert(ids=ids, embeddings=np.full((count, 16), rounds, np.float32), metadatas=[{"round": rounds}] * count)
    if (made.get(include=["embeddings"])["embeddings"] != rounds).any():
        lost.append(rounds)
    if rounds % 5 == 0:
        made.delete(ids=ids[: count // 4])
    slowest = max(slowest, time.monotonic() - start)
    if rounds == 1:
        print("ready", flush=True)
print(json.dumps({"rounds": rounds, "slowest": slowest, "lost": lost}))
