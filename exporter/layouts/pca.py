"""Exact principal components; the Projector's own are of a random projection above 200 dimensions."""

from __future__ import annotations

import numpy as np

from exporter.records import Float32, Float64


def principal_axes(vectors: Float32 | Float64, count: int) -> Float64:
    """(n, d) -> (n, count) float64: the centred vectors on their axes of largest variance, in that order.

    Each axis points to where its largest coordinate is positive, so the same vectors give the same picture.
    Components that don't exist (d < count, or n - 1 < count) are 0.
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    found = centred @ axes[:, ::-1][:, :count]
    farthest = found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]
    found *= np.where(farthest < 0, -1, 1)
    placed = np.zeros((len(vectors), count))
    placed[:, : found.shape[1]] = found
    return placed
