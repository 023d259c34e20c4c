"""Glyphs: what a point is, seen without a click. Stock TensorBoard shows nothing else before one.

Filled: retrieved. Square: holds the answer. Number: rank. Star: question. Small grey disc: chunk.

Where two systems stand in one picture, the second one's have other shapes, so that they are told apart in grey, too: a
diamond holds the answer, the star is hollow, a chunk is a small dark diamond.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from exporter.runs.points import ANSWER, CHUNK, QUESTION, RETRIEVED, RETRIEVED_ANSWER, Points

if TYPE_CHECKING:
    from PIL.Image import Image

GREY, ORANGE, GREEN, BLACK, WHITE = "#B2BACA", "#CC5200", "#00704A", "#101010", "#FFFFFF"
BLUE = "#1F5FBF"
OTHERS_CHUNK, OTHERS_ANSWER, OTHERS_QUESTION = "other's chunk", "other's answer", "other's question"
"""Where two systems stand in one picture: the roles of the second one's rows."""
COLOURS = {
    CHUNK: GREY,
    ANSWER: GREEN,
    RETRIEVED: ORANGE,
    RETRIEVED_ANSWER: GREEN,
    QUESTION: BLACK,
    OTHERS_CHUNK: BLUE,
    OTHERS_ANSWER: GREEN,
    OTHERS_QUESTION: BLUE,
}

LARGEST_ATLAS = 8192
"""The page refuses a bigger image: pixels each way (vz_projector/data-provider.ts:445-455 at 70b76c9)."""
_SMOOTH = 4
"""Glyphs are drawn so many times larger, then reduced."""
_FONT = 0.58
"""The size of the font as a share of the cell, for one digit; more digits are set smaller, to fit in."""
_DISC = 0.24
"""A plain chunk across, as a share of the cell; of one colour and even, as there are so many."""
_STEPS = 16
_CLEAR = 0
_NOBODYS = (255, 0, 255)
"""No glyph has a pixel of this colour."""
_COMPRESSION = 3
LEFT_OUT = "left out"
"""The role of a row that a still picture leaves out; no sprite has it."""
_NARROWER = {1: 1.0, 2: 0.82, 3: 0.6}
LAST_NUMBER = 999
"""Longer ones can't be read in a cell, and each is a drawing of its own: words that stand in every chunk make as many
answers."""


class Glyph(NamedTuple):
    """What is drawn for a row; `number` is the rank that stands in it, 0 for none."""

    role: str
    number: int = 0


def glyphs(points: Points) -> list[Glyph]:
    """One a row, with the best rank of what was retrieved, and the rank of what holds an answer; none above 999."""
    ranks = np.where(points.retrieved_by >= 0, points.retrieved_rank, points.answer_rank)
    ranks[ranks > LAST_NUMBER] = 0
    plain = {CHUNK: Glyph(CHUNK), QUESTION: Glyph(QUESTION)}
    return [plain.get(role) or Glyph(role, rank) for role, rank in zip(points.roles, ranks.tolist(), strict=True)]


def cell_size(rows: int) -> int:
    """Pixels of a glyph's cell, so that the atlas stays in its limit for as many rows as the page loads."""
    return 32 if rows <= (LARGEST_ATLAS // 32) ** 2 else 24


def atlas(rows: Sequence[Glyph]) -> bytes:
    """A PNG with a cell a row, as many columns as lines: with any other number the page shows them on wrong points.

    Its colours are numbers in a palette, a byte a pixel: 100,000 cells are 58 MB instead of 231.
    """
    from PIL import Image

    size = cell_size(len(rows))
    side = math.ceil(math.sqrt(len(rows)))
    chunk = Glyph(CHUNK)
    sheet = np.tile(_indexed(chunk, size), (side, side))  # nearly all are plain chunks
    cells = sheet.reshape(side, size, side, size).swapaxes(1, 2)
    places: dict[Glyph, list[int]] = {}
    for place, glyph in enumerate(rows):
        if glyph != chunk:
            places.setdefault(glyph, []).append(place)
    for glyph, its in places.items():
        cells[np.divmod(its, side)] = _indexed(glyph, size)
    cells[np.divmod(np.arange(len(rows), side**2), side)] = _CLEAR
    image = Image.fromarray(sheet)
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, "PNG", transparency=_CLEAR, compress_level=_COMPRESSION)
    return file.getvalue()


