"""How far a picture can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.layouts.pca import exponent
from exporter.records import Float32, Float64, Int64

SAMPLE = 2_000
"""Trustworthiness is quadratic in the rows, in memory too (160 GB for 100,000)."""
_FEWEST = 5
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


def told(kept: Sequence[int]) -> str:
    """The figures of `kept_top_k`, one a question, in a few words: of more than a handful their mean."""
    return ", ".join(map(str, kept)) if len(kept) <= _NAMED else f"{np.mean(kept):.1f} on average"
