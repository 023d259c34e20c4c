"""The run as one picture: the dartboard left, the map right, the same glyphs as in the Projector."""

from __future__ import annotations

import io
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
"""Answers beyond the top k that get their rank; more of them would hide each other."""


@dataclass(frozen=True)
class Panel:
    """One half of the picture: (m, 2) places, and what is drawn at each, in painting order."""

    title: str
    places: Floats
    glyphs: Sequence[Glyph]


def panels(
    *, around: Floats | None, around_glyphs: Sequence[Glyph], flat: Floats | None, map_glyphs: Sequence[Glyph]
) -> list[Panel]:
    """The halves that there are, from (m, 2) places: the dartboard left, the map right."""
    found = []
    if around is not None:
        found.append(Panel("nearer the middle = nearer the question (only the radius is meant)", around, around_glyphs))
    if flat is not None:
        found.append(Panel("map: chunks of one subject stand together", flat, map_glyphs))
    return found


def draw_stored(run: Path, facts: Mapping[str, Any]) -> Figure:
    """The picture of a run on disk. Raises OutputError when it was exported without a layout."""
    if facts.get("flat_map") is None:
        raise OutputError(f"{run} was exported without a layout: export it with --projection auto")
    rows, drawn = facts["points"], facts["drawn"]
    flat = read_tensor(run, facts["flat_map"], (rows, 2))
    entry = next((entry for entry in facts["tensors"] if entry["kind"] == "around_question"), None)
    around = None if entry is None else read_tensor(run, entry["file"], tuple(entry["shape"]))[:, :2]
    halves = panels(
        around=around,
        around_glyphs=_stored_glyphs(drawn["around_question"], rows),
        flat=flat,
        map_glyphs=_stored_glyphs(drawn["map"], rows),
    )
    return draw_run(facts, halves)


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
    figure.suptitle(_plain(title, 90), fontsize=14, fontweight="bold", x=0.02, ha="left", y=0.985)
    figure.text(0.02, 0.93, _plain(verdict, 130), fontsize=11, ha="left", va="top")
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
    numbered = 0
    for row in np.flatnonzero(roles != CHUNK).tolist():
        glyph = panel.glyphs[row]
        numbered += glyph.role == ANSWER
        _draw_glyph(axes, panel.places[row], glyph, number=glyph.role != ANSWER or numbered <= _NUMBERED)
    axes.margins(0.06)
    axes.set_aspect("equal", adjustable="datalim")


def _draw_glyph(axes: Axes, place: Any, glyph: Glyph, *, number: bool) -> None:
    colour = COLOURS[glyph.role]
    style: dict[str, dict[str, Any]] = {
        ANSWER: {"marker": "s", "s": 190, "c": WHITE, "edgecolors": colour, "linewidths": 2.2, "zorder": 3},
        RETRIEVED: {"marker": "o", "s": 230, "c": colour, "edgecolors": WHITE, "linewidths": 1, "zorder": 4},
        RETRIEVED_ANSWER: {"marker": "s", "s": 220, "c": colour, "edgecolors": WHITE, "linewidths": 1, "zorder": 5},
        QUESTION: {"marker": "*", "s": 420, "c": colour, "edgecolors": WHITE, "linewidths": 1, "zorder": 6},
    }
    axes.scatter([place[0]], [place[1]], **style[glyph.role])
    if glyph.number and number:
        ink = colour if glyph.role == ANSWER else WHITE
        size = {1: 9.5, 2: 8.5, 3: 6.5}.get(len(str(glyph.number)), 5)
        over = style[glyph.role]["zorder"] + 0.5
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


def _plain(text: str, length: int) -> str:
    """One line for matplotlib, which reads $...$ as mathematics, and can't draw controls."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return (line if len(line) <= length else line[: length - 1] + "…").replace("$", r"\$")
