"""The rows of a run, in their final order, and what is known of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from exporter.records import (
    Batch,
    Bool,
    Float32,
    Float64,
    Int64,
    ManyScores,
    Metadata,
    MetadataValue,
    Question,
    Scores,
    source_of,
)

CHUNK: Final = "chunk"
ANSWER: Final = "answer"
RETRIEVED: Final = "retrieved"
RETRIEVED_ANSWER: Final = "retrieved+answer"
QUESTION: Final = "question"

FAN: Final = 20
"""How many hits of a question are joined to it by a line."""


@dataclass(frozen=True)
class Points:
    """m rows: chunks in stored order, then those that hold an answer, then the retrieved from last to first, then the
    questions, the first question last. Later rows are painted over earlier ones.

    `vectors` (m, d) float32. For a chunk `distance` is the one to its nearest question, which `question` names by its
    index, and `rank` its place there among all chunks of the collection (1 = nearest; 0 for a question).
    `retrieved_by` (m,) is the question that retrieved the chunk at its best rank, `retrieved_rank`; -1: none did. Those
    whose answer it holds come first, and then it is `answered`.
    `app_rank` (m,) is the chunk's place in what an application returned for that question; -1: it did not, or nobody
    told.
    `times_retrieved` (m,): for how many questions it was retrieved, 0 where for none; -1 for a question.
    `answer_to` (m,) is the question whose answer the chunk holds at its best rank, `answer_rank`; -1: it holds none.
    `fan` (m,) is the row of the question among whose first hits the chunk is (the first such question), -1 where none.
    `position` is the chunk's place in the collection, -1 for a question. `closeness` is 1 at the nearest, 0 at the
    farthest chunk of the collection.
    """

    vectors: Float32
    ids: Sequence[str]
    texts: Sequence[str | None]
    metadatas: Sequence[Metadata | None]
    position: Int64
    distance: Float64
    closeness: Float64
    rank: Int64
    question: Int64
    retrieved_by: Int64
    retrieved_rank: Int64
    app_rank: Int64
    times_retrieved: Int64
    answer_to: Int64
    answer_rank: Int64
    fan: Int64
    contains_answer: Bool
    answered: Bool
    is_question: Bool

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, name)) for name in self.__dataclass_fields__}
        if lengths != {len(self.vectors)}:
            raise ValueError(f"columns of {sorted(lengths)} rows")

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def questions(self) -> int:
        """How many questions there are."""
        return int(self.is_question.sum())

    @cached_property
    def roles(self) -> list[str]:
        """What each row is: chunk, answer, retrieved, retrieved+answer or question."""
        hit = self.retrieved_by >= 0
        cases = [self.is_question, hit & self.answered, hit, self.contains_answer]
        found: list[str] = np.select(cases, [QUESTION, RETRIEVED_ANSWER, RETRIEVED, ANSWER], CHUNK).tolist()
        return found

    @cached_property
    def sources(self) -> list[str | None]:
        """Where each chunk comes from; None where its metadata does not say, and for a question."""
        return [source_of(metadata) for metadata in self.metadatas]

    def page(self, row: int) -> MetadataValue | None:
        """Its page as stored (LangChain counts from 0); None where there is none, or one that no JSON can hold."""
        page = (self.metadatas[row] or {}).get("page")
        parts = page if isinstance(page, list) else [page]
        return None if any(isinstance(one, float) and not math.isfinite(one) for one in parts) else page


def arrange(
    shown: Iterable[Batch],
    positions: Int64,
    questions: Sequence[Question],
    scores: Scores | ManyScores,
    own_distances: Float64,
    top_k: int,
) -> Points:
    """The chunks shown, in stored order, with their (m,) positions in the collection, and the questions, as the rows
    of a run.

    `own_distances` (q,) are the questions' distances to themselves. Each batch goes to its place as it comes, so that
    the vectors are in memory once.
    """
    standings, answer = scores.standings, scores.holds_answer
    by, best, app_rank, answered, times = _retrieved(scores, top_k)
    group = np.where(by >= 0, 2, answer.astype(np.int64))[positions]
    order = np.lexsort((positions, np.where(group == 2, -best[positions], 0), group))
    rows = positions[order]
    q = len(questions)
    backwards = np.arange(q)[::-1]
    vectors = np.empty((len(rows) + q, len(questions[0].vector)), np.float32)
    chunks = np.empty((3, len(rows)), object)
    place = np.argsort(order)
    for batch in shown:
        here, place = place[: len(batch)], place[len(batch) :]
        vectors[here] = batch.vectors
        chunks[0, here], chunks[1, here] = batch.ids, batch.texts
        chunks[2, here] = np.fromiter(batch.metadatas, object, len(batch))
    for row, question in enumerate(backwards, len(rows)):
        vectors[row] = questions[question].vector
    ids, texts, metadatas = chunks.tolist()

    def column(of_chunks: np.ndarray[Any, Any], of_questions: object) -> np.ndarray[Any, Any]:
        return np.concatenate([of_chunks[rows], np.broadcast_to(np.asarray(of_questions, of_chunks.dtype), q)])

    return Points(
        vectors=vectors,
        ids=[*ids, *(f"question-{i + 1}" for i in backwards)],
        texts=[*texts, *(questions[i].text for i in backwards)],
        metadatas=[*metadatas, *(None for _ in backwards)],
        position=np.concatenate([rows, np.full(q, -1)]),
        distance=column(standings.distance, own_distances[backwards]),
        closeness=column(_closeness(standings.distance), 1.0),
        rank=column(standings.rank, 0),
        question=column(standings.question, backwards),
        retrieved_by=column(by, -1),
        retrieved_rank=column(best, -1),
        app_rank=column(app_rank if scores.returned else np.full(scores.rows, -1), -1),
        times_retrieved=column(times, -1),
        answer_to=column(standings.answer_to, -1),
        answer_rank=column(standings.answer_rank, -1),
        fan=column(_fan(scores, top_k, len(rows), range(q)), -1),
        contains_answer=column(answer, False),
        answered=column(answered, False),
        is_question=column(np.zeros(scores.rows, bool), True),
    )


def seen_by(question: int, points: Points, scores: Scores | ManyScores, top_k: int) -> Points:
    """The same rows as one of several questions sees them: its own distances, ranks, hits, answers and lines.

    Of many questions it must be one that is drawn.
    """
    place = np.full(scores.rows, -1)
    found = scores.retrieved(question, top_k)
    place[found] = np.arange(1, len(found) + 1)
    whole, hit = scores.whole(question), place > 0
    ranks, held, distance = whole.ranks.astype(np.int64), whole.answers, whole.distances
    positions = points.position[~points.is_question]

    def column(of_chunks: np.ndarray[Any, Any], now: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.concatenate([of_chunks[positions], now[len(positions) :]])

    return replace(
        points,
        distance=column(distance, points.distance),
        closeness=column(_closeness(distance), points.closeness),
        rank=column(ranks, points.rank),
        question=column(np.full(scores.rows, question), points.question),
        retrieved_by=column(np.where(hit, question, -1), points.retrieved_by),
        retrieved_rank=column(np.where(hit, ranks, -1), points.retrieved_rank),
        app_rank=column(place if scores.returned else np.full(scores.rows, -1), points.app_rank),
        answer_to=column(np.where(held, question, -1), points.answer_to),
        answer_rank=column(np.where(held, ranks, -1), points.answer_rank),
        fan=column(_fan(scores, top_k, len(positions), [question]), points.fan),
        contains_answer=column(held, points.contains_answer),
        answered=column(held & hit, points.answered),
    )


def _retrieved(scores: Scores | ManyScores, top_k: int) -> tuple[Int64, Int64, Int64, Bool, Int64]:
    """For each chunk the question that retrieved it at the best rank, that rank, and its place in what was retrieved,
    -1 where none did; whether it holds the answer to that question; and how many questions retrieved it. A question
    whose answer the chunk holds goes before one whose answer it does not hold.
    """
    by, best, place = (np.full(scores.rows, -1) for _ in range(3))
    answered, times = np.zeros(scores.rows, bool), np.zeros(scores.rows, np.int64)
    for question in range(scores.questions):
        found = scores.retrieved(question, top_k)
        seen = scores.seen(question, found)
        nearer = (seen.answers == answered[found]) & (seen.ranks < best[found])
        better = np.flatnonzero((by[found] < 0) | (seen.answers & ~answered[found]) | nearer)
        these = found[better]
        by[these], best[these], place[these] = question, seen.ranks[better], better + 1
        answered[these] = seen.answers[better]
        times[found] += 1
    return by, best, place, answered, times


def _fan(scores: Scores | ManyScores, top_k: int, chunks_shown: int, asked: Sequence[int]) -> Int64:
    """For each chunk the row of that of the questions `asked` that it is joined to, the first one's where there are
    several; the first question's row is the last of all.

    After "Isolate" the page reads the number as a position in what is left. Where every chunk is retrieved, and so all
    rows can be selected, that position is the last hit's own: without a line of its own it can't close a circle, which
    would hang the page.
    """
    questions = scores.questions
    fan = np.full(scores.rows, -1)
    for question in reversed(asked):
        fan[scores.retrieved(question, top_k)[:FAN]] = chunks_shown + questions - 1 - question
    for question in asked:
        found = scores.retrieved(question, top_k)
        if len(found) >= chunks_shown:
            fan[found[-1:]] = -1
    return fan


def _closeness(distance: Float64) -> Float64:
    """1 at the nearest, 0 at the farthest. In a gradient the Projector shows the smallest numbers nearly white, so a
    distance would hide just what matters. Ties are spread below the sixth decimal: up to 50 distinct values are
    categories to the page, not a gradient.
    """
    finite = np.isfinite(distance)
    near, far = distance[finite].min(), distance[finite].max()
    scaled = (far - distance) / (far - near) if far > near else np.ones(len(distance))
    scaled = np.where(finite, scaled, 0)
    if len(distance) <= 50:
        return scaled
    place = np.empty(len(distance))
    place[np.argsort(distance, kind="stable")] = np.arange(len(distance))
    spread: Float64 = np.round(scaled, 6) * (1 - 1e-6) + 1e-6 * (1 - place / len(distance))
    return spread
