"""Glyphs: what they look like, and an atlas that the page reads right."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from exporter.runs.points import ANSWER, CHUNK, QUESTION, RETRIEVED, RETRIEVED_ANSWER
from exporter.runs.sprites import (
    COLOURS,
    OTHERS_ANSWER,
    OTHERS_CHUNK,
    OTHERS_QUESTION,
    Glyph,
    atlas,
    cell_size,
    draw,
    glyphs,
)
from tests.runs.conftest import make_points

EVERY = [
    Glyph(role, number)
    for role in (CHUNK, ANSWER, RETRIEVED, RETRIEVED_ANSWER, QUESTION)
    for number in ((0,) if role in (CHUNK, QUESTION) else (1, 12, 123))
] + [Glyph(OTHERS_CHUNK), Glyph(OTHERS_ANSWER), Glyph(OTHERS_QUESTION)]


@pytest.mark.parametrize("size", [24, 32])
@pytest.mark.parametrize("glyph", EVERY, ids=str)
def test_a_glyph(glyph, size):
    """Every glyph has its role's colour, a hard alpha, and clear pixels on every side."""
    pixels = np.asarray(draw(glyph, size))
    assert pixels.shape == (size, size, 4)
    assert set(np.unique(pixels[..., 3])) == {0, 255}
    clear = 2 if glyph.role not in (QUESTION, OTHERS_QUESTION) else 1
    for edge in (pixels[:clear], pixels[-clear:], pixels[:, :clear], pixels[:, -clear:]):
        assert (edge[..., 3] == 0).all()
    drawn = pixels[pixels[..., 3] == 255][:, :3].astype(int)
    assert (np.abs(drawn - ImageColor.getrgb(COLOURS[glyph.role])).max(axis=1) < 8).mean() > 0.15


def test_glyphs_differ():
    """Ranks can be told apart, and so can roles, also in greyscale."""
    grey = [np.asarray(draw(glyph, 32).convert("LA")).astype(int) for glyph in EVERY]
    for i, one in enumerate(grey):
        for other in grey[i + 1 :]:
            assert (np.abs(one - other).max(axis=2) > 60).sum() >= 4


@pytest.mark.parametrize(
    ("one", "other"), [(CHUNK, OTHERS_CHUNK), (ANSWER, OTHERS_ANSWER), (QUESTION, OTHERS_QUESTION)]
)
@pytest.mark.parametrize("size", [24, 32])
def test_two_systems_differ_by_more_than_colour(one, other, size):
    """In grey, too, what A has and what B has of the same kind is not the same: much of what is drawn has another
    lightness.
    """
    grey = [np.asarray(draw(Glyph(role), size).convert("LA")).astype(int) for role in (one, other)]
    seen = [np.where(pixels[..., 1] > 0, pixels[..., 0], 255) for pixels in grey]  # on a white page
    drawn = (grey[0][..., 1] > 0) | (grey[1][..., 1] > 0)
    assert (np.abs(seen[0] - seen[1])[drawn] > 60).mean() > 0.25


@pytest.mark.parametrize("rows", [1, 2, 5, 16, 17, 1303])
def test_the_atlas_is_square(rows):
    """There are as many columns as lines, row-major, one cell a row."""
    wanted = [Glyph(RETRIEVED, row % 999 + 1) if row % 3 == 0 else Glyph(CHUNK) for row in range(rows)]
    image = Image.open(io.BytesIO(atlas(wanted))).convert("RGBA")
    side = int(np.ceil(np.sqrt(rows)))
    assert image.size == (side * 32, side * 32)
    row = rows - 1
    cell = image.crop((row % side * 32, row // side * 32, row % side * 32 + 32, row // side * 32 + 32))
    assert cell.tobytes() == draw(wanted[row], 32).tobytes()


def test_the_biggest_atlas():
    """100,000 glyphs fit in the 8,192 pixels that the page takes."""
    assert cell_size(65_536) == 32
    assert cell_size(65_537) == 24
    assert int(np.ceil(np.sqrt(100_000))) * 24 <= 8192


def test_what_is_drawn():
    """Hits bear their rank, answers theirs, the question and plain chunks none."""
    points = make_points(rows=12, top_k=3)
    drawn = glyphs(points)
    assert drawn[-1] == Glyph(QUESTION, 0)
    assert [glyph.number for glyph in drawn[-4:-1]] == [3, 2, 1]
    answer = int(np.flatnonzero(points.contains_answer)[0])
    assert drawn[answer].number == points.rank[answer]
    assert all(glyph.number == 0 for glyph in drawn if glyph.role == CHUNK)


def test_long_ranks_are_not_drawn():
    """Words that stand in every chunk don't make a drawing of each: above 999 a glyph has no number."""
    points = make_points(rows=1_200, top_k=3)
    everywhere = replace(points, answer_rank=points.rank, contains_answer=~points.is_question)
    ranks = points.rank[~points.is_question]
    numbers = [glyph.number for glyph in glyphs(everywhere)[:-1]]
    assert ranks.max() > 1_000
    assert numbers == np.where(ranks <= 999, ranks, 0).tolist()
