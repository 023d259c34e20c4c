"""Small runs, made without a collection."""

import numpy as np
import pytest

from exporter.layouts.pca import principal_axes
from exporter.records import Batch, Question
from exporter.retrieval.answers import match_any
from exporter.retrieval.scan import Query, scan
from exporter.runs import folder
from exporter.runs.metadata import table
from exporter.runs.points import arrange
from exporter.runs.sprites import glyphs
from exporter.runs.views import View


def make_points(rows=12, dimension=4, questions=1, top_k=3, metadatas=None, texts=None, ids=None, seed=0):
    """Points of a made-up collection in which chunk 8 holds the answer to every question."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, dimension)).astype(np.float32)
    texts = texts or [f"text {i}" for i in range(rows)]
    batch = Batch(
        ids or [f"id{i}" for i in range(rows)],
        vectors,
        texts,
        metadatas or [{"source": f"doc{i % 3}.md", "page": i} for i in range(rows)],
    )
    asked = [Question(f"question {i}", vectors[i] + np.float32(0.01), ("text 8",)) for i in range(questions)]
    scores = scan([batch], Query(asked, [match_any(["text 8"])] * questions, "l2"))
    return arrange([batch], np.arange(rows), asked, scores, np.zeros(questions), top_k)


def make_run(path, points=None, pictures=(), **settings):
    """A run in the folder `path`, as `export` fills it."""
    points = points if points is not None else make_points()
    path.mkdir(parents=True)
    marks = glyphs(points)
    axes = principal_axes(points.vectors, 3)
    views = [View("top", axes[:, :2], zoom=2), View("ranked", axes, selected=[len(points) - 1])]
    vectors = folder.Tensor("vectors", points.vectors, marks, views, axes)
    contents = folder.Contents([*pictures, vectors], table(points), {"questions": []})
    folder.fill(path, contents, **{"now": 1_790_000_000.0, **settings})
    return path


@pytest.fixture
def points():
    return make_points()
