"""Prove that points.parquet opens elsewhere: `python -m scripts.other_viewers FOLDER`.

Makes in FOLDER, once, an environment for Renumics Spotlight (pandas below 3) and one for Apple's Embedding Atlas
(pandas 3; torch 2.13.0 first), 5 GB in all; exports the demo's missed question, starts each viewer on the same file,
and opens it in a headless Chromium. It ends with an error where one does not show every row, or not our coordinates.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from exporter.workflows.demo import demo
from exporter.workflows.share import share

SPOTLIGHT, ATLAS = "spotlight", "atlas"
PACKAGES = {SPOTLIGHT: [["renumics-spotlight", "pandas<3"]], ATLAS: [["torch==2.13.0"], ["embedding-atlas"]]}
SHOW = """
import sys
from renumics import spotlight
from renumics.spotlight import layout
flat = layout.scatterplot(name="map", x_column="flat_x", y_column="flat_y", color_by_column="role")
shown = spotlight.show(sys.argv[1], port=int(sys.argv[2]), no_browser=True, wait="forever",
                       layout=layout.layout([[layout.table()], [flat]]))
"""
PORTS = {SPOTLIGHT: 7811, ATLAS: 7812}
WAIT = 120
"""Seconds for a viewer to come up: its first start compiles."""


def main(folder: Path) -> None:
    """Open one file in both; pictures of what they show go beside it."""
    from tests.end_to_end.browser import launch

    folder.mkdir(parents=True, exist_ok=True)
    for name, steps in PACKAGES.items():
        install(folder / name, steps)
    missed = demo(folder / "demo", logdir=folder / "logs")[-1]
    points = share(missed.path, folder / "points.parquet")
    rows = missed.facts["points"]
    driver, browser = launch()
    try:
        told = look(browser, SPOTLIGHT, spotlight(folder, points), folder / "spotlight.png", f"{rows} rows")
        if not {"flat_x", "flat_y"} <= set(told.split()):
            raise SystemExit("Spotlight's scatter plot has other axes")
        told = look(browser, ATLAS, atlas(folder, points), folder / "atlas.png", f"{rows:,} points")
        if not {"flat_x", "flat_y"} <= set(told.split()):
            raise SystemExit("Embedding Atlas does not list the coordinates")
    finally:
        browser.close()
        driver.stop()


def install(place: Path, steps: Sequence[Sequence[str]]) -> None:
    """An environment with these packages, when it is not there yet."""
    if (place / "ready").exists():
        return
    venv.create(place, with_pip=True)
    for packages in steps:
        subprocess.run([place / "bin/python", "-m", "pip", "install", "--quiet", *packages], check=True)
    (place / "ready").touch()


def spotlight(folder: Path, points: Path) -> list[str]:
    """With a layout that has our flat map; `spotlight points.parquet` opens the same file with its own."""
    return [str(folder / SPOTLIGHT / "bin/python"), "-c", SHOW, str(points), str(PORTS[SPOTLIGHT])]


def atlas(folder: Path, points: Path) -> list[str]:
    """The command of README."""
    command = [str(folder / ATLAS / "bin/embedding-atlas"), str(points), "--text", "text"]
    return [*command, "--x", "flat_x", "--y", "flat_y", "--host", "127.0.0.1", "--port", str(PORTS[ATLAS])]


def look(browser: Any, name: str, command: Sequence[str], picture: Path, expected: str) -> str:
    """Start a viewer, and wait until its page says what is expected; everything that it says then."""
    address = f"http://127.0.0.1:{PORTS[name]}/"
    with (
        picture.with_suffix(".log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            wait_for(address, process)
            page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
            page.goto(address)
            page.wait_for_function(
                "(expected) => document.body.innerText.includes(expected)", arg=expected, timeout=1000 * WAIT
            )
            page.wait_for_timeout(5_000)
            page.screenshot(path=picture)
            told = str(page.inner_text("body"))
            page.context.close()
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGTERM)  # Spotlight's server is a child of what was started
    print(json.dumps({"viewer": name, "says": expected, "picture": picture.name}))
    return told


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    """Until something answers there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        try:
            with opener.open(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"nothing answers at {address}: see the log beside the pictures")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
