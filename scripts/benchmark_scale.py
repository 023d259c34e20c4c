"""What a million chunks cost: embedding by one worker and by two, scoring a server's collection, listing and drawing.

`python -m scripts.benchmark_scale`. Each figure is the median of several rounds, in which the ways take turns.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from exporter.engines import engine
from exporter.ingestion.split import split_texts
from exporter.records import Question
from exporter.retrieval.sample import draw
from exporter.retrieval.scan import scan
from exporter.sources import NO_ACCESS, open_source
from exporter.sources.paging import ClientSource, PagedRows
from exporter.workflows.ingest_request import IngestRequest
from exporter.workflows.ingest_work import embedder
from exporter.workflows.spread import score_spread

ROUNDS = 5
WINDOWS, WINDOW = 4, 512
ROWS, DIMENSION = 50_000, 384
PORT = 18411


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def windows() -> list[list[str]]:
    """Chunks of Python's own documentation, as an ingest would hand them out."""
    from pydoc_data.topics import topics

    texts = [one.page_content for one in split_texts(topics, chunk_size=500, chunk_overlap=50)]
    texts *= 1 + WINDOWS * WINDOW // len(texts)
    return [texts[start * WINDOW : (start + 1) * WINDOW] for start in range(WINDOWS)]


def embedding() -> None:
    """Embed the same windows by one worker and by two of a Ray cluster; each has one thread."""
    asked, request = windows(), IngestRequest(source="unused", files=(Path(__file__),))
    make = _maker(request)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    vectors: dict[int, Any] = {}
    with engine("ray", "local", 2) as two:
        for _ in range(ROUNDS):
            for workers in (1, 2):
                two.workers = workers  # type: ignore[misc]
                results = two.each(make, [["warm"]] * 2 * workers + asked)
                for _ in range(2 * workers):
                    next(results)  # the models are loaded
                start = time.perf_counter()
                found = list(results)
                seconds[workers].append(time.perf_counter() - start)
                vectors[workers] = np.concatenate([one.vectors for one in found if one is not None])
    one, both = (statistics.median(seconds[workers]) for workers in (1, 2))
    rate = WINDOWS * WINDOW / one
    print(f"embedding {WINDOWS * WINDOW:,} chunks of 500 characters, all-MiniLM-L6-v2, {ROUNDS} rounds, medians:")
    print(f"  one worker {one:.1f} s ({rate:.0f} a second, {1e6 / rate / 3600:.1f} h a million), two {both:.1f} s")
    print(f"  speed-up of two over one: {one / both:.2f}; the same bits: {np.array_equal(vectors[1], vectors[2])}")
    local = _local(asked, make)
    here = statistics.median(local[0])
    print(f"  this process, all threads: {here:.1f} s; largest difference {np.abs(local[1] - vectors[1]).max():.1e}")


def _maker(request: IngestRequest) -> Callable[[], Callable[[list[str]], Any]]:
    return lambda: embedder(request, None)


def _local(asked: list[list[str]], make: Callable[[], Callable[[list[str]], Any]]) -> tuple[list[float], Any]:
    work, found = make(), []
    work(["warm"])
    seconds = [timed(lambda: found.append([work(texts) for texts in asked])) for _ in range(3)]
    return seconds, np.concatenate([one.vectors for one in found[0]])


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
        with engine("ray", "local", 2) as ray:
            for _ in range(3):
                ways["here"].append(read(lambda rows: scan(rows.batches(), question, [None], collection.space)))
                for workers, name in ((1, "one worker"), (2, "two workers")):
                    ray.workers = workers  # type: ignore[misc]
                    ways[name].append(
                        read(
                            lambda rows: score_spread(
                                ray,
                                address,
                                NO_ACCESS,
                                collection,
                                question,
                                [None],
                                collection.space,
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
