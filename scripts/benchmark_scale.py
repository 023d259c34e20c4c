"""What a million chunks cost: embedding by one worker and by two, scoring a server's collection, listing and drawing.

`python -m scripts.benchmark_scale`. Each figure is the median of several rounds, in which the ways take turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from exporter.engines import engine
from exporter.ingestion.split import split_texts
from exporter.records import Question
from exporter.retrieval.sample import draw
from exporter.retrieval.scan import Query, scan
from exporter.sources import NO_ACCESS, open_source
from exporter.sources.paging import ClientSource, PagedRows
from exporter.workflows.ingest_request import IngestRequest
from exporter.workflows.ingest_work import embedder
from exporter.workflows.spread import score_spread
from scripts.benchmark_ingest import timed

ROUNDS = 5
WINDOWS, WINDOW = 4, 64
ROWS, DIMENSION = 20_000, 384
PORT = 18411
WARM = ["warm"]


def windows() -> list[list[str]]:
    """Chunks of Python's own documentation, as an ingest would hand them out."""
    from pydoc_data.topics import topics

    texts = [one.page_content for one in split_texts(topics, chunk_size=500, chunk_overlap=50)]
    texts *= 1 + WINDOWS * WINDOW // len(texts)
    return [texts[start * WINDOW : (start + 1) * WINDOW] for start in range(WINDOWS)]


def ready_embedder(folder: Path, workers: int) -> Callable[[list[str]], Any]:
    """An embedder that has its model, and on its first texts waits until all workers have theirs."""
    work = embedder(IngestRequest(source="unused", files=(Path(__file__),)), None)

    def embed(texts: list[str]) -> tuple[Any, float]:
        start = time.process_time()
        found = work(texts), time.process_time() - start
        if texts == WARM:
            (folder / str(os.getpid())).touch()
            while len(list(folder.iterdir())) < workers:
                time.sleep(0.05)
        return found

    return embed


def embedding() -> None:
    """Embed the same windows by one worker and by two of a Ray cluster; each has one thread."""
    asked = windows()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    busy: dict[int, list[float]] = {1: [], 2: []}
    vectors: dict[int, Any] = {}
    with engine("ray", "local", 2) as two:
        for _ in range(ROUNDS):
            for workers in (1, 2):
                two.workers = workers  # type: ignore[misc]
                with tempfile.TemporaryDirectory() as folder:
                    make = partial(ready_embedder, Path(folder), workers)
                    results = two.each(make, [WARM] * workers + asked)
                    for _ in range(workers):
                        next(results)
                    start = time.perf_counter()
                    found = list(results)
                    seconds[workers].append(time.perf_counter() - start)
                vectors[workers] = np.concatenate([one.vectors for one, _ in found])
                busy[workers].append(sum(one for _, one in found))
                print(f"  {workers} at once: {seconds[workers][-1]:.2f} s", flush=True)
    one, both = (statistics.median(seconds[workers]) for workers in (1, 2))
    chunks = WINDOWS * WINDOW
    print(f"embedding {chunks:,} chunks of up to 500 characters, all-MiniLM-L6-v2, {ROUNDS} rounds, medians:")
    for name, middle in (("one worker", one), ("two workers", both)):
        print(
            f"  {name} {middle:.2f} s: {chunks / middle:.0f} a second, {1e6 * middle / chunks / 3600:.1f} h a million"
        )
    spent = {workers: 1000 * statistics.median(busy[workers]) / chunks for workers in (1, 2)}
    print(f"  processor time a chunk: one worker {spent[1]:.0f} ms, two {spent[2]:.0f} ms")
    print(f"  speed-up {one / both:.2f}; the same bits: {np.array_equal(vectors[1], vectors[2])}", flush=True)
    work = embedder(IngestRequest(source="unused", files=(Path(__file__),)), None)
    work(WARM)
    here: list[Any] = []
    middle = statistics.median([timed(lambda: here.append([work(texts) for texts in asked])) for _ in range(ROUNDS)])
    largest = np.abs(np.concatenate([part.vectors for part in here[0]]) - vectors[1]).max()
    print(f"  this process, all threads: {middle:.2f} s; largest difference of a number: {largest:.1e}", flush=True)


@contextmanager
def server(folder: str) -> Iterator[str]:
    """A real one, on loopback."""
    address = f"http://127.0.0.1:{PORT}"
    command = [str(Path(sys.executable).parent / "chroma"), "run", "--path", folder, "--host", "127.0.0.1"]
    with subprocess.Popen([*command, "--port", str(PORT)], stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                try:
                    httpx.get(f"{address}/api/v2/heartbeat", timeout=5)
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            yield address
        finally:
            process.kill()


def serving() -> None:
    """Fill a server, then read it in each way."""
    random = np.random.default_rng(0)
    question = [Question("a", random.normal(size=DIMENSION).astype(np.float32))]
    with tempfile.TemporaryDirectory() as folder, server(folder) as address:
        source = open_source(address)
        assert isinstance(source, ClientSource)  # noqa: S101 - for the type checker
        made = source.client.create_collection("big", embedding_function=None)
        start = time.perf_counter()
        for first in range(0, ROWS, 2500):
            names = range(first, first + 2500)
            made.upsert(
                ids=[f"chunk-{i:09}" for i in names],
                embeddings=random.normal(size=(2500, DIMENSION)).astype(np.float32),
                documents=[f"text {i} " * 50 for i in names],
                metadatas=[{"source": f"doc{i % 97}", "page": i} for i in names],
            )
        _tell(f"storing {ROWS:,} chunks of {DIMENSION} dimensions", [time.perf_counter() - start])
        (collection,) = source.collections()

        def read(use: Callable[[Any], object]) -> float:
            return timed(lambda: source.read(collection, use))

        def drawn(rows: PagedRows) -> object:
            ids = draw(rows.id_pages(), set(), 5000, 0).ids
            return list(rows.named(ids))

        vector = question[0].vector[None]
        _tell("listing ids", [read(lambda rows: rows.check()) / 2 for _ in range(ROUNDS)])
        _tell("drawing and fetching 5,000", [read(drawn) for _ in range(ROUNDS)], rows=0)
        index = [timed(lambda: source.query(collection, vector, 1000)) for _ in range(ROUNDS)]
        _tell("asking the index for 1,000", index, rows=0)
        ways: dict[str, list[float]] = {"here": [], "one worker": [], "two workers": []}
        query = Query(question, [None], collection.space)
        with engine("ray", "local", 2) as ray:
            for _ in range(3):
                ways["here"].append(read(lambda rows: scan(rows.batches(), query)))
                for workers, name in ((1, "one worker"), (2, "two workers")):
                    ray.workers = workers  # type: ignore[misc]
                    ways[name].append(
                        read(
                            lambda rows: score_spread(
                                ray,
                                address,
                                NO_ACCESS,
                                collection,
                                query,
                                rows,
                                1000,
                                lambda *_: None,
                            )
                        )
                    )
        for name, seconds in ways.items():
            _tell(f"reading and scoring all, {name}", seconds)


def _tell(what: str, seconds: list[float], rows: int = ROWS) -> None:
    middle = statistics.median(seconds)
    million = f", {middle * 1e6 / rows:.0f} s a million" if rows else ""
    print(f"{what}: {middle:.2f} s{million} (of {len(seconds)}: {min(seconds):.2f} to {max(seconds):.2f})", flush=True)


if __name__ == "__main__":
    embedding()
    serving()
