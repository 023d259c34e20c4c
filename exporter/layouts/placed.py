"""New points on a map that is there already: placed from their nearest chunks, not fitted. No old point moves."""

from __future__ import annotations

import numpy as np

from exporter.records import Float64

NEAREST = 10
"""How many chunks say where a new point goes."""
HOW = f"placed at the weighted mean of the places of its {NEAREST} nearest chunks; the map was not fitted again"


def placed(distances: Float64, places: Float64) -> Float64:
    """(n,) a new point's distances to the chunks of a map, and their (n, c) places -> its (c,) place.

    The nearest chunk weighs most, the farthest of the ten e times less or lighter still; so the place lies between
    theirs, never beyond the map. Distances that are infinite take no part.
    """
    nearest = np.argsort(distances, kind="stable")[:NEAREST]
    nearest = nearest[np.isfinite(distances[nearest])]
    if not len(nearest):
        return np.asarray(places.mean(axis=0))
    beyond = distances[nearest] - distances[nearest[0]]
    weights = np.exp(-beyond / (beyond.mean() or 1.0))
    return np.asarray(weights @ places[nearest] / weights.sum())
