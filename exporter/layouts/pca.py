"""Exact principal components; the Projector's own are of a random projection above 200 dimensions."""

from __future__ import annotations

import numpy as np

from exporter.records import Float32, Float64

_SQUARES_FIT = 1e6
"""Up to here float32 squares and sums what it holds itself, in half the time."""
_BLOCK = 10_000
"""Rows at once: a centred copy of all of them would take as much memory again."""


def principal_axes(vectors: Float32 | Float64, count: int) -> Float64:
    """(n, d) -> (n, count) float64: the centred vectors on their axes of largest variance, in that order.

    Each axis points to where its largest coordinate is positive, so the same vectors give the same picture.
    Components that don't exist (d < count, or n - 1 < count) are 0.
    """
    precise = np.float64 if max(-vectors.min(), vectors.max()) > _SQUARES_FIT else vectors.dtype
    mean = vectors.mean(axis=0, dtype=np.float64).astype(precise)
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(vectors), _BLOCK)]
    squares = np.zeros((vectors.shape[1],) * 2)
    for block in blocks:
        centred = vectors[block] - mean
        squares += centred.T @ centred
    _, axes = np.linalg.eigh(squares)
    wanted = axes[:, ::-1][:, :count]
    found = np.concatenate([(vectors[block] - mean) @ wanted for block in blocks])
    farthest = found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]
    found *= np.where(farthest < 0, -1, 1)
    placed = np.zeros((len(vectors), count))
    placed[:, : found.shape[1]] = found
    return placed
