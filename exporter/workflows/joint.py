"""Two runs on one map: B's laid over A's by what both show, each question joined to itself by a line."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import UsageError
from exporter.evaluation.comparison import Comparison
from exporter.layouts.pca import principal_axes
from exporter.layouts.procrustes import FEWEST, Overlay, overlay
from exporter.records import Float32, Float64, Int64, Progress, no_progress
from exporter.runs import folder, publish
from exporter.runs.dashboards import Dashboards
from exporter.runs.markdown import escaped
from exporter.runs.markdown import table as markdown_table
from exporter.runs.metadata import LABEL_LENGTH, LINES, Table, read_as_the_page_does, text_cell
from exporter.runs.points import ANSWER, CHUNK, QUESTION
from exporter.runs.readme import README
from exporter.runs.sprites import OTHERS_ANSWER, OTHERS_CHUNK, OTHERS_QUESTION, Glyph
from exporter.runs.verify import ROWS_SHOWN, read_tensor
from exporter.runs.views import View
from exporter.workflows.export import publish_whole
from exporter.workflows.run import Run, open_run

COPIED = ("source", "page", "distance", "contains_answer", "is_question", "role", "rank", "closeness", "id", "text")
"""Columns that a row keeps from its own run; by some of them our server's page knows it for one of ours."""
ROLES = (QUESTION, ANSWER, CHUNK), (OTHERS_QUESTION, OTHERS_ANSWER, OTHERS_CHUNK)
"""By which A's rows, and B's, are drawn."""
MOVED = 10
"""Questions whose ranks changed most, which a bookmark selects."""
LEGEND = "A ★ question ■ holds an answer ● chunk — B ☆ ◇ ◆"
"""The first bookmark: the only place where the page says what the glyphs are."""


@dataclass(frozen=True)
class _Side:
    """One run's rows: `places` (m, 3) of its map, all dimensions, its cells by column, its glyphs, and how many of the
    rows, the last ones, are questions, the first question last.
    """

    name: str
    places: Float64
    vectors: Float32
    cells: Mapping[str, Sequence[str]]
    glyphs: Sequence[Glyph]
    questions: int

    def __len__(self) -> int:
        return len(self.places)

    @property
    def chunks(self) -> int:
        return len(self) - self.questions

    def row(self, question: int) -> int:
        """Where a question stands, by its place in the set."""
        return len(self) - 1 - question


