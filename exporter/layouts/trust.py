"""How far a picture can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.layouts.pca import exponent
from exporter.records import Float32, Float64, Floats, Int64

SAMPLE = 2_000
"""Trustworthiness is quadratic in the rows, in memory too (160 GB for 100,000)."""
_FEWEST = 5
SPHERIZED_FROM = 50
"""Dimensions from which on the Projector centres and scales vectors, unless told otherwise (vz-projector.ts:67)."""
_ROWS_AT_ONCE = 10_000
_NAMED = 4
"""So many questions' figures fit in a line."""


def trustworthiness(vectors: Float32, places: Float64, seed: int) -> float | None:
    """Are neighbours in the picture neighbours in truth? 1 is perfect, about 0.5 is chance; None under five rows.

    (Venna and Kaski, 2001; scikit-learn's implementation.) On a seeded sample of 2,000 rows, with
    min(10, (n - 1) // 2) neighbours.
    """
    if len(vectors) < _FEWEST:
        return None
    from sklearn.manifold import trustworthiness as of_scikit_learn

    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:SAMPLE])
    neighbours = min(10, (len(rows) - 1) // 2)
    true, shown = (np.ldexp(some, -exponent(some)) for some in (vectors[rows], places[rows]))
    return float(of_scikit_learn(true, shown, n_neighbors=neighbours))


def kept_top_k(places: Float64, question: int, chunks: Int64, top: Int64) -> int:
    """How many of a question's true top k are among its k nearest chunks in the picture.

    `question` is its row, `chunks` (c,) are the rows of all chunks, `top` (k,) those of its true top k.
    """
    away = np.linalg.norm(places[chunks] - places[question], axis=1)
    nearest = chunks[np.argsort(away, kind="stable")[: len(top)]]
    return len(set(nearest.tolist()) & set(top.tolist()))


def as_the_page_has_them(vectors: Float32, centroid: Float32) -> Float32:
    """(m, d) what the Projector makes of vectors as it opens: from 50 dimensions on each less their mean, at length 1.

    ("Spherize data": data.ts:245-261 at 70b76c9.) In its own precision: differences in float32, lengths in float64; a
    vector of length 0 stays. `centroid` (d,) is the mean of all.
    """
    if vectors.shape[1] < SPHERIZED_FROM:
        return vectors
    centred = vectors - centroid
    lengths = _lengths(centred)
    return np.asarray(centred / np.where(lengths > 0, lengths, 1)[:, None], np.float32)


def _lengths(vectors: Floats) -> Float64:
    """(m,) in float64; numpy's own norm makes a second array of the squares, which takes three times as long."""
    return np.asarray(np.sqrt(np.einsum("md,md->m", vectors, vectors, dtype=np.float64, casting="unsafe")))


def page_distances(vectors: Float32, questions: Int64) -> Float64:
    """(q, m) by what its list "Nearest points in the original space" is sorted, when a row of `questions` is selected.

    1 - cosine, of what `as_the_page_has_them` gives. Infinity where a vector has length 0: the page computes no number
    there, and may put such a row anywhere. Some rows at a time: 100,000 in float64 would be the most that an export
    has in memory.
    """
    centroid = np.add.reduce(vectors, axis=0, dtype=np.float32) / np.float32(len(vectors))
    asked = as_the_page_has_them(vectors[questions], centroid).astype(np.float64)
    own = _lengths(asked)
    found = np.empty((len(questions), len(vectors)))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = as_the_page_has_them(vectors[start : start + _ROWS_AT_ONCE], centroid).astype(np.float64)
        lengths = np.outer(own, _lengths(rows))
        cosines = np.divide(asked @ rows.T, lengths, out=np.full(lengths.shape, -np.inf), where=lengths > 0)
        found[:, start : start + _ROWS_AT_ONCE] = 1 - cosines
    return found


def listed(distances: Float64, question: int, count: int) -> Int64:
    """The rows that such a list begins with: the nearest but the question itself."""
    last = min(count, len(distances) - 1)
    near = np.flatnonzero(distances <= np.partition(distances, last)[last])  # of many rows few are sorted
    nearest = near[np.argsort(distances[near], kind="stable")]
    return np.asarray(nearest[nearest != question][:count])


def share_listed(distances: Float64, question: int, top: Int64) -> float:
    """The share of a question's true top k, (k,) rows, that is among the first k of the list."""
    return len(set(listed(distances, question, len(top)).tolist()) & set(top.tolist())) / max(len(top), 1)


def told(kept: Sequence[int]) -> str:
    """The figures of `kept_top_k`, one a question, in a few words: of more than a handful their mean."""
    return ", ".join(map(str, kept)) if len(kept) <= _NAMED else f"{np.mean(kept):.1f} on average"
