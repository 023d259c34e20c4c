"""Bookmarks that the page can load: all fields, one entry a row."""

import json

import numpy as np

from exporter.runs import views
from exporter.runs.verify import REQUIRED_FIELDS
from exporter.runs.views import View, bookmarks

AXES = np.random.default_rng(0).normal(size=(9, 3))


def test_every_field():
    """Every bookmark has the fields without which the page stops half-way, and one entry a row with UMAP and PCA."""
    made = json.loads(bookmarks([View("a", AXES[:, :2], zoom=2.2), View("b", AXES, [8, 1], "role")], AXES, 384))
    for state in made:
        assert set(REQUIRED_FIELDS) <= set(state)
        assert len(state["projections"]) == 9
        assert set(state["projections"][0]) == {f"{kind}-{i}" for kind in ("umap", "pca") for i in range(3)}
        assert state["dataSetDimensions"] == [9, 384]
        assert state["selectedProjection"] == "umap"
    flat, deep = made
    assert not flat["umapIs3d"]
    assert flat["cameraDef"]["orthographic"]
    assert flat["cameraDef"]["zoom"] == 2.2
    assert all(entry["umap-2"] == 0 for entry in flat["projections"])
    assert deep["umapIs3d"]
    assert deep["selectedPoints"] == [8, 1]
    assert deep["selectedColorOptionName"] == "role"


def test_too_many(monkeypatch):
    """Where rows times bookmarks are too many, the first two stay."""
    monkeypatch.setattr(views, "MOST_ENTRIES", 20)
    assert len(json.loads(bookmarks([View(str(i), AXES) for i in range(5)], AXES, 3))) == 2
    assert len(json.loads(bookmarks([View(str(i), AXES) for i in range(2)], AXES, 3))) == 2
