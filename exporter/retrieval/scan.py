"""One pass over a collection: distances, ranks, and who holds the answer."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from exporter.errors import RowsError
from exporter.records import (
    Batch,
    Bool,
    Float32,
    Float64,
    Int64,
    ManyScores,
    Question,
    Ranked,
    Scores,
    Space,
    Standings,
)
from exporter.retrieval.answers import Matcher, holding
from exporter.retrieval.distance import distances

NAMED = 5
"""How many lost chunks are named."""
TABLES = 2**26
"""Bytes of the tables that a survey holds at once; about twice as many while they are put together."""
BYTES_A_PAIR = 13
"""Of a chunk and a question: distance, rank, answer."""


@dataclass(frozen=True)
class Query:
    """What chunks are ranked by: some questions, what finds the answers to each in a text, and a metric."""

    questions: Sequence[Question]
    matchers: Sequence[Matcher | None]
    metric: Space

    @property
    def has_answers(self) -> bool:
        """Are texts needed?"""
        return any(question.answers for question in self.questions)


def scan(batches: Iterable[Batch], query: Query) -> Scores:
    """Rank every chunk for every question. Texts are needed in the batches only when a question has answers.

    Keeps `BYTES_A_PAIR` a chunk and question, whatever the dimension. Chunks of which the source knows no vector (a row
    of NaN) take part in nothing: they rank last, at a distance of infinity. Raises RowsError when no chunk has a
    vector, and for a vector that holds NaN or infinity among its numbers.
    """
    return combine((score(batch, query) for batch in batches), query.metric)


@dataclass(frozen=True)
class Part:
    """Of b chunks: (q, b) distances and who holds an answer; how many are of length 0, how many `lost`, and some ids of
    these.
    """

    distances: Float64
    answers: Bool
    zero_vectors: int
    lost: int
    lost_ids: tuple[str, ...]


def score(batch: Batch, query: Query) -> Part:
    """One batch's part of a `scan`, wherever it is computed; `combine` makes the whole of them."""
    asked = [one if question.answers else None for question, one in zip(query.questions, query.matchers, strict=True)]
    held = holding(batch.texts, asked) if batch.texts else np.zeros((len(asked), len(batch)), bool)
    return _part(batch, query.questions, query.metric, held)


def survey(
    batches: Callable[[], Iterable[Batch]],
    rows: int,
    questions: Sequence[Question],
    right: Sequence[Container[str]],
    metric: Space,
    *,
    top_k: int,
    drawn: Sequence[int],
) -> ManyScores:
    """Rank all `rows` chunks for many questions, some questions a pass: `batches()` begins one.

    `right` holds the ids of the chunks that are right for each question. All is kept of the questions that are `drawn`;
    of the others their top k. Raises RowsError as `scan` does.
    """
    at_once = max(1, TABLES // (BYTES_A_PAIR * rows))
    standings: Standings | None = None
    held = np.zeros(rows, bool)
    tops: list[Int64] = []
    seen: list[Ranked] = []
    first: list[int | None] = []
    counts: list[int] = []
    for start in range(0, len(questions), at_once):
        group = slice(start, start + at_once)
        scores = _scan(batches(), questions[group], metric, _by_id(right[group]))
        standings = _merged(standings, scores.standings, start)
        held |= scores.holds_answer
        for question in range(scores.questions):
            tops.append(scores.top(question, top_k))
            seen.append(scores.seen(question, tops[-1]))
            first.append(scores.first_answer_rank(question))
            counts.append(scores.holding(question))
    if standings is None:
        raise ValueError("no questions")
    scores = _scan(batches(), [questions[one] for one in drawn], metric, _by_id([right[one] for one in drawn]))
    return ManyScores(
        metric=metric,
        rows=rows,
        standings=standings,
        holds_answer=held,
        tops=tops,
        tops_seen=seen,
        first_ranks=first,
        right=counts,
        wholes={one: scores.whole(place) for place, one in enumerate(drawn)},
        zero_vectors=scores.zero_vectors,
        lost=scores.lost,
        lost_ids=scores.lost_ids,
    )


def _by_id(right: Sequence[Container[str]]) -> Callable[[Batch], Bool]:
    return lambda batch: np.array([[one in ids for one in batch.ids] for ids in right], bool)


def _merged(one: Standings | None, other: Standings, start: int) -> Standings:
    """Of two groups of questions, the second beginning at question `start`; of equals the first stays."""
    if one is None:
        return other
    answer_to = np.where(other.answer_to >= 0, other.answer_to + start, -1)
    nearer = other.distance < one.distance
    better = (answer_to >= 0) & ((one.answer_to < 0) | (other.answer_rank < one.answer_rank))
    return Standings(
        question=np.where(nearer, other.question + start, one.question),
        distance=np.where(nearer, other.distance, one.distance),
        rank=np.where(nearer, other.rank, one.rank),
        answer_to=np.where(better, answer_to, one.answer_to),
        answer_rank=np.where(better, other.answer_rank, one.answer_rank),
    )


def _scan(
    batches: Iterable[Batch], questions: Sequence[Question], metric: Space, hold: Callable[[Batch], Bool]
) -> Scores:
    return combine((_part(batch, questions, metric, hold(batch)) for batch in batches), metric)


def _part(batch: Batch, questions: Sequence[Question], metric: Space, held: Bool) -> Part:
    missing = without_vector(batch)
    found = np.stack([distances(batch.vectors, question.vector, metric) for question in questions])
    found[:, missing] = np.inf
    return Part(
        distances=found,
        answers=held,
        zero_vectors=int((~batch.vectors.any(axis=1)).sum()),
        lost=int(missing.sum()),
        lost_ids=tuple(batch.ids[i] for i in np.flatnonzero(missing)[:NAMED]),
    )


def combine(parts: Iterable[Part], metric: Space) -> Scores:
    """The scores of all parts, in stored order. Raises RowsError when no chunk has a vector."""
    seen: list[Float64] = []
    held: list[Bool] = []
    zero_vectors = lost = 0
    lost_ids: list[str] = []
    for part in parts:
        seen.append(part.distances)
        held.append(part.answers)
        zero_vectors += part.zero_vectors
        lost += part.lost
        lost_ids += part.lost_ids[: NAMED - len(lost_ids)]
    refuse_all_lost(lost, sum(found.shape[1] for found in seen))
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


def without_vector(batch: Batch) -> Bool:
    """(n,): the source knows no vector of the chunk. Raises RowsError where NaN or infinity are only a part of one."""
    missing = np.asarray(np.isnan(batch.vectors).all(axis=1))
    broken = ~np.isfinite(batch.vectors).all(axis=1) & ~missing
    if broken.any():
        first = batch.ids[int(np.argmax(broken))]
        raise RowsError(
            f"the vector of chunk {first!r} holds NaN or infinity: store it again, or leave it out by --where"
        )
    return missing


def refuse_all_lost(lost: int, rows: int) -> None:
    """Raise RowsError when none of so many chunks has a vector."""
    if lost == rows:
        raise RowsError(f"none of the {rows:,} chunks has a vector, so nothing can be ranked: embed them first")


def _ranks(row: Float64) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    ranks = np.empty(len(row), np.int32)
    ranks[np.argsort(row, kind="stable")] = np.arange(1, len(row) + 1)
    return ranks


def question_distance(vector: Float32, metric: Space) -> float:
    """A question's distance to itself: 0, but 1 - q.q by inner product."""
    return float(distances(vector[None], vector, metric)[0]) if metric == "ip" else 0.0
