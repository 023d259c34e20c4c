"""Exact principal components; the Projector's own are of a random projection above 200 dimensions."""

from __future__ import annotations

import numpy as np

from exporter.records import Float32, Float64

_BLOCK = 10_000
"""Rows at once: a centred copy of all of them would take as much memory again."""

_WIDE = 8_192
"""Dimensions above which their products with each other would fill the memory: 65,536 of them take 34 GB."""


def principal_axes(vectors: Float32 | Float64, count: int) -> Float64:
    """(n, d) -> (n, count) float64: the centred vectors on their axes of largest variance, in that order.

    Each axis points to where its largest coordinate is positive, so the same vectors give the same picture.
    Components that don't exist (d < count, or n - 1 < count) are 0.
    """
    size = exponent(vectors)
    found = _projected(vectors, size, count) if vectors.shape[1] <= _WIDE else _of_wide_ones(vectors, size, count)
    farthest = found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]
    found *= np.where(farthest < 0, -1, 1)
    placed = np.zeros((len(vectors), count))
    placed[:, : found.shape[1]] = found
    return placed


def _projected(vectors: Float32 | Float64, size: int, count: int) -> Float64:
    mean = np.ldexp(vectors.mean(axis=0, dtype=np.float64), -size).astype(vectors.dtype)
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(vectors), _BLOCK)]
    squares = np.zeros((vectors.shape[1],) * 2)
    for block in blocks:
        centred = np.ldexp(vectors[block], -size) - mean
        squares += centred.T @ centred
    _, axes = np.linalg.eigh(squares)
    wanted = axes[:, ::-1][:, :count]
    found = np.concatenate([(np.ldexp(vectors[block], -size) - mean) @ wanted for block in blocks])
    return np.asarray(np.ldexp(found, size), np.float64)


def _of_wide_ones(vectors: Float32 | Float64, size: int, count: int) -> Float64:
    """Without the products of all dimensions with each other; of many rows by scikit-learn's seeded approximation."""
    from sklearn.decomposition import PCA

    found = PCA(min(count, len(vectors)), random_state=0).fit_transform(np.ldexp(vectors, -size))
    return np.asarray(np.ldexp(found, size), np.float64)


def exponent(numbers: Float32 | Float64) -> int:
    """The power of two that brings the largest of them near 1: float32 can't square 1e-30, nor 1e30."""
    return int(np.frexp(max(-float(numbers.min()), float(numbers.max())))[1])
