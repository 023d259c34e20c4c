"""Draw docs/pictures anew: `python -m scripts.screenshots` exports the demo, opens it and clicks each bookmark."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from exporter.workflows.demo import demo
from exporter.workflows.serve import serve

SHOWN = ("around_question", "map")


def main(folder: Path) -> None:
    """A PNG of the page as stock TensorBoard opens it, and one of each bookmark."""
    from tests.end_to_end.browser import Projector, launch

    folder.mkdir(parents=True, exist_ok=True)
    driver, browser = launch()
    with tempfile.TemporaryDirectory() as scratch:
        missed = demo(logdir=Path(scratch) / "logs")[-1]
        (Path(scratch) / "alone").mkdir()
        alone = shutil.move(missed.path, Path(scratch) / "alone" / missed.name)
        with serve(Path(alone).parent, port=0, stock=True) as server:
            page = Projector(browser)
            page.open(server.url)
            page.page.set_viewport_size({"width": 1600, "height": 900})
            page.settle()
            for tensor in SHOWN:
                if tensor != SHOWN[0]:  # which is what opens
                    page.show(missed.name, tensor)
                save(page, folder / f"{tensor}.png")
                for place, label in enumerate(page.bookmarks()):
                    page.click_bookmark(place)
                    page.page.wait_for_timeout(1000)
                    save(page, folder / f"{tensor}-{place + 1}.png")
                    print(f"{tensor}-{place + 1}.png: {label}")
            page.close()
    browser.close()
    driver.stop()


def save(page: Any, path: Path) -> None:
    """A screenshot in 256 colours, half as big; the rare ones stay what they are."""
    shot = Image.open(io.BytesIO(page.page.screenshot())).convert("RGB")
    shot.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/pictures"))
