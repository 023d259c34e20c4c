"""How long the ranking of `evaluate` takes beside bare numpy: `python -m scripts.benchmark_evaluate [QUESTIONS ROWS]`.

Made-up chunks and questions: mixtures of Gaussians in 384 dimensions, in batches of 1,000 as a source gives them. In
turn: numpy's product of all questions and chunks with an `argpartition` of the result, which is neither exact nor in
order; and `Ranker`. Medians of five, their ratio, and the memory that each takes at its peak beyond the chunks. Then,
once, how long it takes to look for an answer to each question in each chunk.
"""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np

from exporter.records import Batch, Float32, Float64, Space
from exporter.retrieval.answers import holding, match_any
from exporter.retrieval.distance import distances
from exporter.retrieval.nearest import Ranker

DIMENSION, DEPTH, BATCH, ROUNDS = 384, 100, 1000, 5


def main(questions: int, rows: int) -> None:
    """Print the figures for so many questions and chunks."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(300, DIMENSION))
    chunks = (centres[random.integers(0, 300, rows)] + random.normal(size=(rows, DIMENSION))).astype(np.float32)
    asked = (centres[random.integers(0, 300, questions)] + random.normal(size=(questions, DIMENSION))).astype(
        np.float32
    )
    ways: dict[str, Callable[[], object]] = {
        "bare numpy": lambda: bare(asked, chunks),
        "Ranker, l2": lambda: ranked(asked, chunks, "l2"),
        "Ranker, cosine": lambda: ranked(asked, chunks, "cosine"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    base = statistics.median(seconds["bare numpy"])
    for name, way in ways.items():
        taken = statistics.median(seconds[name])
        print(f"{name}: {taken:.2f} s, ratio {taken / base:.2f}, peak {peak(way) / 2**20:,.0f} MB")
    found = ranked(asked, chunks, "l2")
    exact = np.sort(distances(chunks, asked[0], "l2"))[:DEPTH]
    print(f"the first question's distances are the row kernel's, bit by bit: {bool((found[0] == exact).all())}")
    start = time.perf_counter()
    look(questions, rows)
    print(f"looking for {questions:,} answers in {rows:,} texts: {time.perf_counter() - start:.1f} s")


def look(questions: int, rows: int) -> None:
    """Normalized words in texts of about 400 characters."""
    random = np.random.default_rng(1)
    matchers = [match_any([f"answer number {place}"]) for place in random.integers(0, rows, questions).tolist()]
    for start in range(0, rows, BATCH):
        words = random.integers(0, 5000, (BATCH, 50)).tolist()
        texts = [" ".join(f"word{one}" for one in line) + f" answer number {start + i}" for i, line in enumerate(words)]
        holding(texts, matchers)


def bare(asked: Float32, chunks: Float32) -> object:
    """The positions of the nearest, in no order, by a float32 product."""
    return np.argpartition(asked @ chunks.T, DEPTH, axis=1)[:, :DEPTH]


def ranked(asked: Float32, chunks: Float32, metric: Space) -> Float64:
    """(q, DEPTH) distances of the nearest, exact and in order."""
    ranker = Ranker(asked, metric, DEPTH)
    for batch in batches(chunks):
        ranker.add(batch)
    return ranker.nearest().distances


def batches(chunks: Float32) -> Iterator[Batch]:
    """As a source gives them."""
    for start in range(0, len(chunks), BATCH):
        part = chunks[start : start + BATCH]
        yield Batch([f"id{start + row}" for row in range(len(part))], part)


def peak(way: Callable[[], object]) -> int:
    """Bytes at most that it held; the clock is not looked at, as the tracing slows it down."""
    tracemalloc.start()
    way()
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:])) if len(sys.argv) > 2 else main(1000, 100_000)
