"""How long a question in the page takes, from Enter to the picture: `python -m scripts.benchmark_asking ROWS SHOWN`.

A Chroma directory of ROWS made-up chunks of 384 dimensions is written by Chroma itself, and a run of at most SHOWN
points is exported from it and opened in a headless Chromium. Four questions are asked there, by all-MiniLM-L6-v2; of
the last three, warm, the medians are printed: in all, and until the server has answered.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from exporter.workflows.export import export
from exporter.workflows.serve import serve

QUESTIONS = ("How do I begin?", "What does it cost?", "Where is it kept?", "Who may read it?")

STORE = """
import sys
import chromadb, numpy
client = chromadb.PersistentClient(sys.argv[1])
quick = {"hnsw": {"space": "cosine", "ef_construction": 10, "max_neighbors": 4}}  # only files are read, not the graph
made = client.create_collection("made-up", configuration=quick, embedding_function=None)
random, rows = numpy.random.default_rng(0), int(sys.argv[2])
centres = random.normal(size=(30, 384))
for start in range(0, rows, 5000):
    many = range(start, min(start + 5000, rows))
    vectors = centres[random.integers(0, 30, len(many))] + random.normal(size=(len(many), 384))
    made.add(
        ids=[f"id{row}" for row in many],
        embeddings=vectors.astype("float32"),
        documents=[f"chunk {row} " + "of some text " * 30 for row in many],
        metadatas=[{"source": f"doc{row % 40}.md", "page": row // 40} for row in many],
    )
client.close()
"""

WATCH = """() => {
  const posted = window.fetch;
  window.fetch = async (...given) => {
    const answer = await posted(...given);
    if (given[0] === 'ask') answer.clone().text().then(() => { window.answeredAt = performance.now(); });
    return answer;
  };
}"""


def main(rows: int, shown: int) -> None:
    """Print the figures for so many chunks, of which so many points are shown."""
    from tests.end_to_end.browser import Projector, launch

    with tempfile.TemporaryDirectory() as scratch:
        directory, logdir = Path(scratch) / "db", Path(scratch) / "logs"
        subprocess.run([sys.executable, "-c", STORE, str(directory), str(rows)], check=True)
        options: dict[str, Any] = {"projection": "pca", "max_points": shown, "tsv": False}
        export(directory, question="Which?", answer="chunk 7 of some", logdir=logdir, run="base", **options)
        driver, browser = launch()
        page = Projector(browser)
        page.page.set_default_timeout(600_000)
        started = time.perf_counter()
        with serve(logdir, port=0) as server:
            print(
                f"{rows:,} chunks, {min(shown, rows + 1):,} shown; server up in {time.perf_counter() - started:.1f} s"
            )
            page.open(server.url)
            page.frame.evaluate(WATCH)
            taken = [ask(page, question) for question in QUESTIONS]
        page.close()
        browser.close()
        driver.stop()
    whole, answered = (statistics.median(column) for column in zip(*taken[1:], strict=True))
    print(f"a question: {whole:.1f} s, of which the server takes {answered:.1f} s")


def ask(page: Any, question: str) -> tuple[float, float]:
    """Seconds from Enter to the new picture, and to the server's answer."""
    frame = page.frame
    field = frame.locator("#chroma-projector-ask input[name=question]")
    field.fill(question)
    field.focus()
    frame.locator("#chroma-projector-ask input[name=answer]").fill("chunk 8 of some")
    start = frame.evaluate(
        "() => { window.projector().dataSet.seenBefore = true; return (window.startedAt = performance.now()); }"
    )
    field.press("Enter")
    frame.wait_for_function("() => window.pictureIsNew()", timeout=600_000)
    end, answered = frame.evaluate("() => [performance.now(), window.answeredAt]")
    return (end - start) / 1000, (answered - start) / 1000


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers or [2_000, 20_000]))
