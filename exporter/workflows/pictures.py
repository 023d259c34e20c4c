"""What is drawn of a run: layouts, glyphs, bookmarks, and how far each picture can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from exporter.layouts import dartboard, trust, umap
from exporter.layouts.pca import principal_axes
from exporter.records import Bool, Float32, Float64, Floats, Int64, Progress, Question, Scores
from exporter.retrieval.distance import distances
from exporter.runs.folder import Tensor
from exporter.runs.points import ANSWER, CHUNK, QUESTION, RETRIEVED, RETRIEVED_ANSWER, Points
from exporter.runs.sprites import Glyph, glyphs
from exporter.runs.views import View

Projection = Literal["auto", "none", "pca", "umap"]
OpenOn = Literal["question", "map", "vectors"]

DARTBOARD, MAP, VECTORS = "around_question", "map", "vectors"


@dataclass(frozen=True)
class Pictures:
    """The tensors in the order of their names, `vectors` the last by meaning; the layouts' figures for the manifest;
    and what the picture of the run is drawn from: places (m, 2) and glyphs, None where there is no such layout.

    `page_neighbours`: for each question the share of its top k that the page's own list of nearest points begins with
    on `vectors`, as it opens in stock TensorBoard and in ours.
    """

    tensors: Sequence[Tensor]
    layouts: Sequence[dict[str, Any]] = ()
    around: Floats | None = None
    around_glyphs: Sequence[Glyph] = ()
    flat: Floats | None = None
    map_glyphs: Sequence[Glyph] = ()
    focus: int = 0
    page_neighbours: Sequence[dict[str, float]] = ()

    @property
    def halves(self) -> dict[str, Any]:
        """What `sharing.picture.panels` takes."""
        return {name: getattr(self, name) for name in ("around", "around_glyphs", "flat", "map_glyphs")}


@dataclass(frozen=True)
class Laid:
    """A map that is there already: (m, 3) and (m, 2) places of every row, what made it, how far it can be trusted."""

    places: Float64
    flat: Float64
    made_by: str
    trustworthiness: float | None


@dataclass(frozen=True)
class _Scene:
    """What all pictures need: the rows, and how each question sees them."""

    points: Points
    questions: Sequence[Question]
    scores: Scores
    top_k: int
    seed: int
    chunk_rows: Int64 = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chunk_rows", np.flatnonzero(~self.points.is_question))

    @property
    def focus(self) -> int:
        """The question that the dartboard is about: the first that was missed, else the first."""
        first = [self.scores.first_answer_rank(question) for question in range(len(self.questions))]
        return next((i for i, rank in enumerate(first) if rank is not None and rank > self.top_k), 0)

    def row(self, question: int) -> int:
        """Its row: the first question is the last row."""
        return len(self.points) - 1 - question

    def hits(self, question: int) -> Int64:
        """The rows of its top k, nearest first."""
        row_of = np.full(self.scores.rows, -1)
        row_of[self.points.position[self.chunk_rows]] = self.chunk_rows
        return np.asarray(row_of[self.scores.top(question, self.top_k)])

    def ranks(self, question: int) -> Int64:
        """(m,) the rank of every row for it: of the other questions, where they would stand among the chunks."""
        ranks = np.zeros(len(self.points), np.int64)
        ranks[self.chunk_rows] = self.scores.ranks[question][self.points.position[self.chunk_rows]]
        vectors = np.stack([other.vector for other in self.questions])
        away = distances(vectors, self.questions[question].vector, self.scores.metric)
        nearer = np.searchsorted(np.sort(self.scores.distances[question]), away, side="left")
        for other in range(len(self.questions)):
            ranks[self.row(other)] = min(int(nearer[other]) + 1, self.scores.rows)
        return ranks

    def answers(self, question: int) -> Bool:
        """(m,) the row holds an answer to it."""
        held = np.zeros(len(self.points), bool)
        held[self.chunk_rows] = self.scores.answers[question][self.points.position[self.chunk_rows]]
        return held


def draw_pictures(
    points: Points,
    questions: Sequence[Question],
    scores: Scores,
    *,
    top_k: int,
    seed: int,
    projection: Projection,
    open_on: OpenOn,
    sprites: bool,
    progress: Progress,
    laid: Laid | None = None,
) -> Pictures:
    """Lay the points out, and say of each layout how far it can be trusted.

    With `laid` the map is that one, whatever `projection` says, and no trustworthiness is computed: it takes a second.

    With `projection` `none` there is only the tensor `vectors`. Below four chunks there is no dartboard, and the run
    opens on `vectors`; below four rows the map is of principal axes.
    """
    scene = _Scene(points, questions, scores, top_k, seed)
    marks: Sequence[Glyph] = glyphs(points)
    drawn = marks if sprites else []
    axes = principal_axes(points.vectors, 3)
    neighbours = _page_neighbours(scene)
    if projection == "none":
        views = [_ranked(scene, 0, axes)]
        return Pictures([Tensor(VECTORS, points.vectors, drawn, views, axes)], page_neighbours=neighbours)
    if laid is None:
        progress("laying out the map", 0, None)
        places, flat, made_by = _map(points.vectors, axes, projection, seed)
        # As the file has them: a bookmark that rounds other digits would move points when a question is placed later.
        places, flat = (each.astype(np.float32).astype(np.float64) for each in (places, flat))
        trusted: Callable[[Float64], float | None] = partial(trust.trustworthiness, points.vectors, seed=seed)
        laid = Laid(places, flat, made_by, trusted(places))
    else:
        places, flat, trusted = laid.places, laid.flat, _unknown
    layouts = [_figures(scene, MAP, places, laid.made_by, laid.trustworthiness)]
    tensors = [Tensor(MAP, places.astype(np.float32), drawn, _map_views(scene, places, flat, layouts[0]), places)]
    around, around_glyphs = None, marks
    if len(scene.chunk_rows) >= dartboard.FEWEST:
        progress("laying out the dartboard", 0, None)
        target, around, around_glyphs = _dartboard(scene, marks, sprites)
        tensors.insert(0, target)
        layouts.insert(0, _figures(scene, DARTBOARD, around, "rank", trusted(around)))
    else:
        open_on = "vectors"
    views = [_first(scene, places, ""), _ranked(scene, 0, places)]
    tensors.append(Tensor(VECTORS, points.vectors, drawn, views, axes))
    return Pictures(
        tensors=_ordered(tensors, open_on),
        layouts=layouts,
        around=None if around is None else around[:, :2],
        around_glyphs=around_glyphs,
        flat=flat,
        map_glyphs=marks,
        focus=scene.focus,
        page_neighbours=neighbours,
    )


def _page_neighbours(scene: _Scene) -> list[dict[str, float]]:
    """Stock TensorBoard lists by cosine, from 50 dimensions on of other vectors; our page by the collection's metric.

    Other questions are rows too, so they may stand in a list; in ours they are all that can take a hit's place.
    """
    vectors = scene.points.vectors
    as_opened = trust.as_the_page_has_them(vectors)
    found = []
    for index, question in enumerate(scene.questions):
        row, top = scene.row(index), scene.hits(index)
        ours = distances(vectors, question.vector, scene.scores.metric)
        found.append(
            {
                "stock": trust.share_listed(trust.page_distances(as_opened, row), row, top),
                "ours": trust.share_listed(ours, row, top),
            }
        )
    return found


def _map(vectors: Float32, axes: Float64, projection: Projection, seed: int) -> tuple[Float64, Float64, str]:
    """(m, 3) and (m, 2) places, and what made them."""
    if projection == "pca" or len(vectors) < umap.FEWEST:
        return axes, axes[:, :2], "pca"
    return *umap.umap(vectors, seed), umap.engine()


def _dartboard(scene: _Scene, marks: Sequence[Glyph], sprites: bool) -> tuple[Tensor, Float64, Sequence[Glyph]]:
    focus = scene.focus
    places = _around(scene, focus)
    drawn = marks if len(scene.questions) == 1 else _focused_glyphs(scene, focus)
    flat = places[:, :2]
    views = [
        _first(scene, flat, ""),
        View(f"closer: the top {_k(scene)}", flat, zoom=2.2),
        _ranked(scene, focus, flat),
    ]
    for other in range(len(scene.questions)):
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
    """Glyphs as this question sees the chunks; the other questions are stars all the same."""
    ranks, answers = scene.ranks(question), scene.answers(question)
    hits = set(scene.hits(question).tolist())
    drawn = []
    for row in range(len(scene.points)):
        if scene.points.is_question[row]:
            drawn.append(Glyph(QUESTION))
        elif row in hits:
            drawn.append(Glyph(RETRIEVED_ANSWER if answers[row] else RETRIEVED, int(ranks[row])))
        else:
            drawn.append(Glyph(ANSWER, int(ranks[row])) if answers[row] else Glyph(CHUNK))
    return drawn


def _map_views(scene: _Scene, places: Float64, flat: Float64, figures: dict[str, Any]) -> list[View]:
    kept = f" · keeps {figures['kept_top_k'][0]} of {_k(scene)} near"
    if figures["trustworthiness"] is not None:
        kept += f", trust {figures['trustworthiness']:.2f}"
    views = [
        _first(scene, places, kept),
        _ranked(scene, 0, places),
        View("by source", places, colour="source_group"),
        View("flat", flat),
    ]
    views += [_ranked(scene, other, places, _asked(scene, other)) for other in range(1, len(scene.questions))]
    return views


def _first(scene: _Scene, places: Float64, ending: str) -> View:
    """The first bookmark: the only legend that stock TensorBoard shows."""
    return View(f"★ question ● top {_k(scene)} ■ answer{ending}", places)


def _ranked(scene: _Scene, question: int, places: Float64, label: str = "") -> View:
    selected = [scene.row(question), *scene.hits(question).tolist()]
    return View(label or f"top {_k(scene)} in rank order", places, selected=selected)


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
        trust.kept_top_k(places, scene.row(question), scene.chunk_rows, scene.hits(question))
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
    return [
        Tensor(f"{place} {tensor.name}", tensor.values, tensor.glyphs, tensor.views, tensor.axes)
        for place, tensor in enumerate(ordered, start=1)
    ]
