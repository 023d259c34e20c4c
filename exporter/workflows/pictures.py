"""What is drawn of a run: layouts, glyphs, bookmarks, and how far each picture can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np

from exporter.layouts import dartboard, trust, umap
from exporter.layouts.pca import principal_axes
from exporter.records import Float32, Float64, Floats, Int64, ManyScores, Progress, Question, Scores
from exporter.retrieval.distance import directions, distances, rough_distances
from exporter.runs.folder import Tensor
from exporter.runs.metadata import Table
from exporter.runs.points import CHUNK, QUESTION, Points, seen_by
from exporter.runs.sprites import LEFT_OUT, Glyph, glyphs
from exporter.runs.views import MOST_ENTRIES, View

Projection = Literal["auto", "none", "pca", "umap"]
OpenOn = Literal["question", "map", "vectors"]

_QUESTIONS_AT_ONCE = 64
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

    `page_neighbours`: for each question the share of its true top k that the page's own list of nearest points begins
    with on `vectors`, as it opens in stock TensorBoard and in ours.
    """

    tensors: Sequence[Tensor]
    layouts: Sequence[dict[str, Any]] = ()
    around: Floats | None = None
    flat: Floats | None = None
    glyphs: Sequence[Glyph] = ()
    focus: int = 0
    page_neighbours: Sequence[dict[str, float]] = ()


@dataclass(frozen=True)
class Laid:
    """A map: (m, 3) and (m, 2) places of every row, what made them, and how far each of the two can be trusted."""

    places: Float64
    flat: Float64
    made_by: str
    trustworthiness: tuple[float | None, float | None]


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

    @property
    def _beyond(self) -> int | None:
        """The rank that a whole set's other questions get: a tenth of the ring's width beyond the last chunk."""
        if not isinstance(self.scores, ManyScores):
            return None
        rows = self.scores.rows
        return int(np.ceil(rows * (rows / min(self.top_k, rows)) ** 0.1)) + 1

    def ranks(self, question: int) -> Int64:
        """(m,) the rank of every row for it: of the other questions, where they would stand among the chunks; of a
        whole set, which would fill the ring that is kept empty, beyond all chunks.
        """
        ranks = np.zeros(len(self.points), np.int64)
        seen = self.scores.whole(question)
        ranks[self.chunk_rows] = seen.ranks[self.points.position[self.chunk_rows]]
        nearer = np.searchsorted(np.sort(seen.distances), self._among_questions(question), side="left")
        before = np.concatenate([[0], np.sort(seen.ranks)])[nearer]
        beyond = self._beyond
        for other in range(len(self.questions)):
            ranks[self.row(other)] = beyond or min(int(before[other]) + 1, self.scores.population)
        return ranks

    def away(self, question: int) -> Float64:
        """(m,) how far every row is from it."""
        found = np.zeros(len(self.points))
        found[self.chunk_rows] = self.scores.whole(question).distances[self.points.position[self.chunk_rows]]
        for other, far in enumerate(self._among_questions(question).tolist()):
            found[self.row(other)] = far
        return found

    def _among_questions(self, question: int) -> Float64:
        """(q,) how far each question is from it."""
        vectors = np.stack([other.vector for other in self.questions])
        return distances(vectors, self.questions[question].vector, self.scores.metric)


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
    laid: Laid | None = None,
) -> Pictures:
    """Lay the points out, and say of each layout how far it can be trusted.

    With `laid` the map is that one, and no trustworthiness is computed: it takes a second.

    With `projection` `none` there is only the tensor `vectors`. Below four chunks there is no dartboard, and the run
    opens on `vectors` instead; below four rows the map is of principal axes. With several questions the dartboard has
    glyphs and metadata of its own, as the one question sees the rows that it is about.
    """
    scene = _Scene(points, questions, scores, top_k, seed, sprites)
    marks: Sequence[Glyph] = glyphs(points)
    drawn = marks if sprites else []
    axes = principal_axes(points.vectors, 3)
    neighbours = _page_neighbours(scene)
    if projection == "none":
        views = [_first(scene, axes), _ranked(scene, scene.lead, axes)]
        return Pictures([Tensor(VECTORS, points.vectors, drawn, views, axes)], page_neighbours=neighbours)
    trusted: Callable[[Float64], float | None] = _unknown
    if laid is None:
        progress("laying out the map", 0, None)
        trusted = partial(trust.trustworthiness, scene.vectors, seed=seed)
        laid = _map(scene.vectors, projection, seed, trusted)
    places, flat = laid.places, laid.flat
    layouts = [
        _figures(scene, MAP, places, laid.made_by, laid.trustworthiness[0]),
        _figures(scene, FLAT, flat, laid.made_by, laid.trustworthiness[1]),
    ]
    views = _map_views(scene, places, flat, layouts)
    tensors = [Tensor(MAP, places.astype(np.float32), drawn, views, places)]
    around, focused = None, marks if scene.focused is points else _focused_glyphs(scene)
    if len(scene.chunk_rows) >= dartboard.FEWEST:
        progress("laying out the dartboard", 0, None)
        around = _around(scene, scene.focus)
        layouts.insert(0, _figures(scene, DARTBOARD, around, "rank", trusted(around)))
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
        glyphs=_pictured(scene, focused),
        focus=scene.focus,
        page_neighbours=neighbours,
    )


