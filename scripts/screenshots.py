"""Draw the pictures of docs anew: `python -m scripts.screenshots` exports the demo, opens it, clicks each bookmark, and
asks a question.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from exporter.serving.tensorboard import Server
from exporter.workflows.demo import demo
from exporter.workflows.serve import serve
from exporter.workflows.share import share

SHOWN = ("around_question", "map")
QUESTION, ANSWER = "How do I pause my program and inspect variables?", "set_trace"


def main(folder: Path) -> None:
    """A PNG of each bookmark in stock TensorBoard; above, `opening`, `opening-stock`, `asked` and `shared`."""
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
            opening(browser, server, folder.parent / "opening-stock.png").close()
        with serve(Path(alone).parent, port=0, source="demo") as server:
            page = opening(browser, server, folder.parent / "opening.png")
            ask(page, folder.parent / "asked.png")
            page.close()
        shared(browser, Path(alone), Path(scratch) / "run.html", folder.parent / "shared.png")
    browser.close()
    driver.stop()


def shared(browser: Any, run: Path, page_file: Path, path: Path) -> None:
    """The run as one page, opened from disk, one of its hits chosen."""
    from tests.end_to_end.test_share import Shared

    page = Shared(browser, share(run, page_file))
    page.page.set_viewport_size({"width": 1600, "height": 900})
    page.page.locator("tr[data-row]").nth(1).hover()
    page.page.wait_for_timeout(500)
    save(page, path)
    page.close()


def opening(browser: Any, server: Server, path: Path) -> Any:
    """A picture of what TensorBoard shows before any click; the page."""
    from tests.end_to_end.browser import Projector

    page = Projector(browser)
    page.open_in_tensorboard(server.projector_url)
    page.page.wait_for_timeout(1000)
    save(page, path)
    return page


def ask(page: Any, path: Path) -> None:
    """A picture of a question just asked."""
    for name, text in {"question": QUESTION, "answer": ANSWER}.items():
        field = page.frame.locator(f"#chroma-projector-ask input[name={name}]")
        field.focus()
        field.fill(text)
    page.frame.evaluate("() => { window.projector().dataSet.seenBefore = true; }")
    field.press("Enter")
    page.frame.wait_for_function("() => window.pictureIsNew()", timeout=120_000)
    page.page.wait_for_timeout(1000)
    save(page, path)


def save(page: Any, path: Path) -> None:
    """A screenshot in 256 colours, half as big; the rare ones stay what they are."""
    shot = Image.open(io.BytesIO(page.page.screenshot())).convert("RGB")
    shot.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/pictures"))
