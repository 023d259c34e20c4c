"""What is drawn of a run: layouts, glyphs, bookmarks, and how far each picture can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from exporter.layouts import dartboard, trust, umap
from exporter.layouts.pca import principal_axes
from exporter.records import Bool, Float32, Float64, Floats, Int64, ManyScores, Progress, Question, Scores
from exporter.retrieval.distance import distances
from exporter.runs.folder import Tensor
from exporter.runs.points import ANSWER, CHUNK, QUESTION, RETRIEVED, RETRIEVED_ANSWER, Points
from exporter.runs.sprites import Glyph, glyphs
from exporter.runs.views import View

Projection = Literal["auto", "none", "pca", "umap"]
OpenOn = Literal["question", "map", "vectors"]

OTHER_VIEWS = 5
"""Bookmarks that a tensor has at most beside one a question."""

DARTBOARD, MAP, VECTORS = "around_question", "map", "vectors"


@dataclass(frozen=True)
class Pictures:
    """The tensors in the order of their names, `vectors` the last by meaning; the layouts' figures for the manifest;
    and what the picture of the run is drawn from: places (m, 2) and glyphs, None where there is no such layout.
    """

    tensors: Sequence[Tensor]
    layouts: Sequence[dict[str, Any]] = ()
    around: Floats | None = None
    around_glyphs: Sequence[Glyph] = ()
    flat: Floats | None = None
    map_glyphs: Sequence[Glyph] = ()
    focus: int = 0

    @property
    def halves(self) -> dict[str, Any]:
        """What `sharing.picture.panels` takes."""
        return {name: getattr(self, name) for name in ("around", "around_glyphs", "flat", "map_glyphs")}


@dataclass(frozen=True)
class _Scene:
    """What all pictures need: the rows, and how each question sees them."""

    points: Points
    questions: Sequence[Question]
    scores: Scores | ManyScores
    top_k: int
    seed: int
    chunk_rows: Int64 = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chunk_rows", np.flatnonzero(~self.points.is_question))

    @property
    def focus(self) -> int:
        """The question that the dartboard is about: the first that was missed, else the first."""
        first = [(question, self.scores.first_answer_rank(question)) for question in self.scores.drawn]
        missed = (question for question, rank in first if rank is not None and rank > self.top_k)
        return next(missed, self.scores.drawn[0])

    @property
    def lead(self) -> int:
        """The question that the first bookmarks are about."""
        return self.scores.drawn[0]

    def row(self, question: int) -> int:
        """Its row: the first question is the last row."""
        return len(self.points) - 1 - question

    def hits(self, question: int) -> Int64:
        """The rows of what was retrieved: its top k, nearest first, or what the application returned, in its order."""
        return self._rows(self.scores.retrieved(question, self.top_k))

    def nearest(self, question: int) -> Int64:
        """The rows of its true top k, nearest first."""
        return self._rows(self.scores.top(question, self.top_k))

    def _rows(self, positions: Int64) -> Int64:
        row_of = np.full(self.scores.rows, -1)
        row_of[self.points.position[self.chunk_rows]] = self.chunk_rows
        return np.asarray(row_of[positions])

    def ranks(self, question: int) -> Int64:
        """(m,) the rank of every row for it: of the other questions, where they would stand among the chunks."""
        ranks = np.zeros(len(self.points), np.int64)
        seen = self.scores.whole(question)
        ranks[self.chunk_rows] = seen.ranks[self.points.position[self.chunk_rows]]
        vectors = np.stack([other.vector for other in self.questions])
        away = distances(vectors, self.questions[question].vector, self.scores.metric)
        nearer = np.searchsorted(np.sort(seen.distances), away, side="left")
        for other in range(len(self.questions)):
            ranks[self.row(other)] = min(int(nearer[other]) + 1, self.scores.rows)
        return ranks

    def answers(self, question: int) -> Bool:
        """(m,) the row holds an answer to it."""
        held = np.zeros(len(self.points), bool)
        held[self.chunk_rows] = self.scores.whole(question).answers[self.points.position[self.chunk_rows]]
        return held


def draw_pictures(
    points: Points,
    questions: Sequence[Question],
    scores: Scores | ManyScores,
    *,
    top_k: int,
    seed: int,
    projection: Projection,
    open_on: OpenOn,
    sprites: bool,
    progress: Progress,
) -> Pictures:
    """Lay the points out, and say of each layout how far it can be trusted.

    With `projection` `none` there is only the tensor `vectors`. Below four chunks there is no dartboard, and the run
    opens on `vectors`; below four rows the map is of principal axes.
    """
    scene = _Scene(points, questions, scores, top_k, seed)
    marks: Sequence[Glyph] = glyphs(points)
    drawn = marks if sprites else []
    axes = principal_axes(points.vectors, 3)
    if projection == "none":
        return Pictures([Tensor(VECTORS, points.vectors, drawn, [_ranked(scene, scene.lead, axes)], axes)])
    progress("laying out the map", 0, None)
    places, flat, made_by = _map(points.vectors, axes, projection, seed)
    layouts = [_figures(scene, MAP, places, made_by)]
    tensors = [Tensor(MAP, places.astype(np.float32), drawn, _map_views(scene, places, flat, layouts[0]), places)]
    around, around_glyphs = None, marks
    if len(scene.chunk_rows) >= dartboard.FEWEST:
        progress("laying out the dartboard", 0, None)
        target, around, around_glyphs = _dartboard(scene, marks, sprites)
        tensors.insert(0, target)
        layouts.insert(0, _figures(scene, DARTBOARD, around, "rank"))
    else:
        open_on = "vectors"
    views = [_first(scene, places, ""), _ranked(scene, scene.lead, places)]
    tensors.append(Tensor(VECTORS, points.vectors, drawn, views, axes))
    return Pictures(
        tensors=_ordered(tensors, open_on),
        layouts=layouts,
        around=None if around is None else around[:, :2],
        around_glyphs=around_glyphs,
        flat=flat,
        map_glyphs=marks,
        focus=scene.focus,
    )


def _map(vectors: Float32, axes: Float64, projection: Projection, seed: int) -> tuple[Float64, Float64, str]:
    """(m, 3) and (m, 2) places, and what made them."""
    if projection == "pca" or len(vectors) < umap.FEWEST:
        return axes, axes[:, :2], "pca"
    return *umap.umap(vectors, seed), umap.engine()


def _dartboard(scene: _Scene, marks: Sequence[Glyph], sprites: bool) -> tuple[Tensor, Float64, Sequence[Glyph]]:
    focus = scene.focus
    places = _around(scene, focus)
    drawn = marks if len(scene.questions) == 1 else _focused_glyphs(scene, focus)
    views = [
        _first(scene, places[:, :2], ""),
        View(f"closer: the top {_k(scene)}", places[:, :2], zoom=2.2),
        _ranked(scene, focus, places[:, :2]),
    ]
    for other in scene.scores.drawn:
        if other != focus:
            views.append(View(_asked(scene, other), _around(scene, other)[:, :2]))
    values = places.astype(np.float32)
    return Tensor(DARTBOARD, values, drawn if sprites else [], views, principal_axes(places, 3)), places, drawn


def _around(scene: _Scene, question: int) -> Float64:
    """(m, 3): the question at the origin, all other rows around it."""
    row = scene.row(question)
    others = np.delete(np.arange(len(scene.points)), row)
    places = np.zeros((len(scene.points), 3))
    places[others] = dartboard.dartboard(
        scene.questions[question].vector,
        scene.points.vectors[others],
        scene.ranks(question)[others],
        scene.top_k,
        scene.scores.rows,
    )
    return places


def _focused_glyphs(scene: _Scene, question: int) -> list[Glyph]:
    """Glyphs as this question sees the chunks. The other questions are stars all the same; of a whole set they would
    hide it, and are discs.
    """
    star = Glyph(CHUNK) if isinstance(scene.scores, ManyScores) else Glyph(QUESTION)
    ranks, answers = scene.ranks(question), scene.answers(question)
    hits = set(scene.hits(question).tolist())
    drawn = []
    for row in range(len(scene.points)):
        if scene.points.is_question[row]:
            drawn.append(Glyph(QUESTION) if row == scene.row(question) else star)
        elif row in hits:
            drawn.append(Glyph(RETRIEVED_ANSWER if answers[row] else RETRIEVED, int(ranks[row])))
        else:
            drawn.append(Glyph(ANSWER, int(ranks[row])) if answers[row] else Glyph(CHUNK))
    return drawn


def _map_views(scene: _Scene, places: Float64, flat: Float64, figures: dict[str, Any]) -> list[View]:
    kept = f" · keeps {figures['kept_top_k'][scene.lead]} of {_k(scene)} near"
    if figures["trustworthiness"] is not None:
        kept += f", trust {figures['trustworthiness']:.2f}"
    views = [
        _first(scene, places, kept),
        _ranked(scene, scene.lead, places),
        View("by source", places, colour="source_group"),
        View("flat", flat),
    ]
    if isinstance(scene.scores, ManyScores):
        views.append(View("how often retrieved (0: never)", places, colour="times_retrieved"))
    views += [_ranked(scene, other, places, _asked(scene, other)) for other in scene.scores.drawn[1:]]
    return views


def _first(scene: _Scene, places: Float64, ending: str) -> View:
    """The first bookmark: the only legend that stock TensorBoard shows."""
    filled = "returned" if scene.scores.returned else f"top {_k(scene)}"
    return View(f"★ question ● {filled} ■ answer{ending}", places)


def _ranked(scene: _Scene, question: int, places: Float64, label: str = "") -> View:
    selected = [scene.row(question), *scene.hits(question).tolist()]
    in_order = "as the application returned them" if scene.scores.returned else f"top {_k(scene)} in rank order"
    return View(label or in_order, places, selected=selected)


def _asked(scene: _Scene, question: int) -> str:
    text = " ".join(scene.questions[question].text.split())
    return f"q{question + 1} {text if len(text) <= 40 else text[:39] + '…'}"


def _k(scene: _Scene) -> int:
    return min(scene.top_k, scene.scores.rows)


def _figures(scene: _Scene, name: str, places: Float64, made_by: str) -> dict[str, Any]:
    """How far a layout can be trusted; `kept_top_k` has one figure a question."""
    kept = [
        trust.kept_top_k(places, scene.row(question), scene.chunk_rows, scene.nearest(question))
        for question in range(len(scene.questions))
    ]
    return {
        "name": name,
        "made_by": made_by,
        "trustworthiness": trust.trustworthiness(scene.points.vectors, places, scene.seed),
        "kept_top_k": kept,
    }


def _ordered(tensors: Sequence[Tensor], open_on: OpenOn) -> list[Tensor]:
    """The page opens the first by name: a number in front where that would be another than the one asked for."""
    first = {"question": DARTBOARD, "map": MAP, "vectors": VECTORS}[open_on]
    if first == tensors[0].name:
        return list(tensors)
    ordered = sorted(tensors, key=lambda tensor: tensor.name != first)
    return [
        Tensor(f"{place} {tensor.name}", tensor.values, tensor.glyphs, tensor.views, tensor.axes)
        for place, tensor in enumerate(ordered, start=1)
    ]