def draw(glyph: Glyph, size: int) -> Image:
    """One glyph as RGBA, `size` pixels square, 2 of them clear on every side: fuller ones bleed into their neighbours.

    The alpha is hard: the page draws every pixel that is not quite clear as if it were opaque.
    """
    from PIL import Image

    indexed = _indexed(glyph, size)
    colours = np.array(_palette(), np.uint8).reshape(-1, 3)
    alpha = np.where(indexed == _CLEAR, 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([colours[indexed], alpha]))


def _indexed(glyph: Glyph, size: int) -> npt.NDArray[np.uint8]:
    """(size, size) numbers of colours in the palette."""
    if glyph.role == CHUNK:
        away = np.hypot(*(np.indices((size, size)) - (size - 1) / 2))
        return np.where(away <= _DISC * size / 2, _first_of(CHUNK), _CLEAR).astype(np.uint8)
    from PIL import Image, ImageDraw

    big = size * _SMOOTH
    image = Image.new("RGBA", (big, big))
    pen = ImageDraw.Draw(image)
    colour = COLOURS[glyph.role]
    if glyph.role == RETRIEVED:
        pen.ellipse(_box(big, 0.88), fill=WHITE)
        pen.ellipse(_box(big, 0.80), fill=colour)
        _number(image, glyph.number, WHITE)
    elif glyph.role == ANSWER:
        pen.rectangle(_box(big, 0.88), fill=colour)
        pen.rectangle(_box(big, 0.64), fill=WHITE)
        if glyph.number:
            _number(image, glyph.number, colour, 0.8)
    elif glyph.role == RETRIEVED_ANSWER:
        pen.rectangle(_box(big, 0.82), fill=colour)
        _number(image, glyph.number, WHITE)
    elif glyph.role == OTHERS_CHUNK:
        pen.polygon(_diamond(big, _DISC * 1.25), fill=colour)
    elif glyph.role == OTHERS_ANSWER:
        pen.polygon(_diamond(big, 1), fill=colour)
        pen.polygon(_diamond(big, 0.6), fill=WHITE)
    else:
        pen.polygon(_star(big), fill=colour)
        if glyph.role == OTHERS_QUESTION:
            pen.polygon(_star(big, 0.5), fill=WHITE)
    small = image.resize((size, size), Image.Resampling.LANCZOS)
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette(clear=_NOBODYS))
    indexed = np.array(small.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE))
    indexed[np.asarray(small.getchannel("A")) < 128] = _CLEAR
    return indexed


@cache
def _palette(clear: tuple[int, int, int] = (0, 0, 0)) -> list[int]:
    """Red, green and blue of each colour: first of what is clear; then each role's, in steps to white."""
    from PIL import ImageColor

    shares = np.linspace(0, 1, _STEPS)[:, None]
    roles = [np.array(ImageColor.getrgb(colour)[:3]) for colour in COLOURS.values()]
    found = np.concatenate([[clear], *(role + (255 - role) * shares for role in roles)])
    return [int(part) for part in found.round().ravel()]


def _first_of(role: str) -> int:
    """The place of a role's own colour in the palette."""
    return 1 + _STEPS * list(COLOURS).index(role)


def _box(big: int, share: float) -> tuple[float, float, float, float]:
    edge = min(share, 1 - 4 * _SMOOTH / big) * big / 2
    return (big / 2 - edge, big / 2 - edge, big / 2 + edge - 1, big / 2 + edge - 1)


def _diamond(big: int, share: float) -> list[tuple[float, float]]:
    """A square on its corner."""
    middle, edge = (big - 1) / 2, min(share, 1 - 4 * _SMOOTH / big) * big / 2
    return [(middle, middle - edge), (middle + edge, middle), (middle, middle + edge), (middle - edge, middle)]


def _star(big: int, share: float = 1) -> list[tuple[float, float]]:
    """Five points, 94 % of the cell across; the inner radius half of the outer, so that it stays solid when small."""
    corners = []
    for corner in range(10):
        radius = big * 0.47 * share * (0.5 if corner % 2 else 1)
        turn = math.pi * corner / 5
        corners.append((big / 2 + radius * math.sin(turn), big * 0.54 - radius * math.cos(turn)))
    return corners


def _number(image: Image, number: int, colour: str, share: float = 1) -> None:
    from PIL import ImageDraw

    text = str(number)
    font = _font(round(image.height * share * _FONT * _NARROWER[len(text)]))
    ImageDraw.Draw(image).text((image.width / 2, image.height / 2), text, fill=colour, font=font, anchor="mm")


@cache
def _font(size: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Pillow has two classes for it
    """DejaVu Sans Bold, which matplotlib carries: every machine draws the same glyphs."""
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"), size)
