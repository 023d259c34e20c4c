"""The distance that a collection's own retrieval ranks by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from exporter.records import Float32, Float64, Space


def _dot(rows: Float64, question: Float64) -> Float64:
    """(n,) dot products. Not by BLAS: its sums depend on how many rows there are, these on the row alone."""
    return np.asarray(np.add.reduce(rows * question, axis=1))


def euclidean(rows: Float64, question: Float64) -> Float64:
    """The L2 norm of the difference. Chroma's own `l2` is its square: another figure, the same order."""
    difference = rows - question
    return np.asarray(np.sqrt(np.add.reduce(difference * difference, axis=1)))


def cosine(rows: Float64, question: Float64) -> Float64:
    """1 - cosine, in [0, 2]; 1 where either vector has length 0."""
    lengths = np.sqrt(np.add.reduce(rows * rows, axis=1)) * np.sqrt(np.add.reduce(question * question, axis=-1))
    similarity = np.divide(_dot(rows, question), lengths, out=np.zeros(len(rows)), where=lengths > 0)
    return np.asarray(np.clip(1 - similarity, 0, 2))


def inner_product(rows: Float64, question: Float64) -> Float64:
    """1 - dot product; negative where the product exceeds 1."""
    return 1 - _dot(rows, question)


METRICS: Mapping[Space, Callable[[Float64, Float64], Float64]] = MappingProxyType(
    {"l2": euclidean, "cosine": cosine, "ip": inner_product}
)


def pair_distances(vectors: Float32, questions: Float32, metric: Space) -> Float64:
    """(m, d) chunks and (m, d) questions, row by row -> (m,); each the bits that `distances` gives."""
    return METRICS[metric](
        np.ascontiguousarray(vectors, dtype=np.float64), np.ascontiguousarray(questions, dtype=np.float64)
    )


def distances(vectors: Float32, question: Float32, metric: Space) -> Float64:
    """(n, d) float32 chunks and a (d,) float32 question -> (n,) float64, smaller is nearer.

    Computed in float64, row by row: the size of a batch changes no bit.
    """
    rows = np.ascontiguousarray(vectors, dtype=np.float64)
    return METRICS[metric](rows, question.astype(np.float64))


def rough_distances(vectors: Float32, questions: Float32, metric: Space) -> Float64:
    """(n, d) and (q, d) -> (q, n): `distances` by one matrix product, a hundred times as fast, its last digits rough.

    To find a place among neighbours; never to rank by.
    """
    dots = (questions @ vectors.T).astype(np.float64)
    if metric == "ip":
        return np.asarray(1 - dots)
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    own = np.einsum("ij,ij->i", questions, questions, dtype=np.float64)[:, None]
    if metric == "l2":
        return np.asarray(np.sqrt(np.maximum(squares + own - 2 * dots, 0)))
    lengths = np.sqrt(squares * own)
    return np.asarray(1 - np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0))


def lengths_of(vectors: Float32) -> Float64:
    """(n, d) -> (n,)."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)))


def unit(vectors: Float32, lengths: Float64) -> Float32:
    """(n, d), each row divided by its length, of (n,); zeros stay zeros."""
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)


def directions(vectors: Float32) -> Float32:
    """(n, d), each row brought to length 1, where it is not already: between such rows L2 ranks as cosine does."""
    lengths = lengths_of(vectors)
    return vectors if np.allclose(lengths, 1, atol=1e-5) else unit(vectors, lengths)
