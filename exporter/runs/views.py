"""Bookmarks: views that are ready to be clicked. What the page makes of them is in vz_projector/data.ts:675-722 and
projections-panel.ts:251-313 (70b76c9); a field that is missing stops it half-way, with an error in the console only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from exporter.records import Float64

MOST_ENTRIES = 1_000_000
"""Rows times bookmarks in one file, about 100 bytes each. Above it only the first two are kept."""
NO_COLOUR = "No color map"
"""The page's own name for it; an empty one leaves its menu empty."""
PLACES = ("umap-0", "umap-1", "umap-2", "pca-0", "pca-1", "pca-2")
"""Of each row in a bookmark: without the last three the page's PCA tab goes blank."""
_DECIMALS = 4
_BLOCK = 10_000
"""Points turned to JSON at once."""


@dataclass(frozen=True)
class View:
    """One bookmark. `places` (m, 2 or 3): flat ones are seen from straight above. `colour` names a column.

    `selected` rows are listed by the page in this order; a selection hides glyphs' colours, so it is never the first.
    """

    label: str
    places: Float64
    selected: Sequence[int] = ()
    colour: str | None = None
    zoom: float = 1.0


def bookmarks(views: Sequence[View], axes: Float64, dimension: int) -> bytes:
    """The file of a tensor's bookmarks. `axes` (m, 3): what its PCA tab shows, or a click there would find it blank.

    Coordinates are shown under the UMAP tab: as they are, where the t-SNE tab would start to move them.
    """
    rows = len(axes)
    kept = views if rows * len(views) <= MOST_ENTRIES else views[:2]
    shared: dict[int, orjson.Fragment] = {}
    for view in kept:
        if id(view.places) not in shared:
            shared[id(view.places)] = _projections(view.places, axes)
    return orjson.dumps([_state(view, shared[id(view.places)], dimension) for view in kept])


def _projections(places: Float64, axes: Float64) -> orjson.Fragment:
    """What a bookmark says of each point, as JSON."""
    deep = places if places.shape[1] == 3 else np.column_stack([places, np.zeros(len(places))])
    blocks = []
    for start in range(0, len(places), _BLOCK):
        numbers = np.column_stack([some[start : start + _BLOCK] for some in (deep, axes)])
        rows = [dict(zip(PLACES, row, strict=True)) for row in np.round(numbers, _DECIMALS).tolist()]
        blocks.append(orjson.dumps(rows)[1:-1])
    return orjson.Fragment(b"[" + b",".join(blocks) + b"]")


def _state(view: View, projections: orjson.Fragment, dimension: int) -> dict[str, object]:
    flat = view.places.shape[1] == 2
    return {
        "label": view.label,
        "selectedProjection": "umap",
        "projections": projections,
        "dataSetDimensions": [len(view.places), dimension],
        "umapIs3d": not flat,
        "umapNeighbors": 15,
        "umapMinDist": 0.1,
        "pcaComponentDimensions": [0, 1, 2],
        "tSNEIteration": 0,
        "tSNEPerplexity": 0,
        "tSNELearningRate": 0,
        "tSNEis3d": True,
        "customXLeftText": "",
        "customXRightText": "",
        "customYUpText": "",
        "customYDownText": "",
        "selectedPoints": list(view.selected),
        "selectedLabelOption": "label",
        "selectedColorOptionName": view.colour or NO_COLOUR,
        "cameraDef": {
            "orthographic": flat,
            "position": [0, 0, 4] if flat else [0.45, 0.9, 1.6],
            "target": [0, 0, 0],
            "zoom": view.zoom,
        },
    }
