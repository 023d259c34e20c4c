"""How big a shared run is, and how soon it opens: `python -m scripts.benchmark_share`.

Made-up chunks of 384 dimensions, 300 and 20,000 points with the question, exported without vectors.tsv. Each form is
written three times, a page opened three times from disk in a headless Chromium, an archive unpacked, served and opened;
medians are printed, as the table of docs/performance.md.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exporter.workflows.export import export
from exporter.workflows.run import Run
from exporter.workflows.serve import serve
from exporter.workflows.share import share
from scripts.benchmark_asking import STORE
from scripts.benchmark_ingest import timed
from scripts.benchmark_pictures import first_picture

OPENED = "() => window.projector()?.shadowRoot?.querySelector('.stage')?.dataset.opened !== undefined"
POINTS = (300, 20_000)
TIMES = 3
EVERYTHING = {"text": False, "redact": ["source", "page"], "anonymize_ids": True}
FORMS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "`-o run.html`": ("whole.html", {}),
        "`-o run.html --map-only`": ("map.html", {"map_only": True}),
        "`-o run.html --map-only`, all taken out": ("redacted.html", {"map_only": True, **EVERYTHING}),
        "`-o run.zip`": ("whole.zip", {}),
        "`-o run.zip`, all taken out": ("redacted.zip", EVERYTHING),
        "`-o points.parquet`": ("points.parquet", {}),
    }
)


def main() -> None:
    """Print the table."""
    from tests.end_to_end.browser import launch

    driver, browser = launch()
    with tempfile.TemporaryDirectory() as scratch:
        runs = {points: made(Path(scratch) / str(points), points) for points in POINTS}
        print("| share as | points | MB | seconds to write | until it is drawn |")
        print("|---|---|---|---|---|")
        for form, (name, options) in FORMS.items():
            for points, run in runs.items():
                file = Path(scratch) / name
                written = median(partial(share, run.path, file, **options))
                drawn = "-"
                if opens(file):
                    drawn = f"{statistics.median(opened(browser, file) for _ in range(TIMES)):.1f}"
                size = file.stat().st_size / 1e6
                print(f"| {form} | {points:,} | {size:.1f} | {written:.1f} | {drawn} |", flush=True)
    browser.close()
    driver.stop()


def made(folder: Path, points: int) -> Run:
    """A run of so many points, one of them the question."""
    folder.mkdir()
    subprocess.run([sys.executable, "-c", STORE, str(folder / "db"), str(points - 1)], check=True)
    (folder / "question.json").write_text(json.dumps([0.3] * 384))
    asked: dict[str, Any] = {"question": "made up?", "answer": "chunk 7 of", "tsv": False, "run": "run"}
    return export(folder / "db", question_vector=folder / "question.json", logdir=folder / "logs", **asked)


def median(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    return statistics.median(timed(work) for _ in range(TIMES))


def opens(file: Path) -> bool:
    """Is it for the Projector?"""
    return file.suffix in (".html", ".zip")


def opened(browser: Any, file: Path) -> float:
    """Seconds until points are drawn."""
    from tests.end_to_end.browser import Projector

    if file.suffix == ".zip":
        start = time.perf_counter()
        with serve(file, port=0) as server:
            up = time.perf_counter() - start
            return up + first_picture(Projector(browser), server.url)
    page = Projector(browser)
    start = time.perf_counter()
    page.page.set_default_timeout(300_000)
    page.page.goto(file.as_uri())
    page.page.wait_for_function(OPENED)
    taken = time.perf_counter() - start
    page.close()
    return taken


if __name__ == "__main__":
    main()
