"""What is drawn of a run: layouts, glyphs, bookmarks, and how far each picture can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from exporter.layouts import dartboard, trust, umap
from exporter.layouts.pca import principal_axes
from exporter.records import Float32, Float64, Floats, Int64, ManyScores, Progress, Question, Scores
from exporter.retrieval.distance import directions, distances
from exporter.runs.folder import Tensor
from exporter.runs.metadata import Table
from exporter.runs.points import CHUNK, QUESTION, Points, seen_by
from exporter.runs.sprites import Glyph, glyphs
from exporter.runs.views import MOST_ENTRIES, View

Projection = Literal["auto", "none", "pca", "umap"]
OpenOn = Literal["question", "map", "vectors"]

OTHER_VIEWS = 5
"""Bookmarks that a tensor has at most beside one a question."""

DARTBOARD, MAP, FLAT, VECTORS = "around_question", "map", "flat map", "vectors"
_IN_THE_PICTURE = " · other lists: neighbours in the picture"
"""Said where the page lists a point's nearest ones."""


@dataclass(frozen=True)
class Pictures:
    """The tensors in the order of their names, `vectors` the last by meaning; the layouts' figures for the manifest;
    and what the picture of the run is drawn from: places (m, 2), None where there is no such layout, and glyphs, as the
    question `focus` sees the rows.
    """

    tensors: Sequence[Tensor]
    layouts: Sequence[dict[str, Any]] = ()
    around: Floats | None = None
    flat: Floats | None = None
    glyphs: Sequence[Glyph] = ()
    focus: int = 0


@dataclass(frozen=True)
class _Scene:
    """What all pictures need: the rows, and how each question sees them."""

    points: Points
    questions: Sequence[Question]
    scores: Scores | ManyScores
    top_k: int
    seed: int
    sprites: bool

    @cached_property
    def chunk_rows(self) -> Int64:
        return np.flatnonzero(~self.points.is_question)

    @cached_property
    def row_of(self) -> Int64:
        """The row of each position in the collection; -1 where it is not shown."""
        rows = np.full(self.scores.rows, -1)
        rows[self.points.position[self.chunk_rows]] = self.chunk_rows
        return rows

    @cached_property
    def focused(self) -> Points:
        """The rows as the question in focus sees them."""
        return seen_by(self.focus, self.points, self.scores, self.top_k) if len(self.questions) > 1 else self.points

    @cached_property
    def vectors(self) -> Float32:
        """What layouts are made of: by cosine only the direction of a vector means anything."""
        return directions(self.points.vectors) if self.scores.metric == "cosine" else self.points.vectors

    @cached_property
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
        return np.asarray(self.row_of[positions])

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
    tabulate: Callable[[Points], Table],
    progress: Progress,
) -> Pictures:
    """Lay the points out, and say of each layout how far it can be trusted.

    With `projection` `none` there is only the tensor `vectors`. Below four chunks there is no dartboard, and the run
    opens on `vectors` instead; below four rows the map is of principal axes. With several questions the dartboard has
    glyphs and metadata of its own, as the one question sees the rows that it is about.
    """
    scene = _Scene(points, questions, scores, top_k, seed, sprites)
    marks: Sequence[Glyph] = glyphs(points)
    drawn = marks if sprites else []
    axes = principal_axes(points.vectors, 3)
    if projection == "none":
        views = [_first(scene, axes), _ranked(scene, scene.lead, axes)]
        return Pictures([Tensor(VECTORS, points.vectors, drawn, views, axes)])
    progress("laying out the map", 0, None)
    places, flat, made_by = _map(scene.vectors, projection, seed)
    layouts = [_figures(scene, MAP, places, made_by), _figures(scene, FLAT, flat, made_by)]
    views = _map_views(scene, places, flat, layouts)
    tensors = [Tensor(MAP, places.astype(np.float32), drawn, views, places)]
    around, focused = None, marks if scene.focused is points else _focused_glyphs(scene)
    if len(scene.chunk_rows) >= dartboard.FEWEST:
        progress("laying out the dartboard", 0, None)
        around = _around(scene, scene.focus)
        layouts.insert(0, _figures(scene, DARTBOARD, around, "rank"))
        tensors.insert(
            0,
            Tensor(
                DARTBOARD,
                around.astype(np.float32),
                focused if sprites else [],
                _dartboard_views(scene, around, layouts[0]),
                principal_axes(around, 3),
                None if scene.focused is points else tabulate(scene.focused),
            ),
        )
    elif open_on == "question":
        open_on = "vectors"
    views = [_first(scene, places), _ranked(scene, scene.lead, places)]
    tensors.append(Tensor(VECTORS, points.vectors, drawn, views, axes))
    return Pictures(
        tensors=_ordered(tensors, open_on),
        layouts=layouts,
        around=None if around is None else around[:, :2],
        flat=flat,
        glyphs=focused,
        focus=scene.focus,
    )