def _page_neighbours(scene: _Scene) -> list[dict[str, float]]:
    """Stock TensorBoard lists by cosine, from 50 dimensions on of other vectors; our page by the collection's metric.

    Other questions are rows too, so they may stand in a list; in ours they are all that can take a hit's place.
    """
    vectors, metric = scene.points.vectors, scene.scores.metric
    found = []
    for first in range(0, len(scene.questions), _QUESTIONS_AT_ONCE):
        some = range(first, min(first + _QUESTIONS_AT_ONCE, len(scene.questions)))
        rows = np.array([scene.row(index) for index in some])
        if isinstance(scene.scores, ManyScores):
            ours = rough_distances(vectors, vectors[rows], metric)
        else:
            ours = np.stack([scene.away(index) for index in some])
        stock = trust.page_distances(vectors, rows)
        for index, row, away, as_stock in zip(some, rows.tolist(), ours, stock, strict=True):
            share = partial(trust.share_listed, question=row, top=scene.nearest(index))
            found.append({"stock": share(as_stock), "ours": share(away)})
    return found


def _map(vectors: Float32, projection: Projection, seed: int, trusted: Callable[[Float64], float | None]) -> Laid:
    if projection == "pca" or len(vectors) < umap.FEWEST:
        axes = principal_axes(vectors, 3)
        places, flat, made_by = axes, axes[:, :2], "pca"
    else:
        (places, flat), made_by = umap.umap(vectors, seed), umap.engine()
    # As the file has them: a bookmark that rounds other digits would move points when a question is placed later.
    places, flat = (each.astype(np.float32).astype(np.float64) for each in (places, flat))
    return Laid(places, flat, made_by, (trusted(places), trusted(flat)))


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
        scene.scores.population,
    )
    return places


def _focused_glyphs(scene: _Scene) -> list[Glyph]:
    """The other questions are stars all the same; of a whole set they would hide the chunks, and are discs."""
    drawn = glyphs(scene.focused)
    if not isinstance(scene.scores, ManyScores):
        return drawn
    own = scene.row(scene.focus)
    return [Glyph(CHUNK) if one.role == QUESTION and row != own else one for row, one in enumerate(drawn)]


def _pictured(scene: _Scene, marks: Sequence[Glyph]) -> Sequence[Glyph]:
    """A still picture says nothing of a disc that one points at, so a set's other questions are left out of it."""
    if not isinstance(scene.scores, ManyScores):
        return marks
    own = scene.row(scene.focus)
    there = scene.points.is_question
    return [Glyph(LEFT_OUT) if there[row] and row != own else mark for row, mark in enumerate(marks)]


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


def _unknown(places: Float64) -> None:
    """The trustworthiness that nobody computed."""


def _figures(scene: _Scene, name: str, places: Float64, made_by: str, trustworthiness: float | None) -> dict[str, Any]:
    """How far a layout can be trusted; `kept_top_k` has one figure a question."""
    kept = [
        trust.kept_top_k(places, scene.row(question), scene.chunk_rows, scene.nearest(question))
        for question in range(len(scene.questions))
    ]
    return {
        "name": name,
        "made_by": made_by,
        "trustworthiness": trustworthiness,
        "kept_top_k": kept,
    }


def _ordered(tensors: Sequence[Tensor], open_on: OpenOn) -> list[Tensor]:
    """The page opens the first by name: a number in front where that would be another than the one asked for."""
    first = {"question": DARTBOARD, "map": MAP, "vectors": VECTORS}[open_on]
    if first == tensors[0].name:
        return list(tensors)
    ordered = sorted(tensors, key=lambda tensor: tensor.name != first)
    return [replace(tensor, name=f"{place} {tensor.name}") for place, tensor in enumerate(ordered, start=1)]