def join(
    a: Run,
    b: Run,
    found: Comparison,
    *,
    logdir: Path | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Run:
    """Write a run in which both stand. Raises UsageError where a run has no map, or they share too little to be laid
    over each other, OutputError where it can't be written.
    """
    logdir = logdir or Path("logs")
    name = name or f"compare-{a.name}-{b.name}"[:60]
    publish.check_target(logdir, name, overwrite=overwrite)
    progress("reading the maps", 0, None)
    sides = _side(a, *ROLES[0]), _side(b, *ROLES[1])
    if sum(map(len, sides)) > ROWS_SHOWN:
        raise UsageError(
            f"together the runs have {sum(map(len, sides)):,} rows, and the page loads {ROWS_SHOWN:,}: export them "
            "with a smaller --max-points"
        )
    pairs = _questions_of_both(a, b, found)
    shared, by = _shared(*sides, pairs)
    progress("laying one map over the other", 0, None)
    contents = _contents(a, b, found, sides, pairs, shared, by)
    progress("writing", 0, None)
    with publish.stage(logdir, name, overwrite=overwrite) as staging:
        folder.fill(staging.folder, contents, now=time.time(), mark=staging.mark)
        publish_whole(staging)
    return open_run(logdir / name)


def _side(run: Run, question: str, answer: str, chunk: str) -> _Side:
    """One run's rows, drawn by these roles."""
    entry = next((entry for entry in run.facts["tensors"] if entry["kind"] == "map"), None)
    if entry is None:
        raise UsageError(f"{run.path} has no map: export it without --projection none")
    with (run.path / folder.METADATA).open(encoding="utf-8") as file:
        names, lines = read_as_the_page_does(file)
        cells = dict(zip(names, zip(*lines, strict=True), strict=True))
    flags = zip(cells["is_question"], cells["contains_answer"], strict=True)
    glyphs = [Glyph(question if asked == "true" else answer if right == "true" else chunk) for asked, right in flags]
    return _Side(
        name=run.name,
        places=read_tensor(run.path, entry["file"], tuple(entry["shape"])).astype(np.float64),
        vectors=run.points.vectors,
        cells=cells,
        glyphs=glyphs,
        questions=len(run.questions),
    )


def _questions_of_both(a: Run, b: Run, found: Comparison) -> list[tuple[int, int]]:
    """The places of each shared question in both sets."""
    places = [{one["id"]: place for place, one in enumerate(run.facts["questions"])} for run in (a, b)]
    return [(places[0][pair.a.id], places[1][pair.b.id]) for pair in found.pairs]


def _shared(a: _Side, b: _Side, pairs: Sequence[tuple[int, int]]) -> tuple[Int64, str]:
    """(k, 2) rows of both that show the same: chunks of one id and text; questions where those are more."""
    known = {key: row for row, key in enumerate(_keys(a))}
    chunks = [(known[key], row) for row, key in enumerate(_keys(b)) if key in known]
    questions = [(a.row(one), b.row(other)) for one, other in pairs]
    rows, by = (chunks, "chunks") if len(chunks) >= len(questions) else (questions, "questions")
    if len(rows) < FEWEST:
        raise UsageError(
            f"{a.name} and {b.name} share {len(chunks)} chunks and {len(questions)} questions that are shown: to lay "
            f"one map over the other takes {FEWEST}"
        )
    return np.array(rows, np.int64), by


def _keys(side: _Side) -> list[tuple[str, str]]:
    return list(zip(side.cells["id"], side.cells["text"], strict=True))[: side.chunks]


def _contents(
    a: Run,
    b: Run,
    found: Comparison,
    sides: tuple[_Side, _Side],
    pairs: Sequence[tuple[int, int]],
    shared: Int64,
    by: str,
) -> folder.Contents:
    """A's chunks, B's chunks, A's questions, B's questions."""
    laid = overlay(sides[0].places[shared[:, 0]], sides[1].places[shared[:, 1]])
    order = _Order(sides)
    places = order.rows(sides[0].places, laid(sides[1].places))
    places = principal_axes(places, 3)
    vectors = order.rows(*_in_one_space(sides, shared)).astype(np.float32)
    drawn = order.of(*(side.glyphs for side in sides))
    first = View(LEGEND, places)
    views = [first, View("A and B by colour", places, colour="system")]
    if found.moved:
        where = {pair.id: place for pair, place in zip(found.pairs, pairs, strict=True)}
        most = [row for pair in found.moved[:MOVED] for row in order.both(where[pair.id])]
        views.append(View("ranks that changed most", places, selected=most))
    rows = _table(found, order, pairs)
    axes = principal_axes(vectors, 3)
    return folder.Contents(
        tensors=[
            folder.Tensor("joint_map", places.astype(np.float32), drawn, views, places),
            folder.Tensor(
                "vectors",
                vectors,
                drawn,
                [View(first.label, axes), View("A and B by colour", axes, colour="system")],
                axes,
            ),
        ],
        table=rows,
        facts=_facts(a, b, found, laid, len(shared), by, len(places), sum(side.chunks for side in sides)),
        extras={README: _readme(a, b, found, laid, len(shared), by).encode("utf-8", "replace")},
        boards=_boards(found),
    )


@dataclass(frozen=True)
class _Order:
    """Where the rows of both go. B's questions are the last: after "Isolate" the page reads a line's end as a position
    in what is left, where it then is a question of B, which has no line of its own; so no line closes a circle.
    """

    sides: tuple[_Side, _Side]

    def of(self, a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        """Both sides' rows in one list."""
        cut = [side.chunks for side in self.sides]
        return [*a[: cut[0]], *b[: cut[1]], *a[cut[0] :], *b[cut[1] :]]

    def rows(self, a: Any, b: Any) -> Any:
        """The same of arrays."""
        cut = [side.chunks for side in self.sides]
        return np.concatenate([a[: cut[0]], b[: cut[1]], a[cut[0] :], b[cut[1] :]])

    def both(self, pair: tuple[int, int]) -> list[int]:
        """The rows of a question in A and in B."""
        end = sum(map(len, self.sides))
        return [end - self.sides[1].questions - 1 - pair[0], end - 1 - pair[1]]


def _in_one_space(sides: tuple[_Side, _Side], shared: Int64) -> tuple[Float64, Float64]:
    """All dimensions, the narrower padded by zeros, B turned over A; lengths stay what they are."""
    width = max(side.vectors.shape[1] for side in sides)
    a, b = (np.pad(side.vectors.astype(np.float64), ((0, 0), (0, width - side.vectors.shape[1]))) for side in sides)
    return a, overlay(a[shared[:, 0]], b[shared[:, 1]], scaled=False)(b)


def _table(found: Comparison, order: _Order, pairs: Sequence[tuple[int, int]]) -> Table:
    sides = order.sides
    columns = {name: order.of(*(list(side.cells[name]) for side in sides)) for name in COPIED}
    names = [["A"] * len(sides[0]), ["B"] * len(sides[1])]
    label = order.of(
        *(
            [text_cell(f"{system} {cell}", LABEL_LENGTH) for cell in side.cells["label"]]
            for system, side in zip("AB", sides, strict=True)
        )
    )
    moved, verdict, lines = ([MISSING] * len(label) for MISSING in ("-", "-", ""))
    for pair, rows in ((pair, order.both(place)) for pair, place in zip(found.pairs, pairs, strict=True)):
        told = " -> ".join("none" if one.first_rank is None else f"rank {one.first_rank}" for one in (pair.a, pair.b))
        for row, one in zip(rows, (pair.a, pair.b), strict=True):
            moved[row], verdict[row] = told, one.verdict
            label[row] = text_cell(f"★ {'AB'[row == rows[1]]} {told}: {one.text}", LABEL_LENGTH)
        lines[rows[0]] = str(rows[1])
    shown = {"label": label, **columns, "system": order.of(*names), "moved": moved, "verdict": verdict, LINES: lines}
    return Table(list(shown), list(shown.values()), {})


def _facts(
    a: Run, b: Run, found: Comparison, laid: Overlay, shared: int, by: str, points: int, chunks: int
) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": {"chroma-projector": version("chroma-projector")},
        "comparison": {**found.to_json(), "a": a.name, "b": b.name},
        "overlay": {"by": by, "shared": shared, "apart": laid.apart},
        "points": points,
        "chunks": chunks,
        "questions": [],
        "layouts": [],
        "warnings": list(found.warnings),
    }


def _readme(a: Run, b: Run, found: Comparison, laid: Overlay, shared: int, by: str) -> str:
    lines = [
        f"Two runs on one map: A is {a.name}, B is {b.name}.",
        f"B was laid over A by {shared:,} {by} that both show (Procrustes); {laid.apart:.3f} of their spread is left,",
        "0 is a perfect fit. Each question of A is joined by a line to the same of B. Only nearness within one system",
        "was measured: that a chunk of A stands near one of B is the overlay's doing.",
        "A: a star is a question, a square holds an answer, a grey disc is a chunk. B: the same as hollow blue stars,",
        "diamonds, and small dark diamonds.",
        "",
        *(f"{name:>14}  A {_setting(one)}, B {_setting(other)}" for name, (one, other) in found.settings.items()),
        "",
        f"{len(found.pairs):,} shared questions; won by B: {len(found.won):,}, lost by B: {len(found.lost):,}.",
        *(
            f"{name:>14}  {one.a:.3f}  {one.b:.3f}  {one.difference:+.3f}  {'proven' if one.proven else 'not proven'}"
            for name, one in found.metrics.items()
        ),
        "",
        "To look at it: pip install chroma-projector, then `chroma-projector tensorboard FOLDER`, where FOLDER holds",
        "this run's folder.",
        "",
    ]
    return "\n".join(lines)


def _setting(value: str | float | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:,g}"


def _boards(found: Comparison) -> Dashboards:
    figures = [
        (name, f"{one.a:.3f}", f"{one.b:.3f}", f"{one.difference:+.3f}", f"{one.p:.4f}")
        for name, one in found.metrics.items()
    ]
    moves = [
        (pair.id, f"{pair.a.first_rank or 'none'} -> {pair.b.first_rank or 'none'}", pair.b.text)
        for pair in found.moved
    ]
    made = [(name, _setting(one), _setting(other)) for name, (one, other) in found.settings.items()]
    text = "\n\n".join(
        [
            *([markdown_table(("made with", "A", "B"), made)] if made else []),
            markdown_table(("metric", "A", "B", "difference", "p"), figures),
            f"won by B: {escaped(', '.join(found.won)) or 'none'}",
            f"lost by B: {escaped(', '.join(found.lost)) or 'none'}",
            markdown_table(("question", "rank of the first right chunk", "text"), moves),
        ]
    )
    return Dashboards(
        {"comparison": text}, {f"gain/{name}": [(0, one.difference)] for name, one in found.metrics.items()}
    )