def _map(vectors: Float32, projection: Projection, seed: int) -> tuple[Float64, Float64, str]:
    """(m, 3) and (m, 2) places, and what made them."""
    if projection == "pca" or len(vectors) < umap.FEWEST:
        axes = principal_axes(vectors, 3)
        return axes, axes[:, :2], "pca"
    return *umap.umap(vectors, seed), umap.engine()


def _dartboard_views(scene: _Scene, places: Float64, figures: dict[str, Any]) -> list[View]:
    focus, flat = scene.focus, places[:, :2]
    views = [
        _first(scene, flat, _kept(scene, figures, [focus])),
        View(f"closer: the top {_k(scene)}", flat, zoom=2.2),
        _ranked(scene, focus, flat, ending=_IN_THE_PICTURE),
    ]
    others = [other for other in scene.scores.drawn if other != focus]
    if len(scene.points) * (len(views) + len(others)) <= MOST_ENTRIES:
        views += [_ranked(scene, other, _around(scene, other)[:, :2], _asked(scene, other)) for other in others]
    return views


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


def _focused_glyphs(scene: _Scene) -> list[Glyph]:
    """The other questions are stars all the same; of a whole set they would hide the chunks, and are discs."""
    drawn = glyphs(scene.focused)
    if not isinstance(scene.scores, ManyScores):
        return drawn
    own = scene.row(scene.focus)
    return [Glyph(CHUNK) if one.role == QUESTION and row != own else one for row, one in enumerate(drawn)]


def _map_views(scene: _Scene, places: Float64, flat: Float64, layouts: Sequence[dict[str, Any]]) -> list[View]:
    every = range(len(scene.questions))
    deep, plane = (_kept(scene, figures, every) for figures in layouts)
    views = [
        _first(scene, places, deep),
        _ranked(scene, scene.lead, places, ending=_IN_THE_PICTURE),
        View("by source", places, colour="source_group"),
        View(f"flat{plane}", flat),
    ]
    if isinstance(scene.scores, ManyScores):
        views.append(View("how often retrieved (0: never)", places, colour="times_retrieved"))
    views += [_ranked(scene, other, places, _asked(scene, other)) for other in scene.scores.drawn[1:]]
    return views


def _kept(scene: _Scene, figures: dict[str, Any], questions: Iterable[int]) -> str:
    """The end of a bookmark's label: how far the layout can be trusted."""
    kept = [figures["kept_top_k"][question] for question in questions]
    figure = figures["trustworthiness"]
    return f" · keeps {trust.told(kept)} of {_k(scene)} near" + ("" if figure is None else f", trust {figure:.2f}")


def _first(scene: _Scene, places: Float64, ending: str = "") -> View:
    """The first bookmark: the only legend that stock TensorBoard shows."""
    filled = "returned" if scene.scores.returned else f"top {_k(scene)}"
    legend = f"★ question ● {filled} ■ answer" if scene.sprites else f"question, {filled}, answer: see role"
    return View(legend + ending, places)


def _ranked(scene: _Scene, question: int, places: Float64, label: str = "", ending: str = "") -> View:
    selected = [scene.row(question), *scene.hits(question).tolist()]
    in_order = "as the application returned them" if scene.scores.returned else f"top {_k(scene)} in rank order"
    return View(label or in_order + ending, places, selected=selected)


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
        "trustworthiness": trust.trustworthiness(scene.vectors, places, scene.seed),
        "kept_top_k": kept,
    }


def _ordered(tensors: Sequence[Tensor], open_on: OpenOn) -> list[Tensor]:
    """The page opens the first by name: a number in front where that would be another than the one asked for."""
    first = {"question": DARTBOARD, "map": MAP, "vectors": VECTORS}[open_on]
    if first == tensors[0].name:
        return list(tensors)
    ordered = sorted(tensors, key=lambda tensor: tensor.name != first)
    return [replace(tensor, name=f"{place} {tensor.name}") for place, tensor in enumerate(ordered, start=1)]
