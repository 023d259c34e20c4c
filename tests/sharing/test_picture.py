"""The picture of a run, and the run in a notebook."""

import io

import numpy as np
import pytest
from PIL import Image

from exporter.runs.sprites import Glyph
from exporter.sharing.notebook import as_html
from exporter.sharing.picture import FORMATS, Panel, draw, save

PANEL = Panel(
    "title",
    np.array([[0.0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]]),
    [Glyph("question"), Glyph("retrieved", 1), Glyph("answer", 46), Glyph("retrieved+answer", 2), Glyph("chunk")],
)
HARD = "$\\frac{$ <script>alert(1)</script> \u202e \x00 \n" + "long " * 60


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(kind):
    """Each format is what its name says, and the same figure gives the same bytes."""
    made = [save(draw([PANEL, PANEL], "Why?", "rank 46"), kind) for _ in range(2)]
    assert made[0] == made[1]
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert made[0].startswith(start)


def test_roles_are_seen():
    """Each role's colour is in the picture."""
    pixels = np.asarray(Image.open(io.BytesIO(save(draw([PANEL], "Why?", "rank 46"), "png"))).convert("RGB")).reshape(
        -1, 3
    )
    for colour in ((0xCC, 0x52, 0x00), (0x00, 0x70, 0x4A), (0x10, 0x10, 0x10), (0xB2, 0xBA, 0xCA)):
        assert (np.abs(pixels.astype(int) - colour).max(axis=1) < 4).sum() > 5


def test_hard_text():
    """Mathematics, markup and controls in a question are drawn as text."""
    assert save(draw([PANEL], HARD, HARD), "svg")


def test_notebook():
    """In a notebook a question shows with its verdict, its hits and the picture, and markup stays text."""
    hit = {"rank": 1, "id": "a", "distance": 0.5, "source": "<b>", "page": None, "contains_answer": True, "text": HARD}
    facts = {"questions": [{"text": "<script>why</script>", "verdict": "rank 1", "hits": [hit]}]}
    html = as_html(facts, b"png")
    assert "<script" not in html
    assert "&lt;script&gt;why" in html
    assert "0.5000" in html
    assert "data:image/png;base64,cG5n" in html
    assert "<img" not in as_html(facts, None)
