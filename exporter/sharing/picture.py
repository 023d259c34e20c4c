"""The run as one picture: the dartboard left, the map right, the same glyphs as in the Projector."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter.errors import OutputError
from exporter.records import Floats
from exporter.runs.points import ANSWER, CHUNK, QUESTION, RETRIEVED, RETRIEVED_ANSWER
from exporter.runs.sprites import COLOURS, GREY, WHITE, Glyph
from exporter.runs.verify import read_tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
_NUMBERED = 40
"""Glyphs of each role that get their rank, the best; more of them would hide each other."""
_STYLES: dict[str, dict[str, Any]] = {
    ANSWER: {"marker": "s", "s": 190, "c": WHITE, "edgecolors": COLOURS[ANSWER], "linewidths": 2.2, "zorder": 3},
    RETRIEVED: {"marker": "o", "s": 230, "c": COLOURS[RETRIEVED], "edgecolors": WHITE, "linewidths": 1, "zorder": 4},
    RETRIEVED_ANSWER: {
        "marker": "s", "s": 220, "c": COLOURS[RETRIEVED_ANSWER], "edgecolors": WHITE, "linewidths": 1, "zorder": 5
    },
    QUESTION: {"marker": "*", "s": 420, "c": COLOURS[QUESTION], "edgecolors": WHITE, "linewidths": 1, "zorder": 6},
}  # fmt: skip
_OTHER_SCRIPTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS",
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip
"""Fonts for what DejaVu lacks, where the machine has them."""


@dataclass(frozen=True)
class Panel:
    """One half of the picture: (m, 2) places, and what is drawn at each, in painting order."""

    title: str
    places: Floats
    glyphs: Sequence[Glyph]


def panels(
    around: Floats | None, flat: Floats | None, glyphs: Sequence[Glyph], layouts: Sequence[Mapping[str, Any]]
) -> list[Panel]:
    """The halves that there are, from (m, 2) places: the dartboard left, the map right. `layouts` as in a manifest."""
    found = []
    if around is not None:
        found.append(Panel("nearer the middle = nearer the question (only the radius is meant)", around, glyphs))
    if flat is not None:
        made_by = next(layout["made_by"] for layout in layouts if layout["name"] == "map")
        said = "on two principal axes" if made_by == "pca" else "chunks of one subject stand together"
        found.append(Panel(f"map: {said}", flat, glyphs))
    return found


def draw_stored(run: Path, facts: Mapping[str, Any]) -> Figure:
    """The picture of a run on disk. Raises OutputError when it was exported without a layout, or is not whole."""
    return draw_run(facts, stored_panels(run, facts))


def stored_panels(run: Path, facts: Mapping[str, Any]) -> list[Panel]:
    """The halves of a run on disk. Raises OutputError when it was exported without a layout, or is not whole."""
    if facts.get("flat_map") is None:
        raise OutputError(f"{run} was exported without a layout: export it with --projection auto")
    rows = facts["points"]
    entry = next((entry for entry in facts["tensors"] if entry["kind"] == "around_question"), None)
    try:
        flat = read_tensor(run, facts["flat_map"], (rows, 2))
        around = None if entry is None else read_tensor(run, entry["file"], tuple(entry["shape"]))[:, :2]
    except (OSError, ValueError) as error:
        raise OutputError(f"{run} is not whole ({error}): chroma-projector verify names what is missing") from error
    return panels(around, flat, _stored_glyphs(facts["drawn"], rows), facts["layouts"])


def draw_run(facts: Mapping[str, Any], halves: Sequence[Panel]) -> Figure:
    """A run's halves, under the question that its dartboard is about, and its verdict."""
    question = facts["questions"][facts["focus"]]
    return draw(halves, question["text"], question["verdict"])


def _stored_glyphs(drawn: Sequence[Sequence[Any]], rows: int) -> list[Glyph]:
    glyphs = [Glyph(CHUNK)] * rows
    for row, role, number in drawn:
        glyphs[row] = Glyph(role, number)
    return glyphs


def draw(panels: Sequence[Panel], title: str, verdict: str) -> Figure:
    """A matplotlib figure, drawn without a display. Title and verdict are plain text, cut where too long."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4 * len(panels), 7.2), dpi=100, facecolor="white")
    plain: dict[str, Any] = {"ha": "left", "va": "top", "parse_math": False, "family": _families()}
    figure.text(0.02, 0.985, _plain(title, 90), fontsize=14, fontweight="bold", **plain)
    figure.text(0.02, 0.93, _plain(verdict, 130), fontsize=11, **plain)
    for place, panel in enumerate(panels, start=1):
        _draw_panel(figure.add_subplot(1, len(panels), place), panel)
    handles = _legend()
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=10)
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.08, top=0.85, wspace=0.04)
    return figure


def save(figure: Figure, kind: str) -> bytes:
    """The figure as a file of one of `FORMATS`; the same figure gives the same bytes."""
    file = io.BytesIO()
    silent = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "chroma-projector"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one a character that the font lacks: it is drawn as a box
        figure.savefig(file, format=kind, metadata=silent)
    return file.getvalue()


def _draw_panel(axes: Axes, panel: Panel) -> None:
    roles = np.array([glyph.role for glyph in panel.glyphs])
    axes.set_title(panel.title, fontsize=10, color="#444444", loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("#DDDDDD")
    chunks = panel.places[roles == CHUNK]
    axes.scatter(chunks[:, 0], chunks[:, 1], s=9, c=GREY, linewidths=0, zorder=1, rasterized=len(chunks) > 5_000)
    for role, style in _STYLES.items():
        rows = np.flatnonzero(roles == role)
        axes.scatter(*panel.places[rows].T, **style)
        for row in sorted(rows.tolist(), key=lambda row: panel.glyphs[row].number or math.inf)[:_NUMBERED]:
            _write_number(axes, panel.places[row], panel.glyphs[row], style["zorder"] + 0.5)
    axes.margins(0.06)
    axes.set_aspect("equal", adjustable="datalim")


def _write_number(axes: Axes, place: Any, glyph: Glyph, over: float) -> None:
    if glyph.number:
        ink = COLOURS[ANSWER] if glyph.role == ANSWER else WHITE
        size = {1: 9.5, 2: 8.5, 3: 6.5}.get(len(str(glyph.number)), 5)
        font: dict[str, Any] = {"fontsize": size, "fontweight": "bold", "ha": "center", "va": "center_baseline"}
        axes.text(place[0], place[1], str(glyph.number), color=ink, zorder=over, **font)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def entry(label: str, marker: str, colour: str, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, color=colour, label=label, **{"markersize": 10, **style})

    hollow = {"markerfacecolor": WHITE, "markeredgewidth": 2}
    return [
        entry("question", "*", COLOURS[QUESTION], markersize=14),
        entry("retrieved, with its rank", "o", COLOURS[RETRIEVED]),
        entry("retrieved, holds the answer", "s", COLOURS[RETRIEVED_ANSWER]),
        entry("holds the answer, not retrieved", "s", COLOURS[ANSWER], **hollow),
        entry("chunk", "o", GREY, markersize=5),
    ]


def _families() -> list[str]:
    from matplotlib import font_manager

    there = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in there)]


def _plain(text: str, length: int) -> str:
    """One line for matplotlib, which can't draw controls."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= length else line[: length - 1] + "…"
