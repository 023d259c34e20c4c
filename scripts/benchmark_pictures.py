"""How long layouts take, and how soon the Projector shows a picture: `python -m scripts.benchmark_pictures`.

Made-up chunks: mixtures of Gaussians in 384 dimensions. One run is exported with all pictures, one with `vectors`
alone, and both are opened in turn in a headless Chromium, each three times. Medians and their ratio are printed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from exporter.records import Batch, Metadata, Question
from exporter.retrieval.answers import match_any
from exporter.retrieval.scan import Query, scan
from exporter.runs import folder
from exporter.runs.metadata import table
from exporter.runs.points import Points, arrange
from exporter.workflows.pictures import Projection, draw_pictures
from exporter.workflows.serve import serve

DIMENSION = 384
OPENINGS = 3


def main(rows: int) -> None:
    """Print the figures for so many chunks."""
    from tests.end_to_end.browser import Projector, launch

    batch, question = make_up(rows)
    driver, browser = launch()
    with tempfile.TemporaryDirectory() as scratch:
        seconds: dict[Projection, list[float]] = {"umap": [], "none": []}
        for projection in seconds:
            write(Path(scratch) / projection / "run", batch, question, projection)
        for _ in range(OPENINGS):
            for projection, taken in seconds.items():
                with serve(Path(scratch) / projection, port=0) as server:
                    taken.append(first_picture(Projector(browser), server.url))
    browser.close()
    driver.stop()
    medians = {projection: statistics.median(taken) for projection, taken in seconds.items()}
    print(f"first picture, all pictures: {medians['umap']:.1f} s, vectors alone: {medians['none']:.1f} s")
    print(f"ratio: {medians['none'] / medians['umap']:.1f}")


def make_up(rows: int) -> tuple[Batch, Question]:
    """Chunks of thirty subjects, and a question near one of them."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(30, DIMENSION))
    vectors = (centres[random.integers(0, 30, rows)] + random.normal(size=(rows, DIMENSION))).astype(np.float32)
    metadatas: list[Metadata] = [{"source": f"doc{row % 40}.md", "page": row // 40} for row in range(rows)]
    batch = Batch([f"id{row}" for row in range(rows)], vectors, [f"text {row}" for row in range(rows)], metadatas)
    return batch, Question("made up", (centres[0] + 0.3).astype(np.float32))


def write(path: Path, batch: Batch, question: Question, projection: Projection) -> None:
    """A run of all chunks but the last, as a page loads 100,000 rows and the question is one."""
    kept = slice(0, len(batch) - 1)
    shown = Batch(batch.ids[kept], batch.vectors[kept], batch.texts[kept], batch.metadatas[kept])
    scores = scan([shown], Query([question], [match_any([])], "l2"))
    points: Points = arrange([shown], np.arange(len(shown)), [question], scores, np.zeros(1), 10)
    start = time.perf_counter()
    pictures = draw_pictures(
        points,
        [question],
        scores,
        top_k=10,
        seed=0,
        projection=projection,
        open_on="question",
        sprites=projection != "none",
        tabulate=table,
        progress=lambda stage, done, total: None,
    )
    print(f"layouts of {len(shown):,} x {DIMENSION}, {projection}: {time.perf_counter() - start:.1f} s")
    contents = folder.Contents(pictures.tensors, table(points), {"questions": []})
    path.mkdir(parents=True)
    folder.fill(path, contents, now=time.time(), vectors_tsv=False)


def first_picture(page: Any, url: str) -> float:
    """Seconds from asking for the page until points are drawn."""
    start = time.perf_counter()
    page.page.set_default_timeout(300_000)
    page.page.goto(f"{url}data/plugin/projector/projector_binary.html")
    page.page.wait_for_function("() => window.pictureIsThere && window.pictureIsThere()", timeout=300_000)
    taken = time.perf_counter() - start
    page.close()
    return taken


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
