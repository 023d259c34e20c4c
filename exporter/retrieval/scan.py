"""One pass over a collection: distances, ranks, and who holds the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from exporter.errors import RowsError
from exporter.records import Batch, Bool, Float32, Float64, Question, Scores, Space
from exporter.retrieval.answers import Matcher, holding
from exporter.retrieval.distance import distances

NAMED = 5
"""How many lost chunks are named."""


def scan(batches: Iterable[Batch], questions: Sequence[Question], matchers: Sequence[Matcher], metric: Space) -> Scores:
    """Rank every chunk for every question. Texts are needed in the batches only when a question has answers.

    Keeps 13 bytes a chunk and question, whatever the dimension. Chunks of which the source knows no vector (a row of
    NaN) take part in nothing: they rank last, at a distance of infinity. Raises RowsError when no chunk has a vector,
    and for a vector that holds NaN or infinity among its numbers.
    """
    seen: list[Float64] = []
    held: list[Bool] = []
    zero_vectors = lost = 0
    lost_ids: list[str] = []
    asked = [one if question.answers else None for question, one in zip(questions, matchers, strict=True)]
    for batch in batches:
        missing = np.asarray(np.isnan(batch.vectors).all(axis=1))
        refuse_broken(batch, missing)
        found = np.stack([distances(batch.vectors, question.vector, metric) for question in questions])
        found[:, missing] = np.inf
        seen.append(found)
        held.append(holding(batch.texts, asked) if batch.texts else np.zeros((len(questions), len(batch)), bool))
        zero_vectors += int((~batch.vectors.any(axis=1)).sum())
        lost += int(missing.sum())
        lost_ids += [batch.ids[i] for i in np.flatnonzero(missing)[: NAMED - len(lost_ids)]]
    if not seen or lost == sum(found.shape[1] for found in seen):
        raise RowsError(f"none of the {lost:,} chunks has a vector, so nothing can be ranked: embed them first")
    every = np.concatenate(seen, axis=1)
    return Scores(
        metric=metric,
        distances=every,
        ranks=np.stack([_ranks(row) for row in every]),
        answers=np.concatenate(held, axis=1),
        zero_vectors=zero_vectors,
        lost=lost,
        lost_ids=tuple(lost_ids),
    )


def refuse_broken(batch: Batch, missing: Bool) -> None:
    """Raise RowsError for a vector, but of the `missing` ones, that holds NaN or infinity."""
    broken = ~np.isfinite(batch.vectors).all(axis=1) & ~missing
    if broken.any():
        first = batch.ids[int(np.argmax(broken))]
        raise RowsError(
            f"the vector of chunk {first!r} holds NaN or infinity: store it again, or leave it out by --where"
        )


def _ranks(row: Float64) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    ranks = np.empty(len(row), np.int32)
    ranks[np.argsort(row, kind="stable")] = np.arange(1, len(row) + 1)
    return ranks


def question_distance(vector: Float32, metric: Space) -> float:
    """A question's distance to itself: 0, but 1 - q.q by inner product."""
    return float(distances(vector[None], vector, metric)[0]) if metric == "ip" else 0.0
