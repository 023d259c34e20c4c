"""One pass: distances, ranks, answers; whatever the batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import RowsError
from exporter.records import Batch, Question
from exporter.retrieval.answers import match_any
from exporter.retrieval.scan import Query, question_distance, scan


def batches(vectors, texts=None, size=3):
    texts = texts or [f"text {i}" for i in range(len(vectors))]
    for start in range(0, len(vectors), size):
        part = slice(start, start + size)
        rows = vectors[part]
        yield Batch([f"id{start + i}" for i in range(len(rows))], rows, texts[part])


def ask(vector, *answers):
    return Question("q", np.asarray(vector, np.float32), answers)


@given(st.integers(1, 30), st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_batch_size_changes_nothing(rows, size, seed):
    """Scores are the same, to the bit, for any size of batch."""
    vectors = np.random.default_rng(seed).integers(-2, 3, (rows, 4)).astype(np.float32)
    questions = [ask(vectors[0], "1"), ask([1, 1, 0, 0])]
    matchers = [match_any(["1"]), match_any([])]
    one = scan(batches(vectors, size=rows), Query(questions, matchers, "l2"))
    many = scan(batches(vectors, size=size), Query(questions, matchers, "l2"))
    assert one.distances.tobytes() == many.distances.tobytes()
    assert (one.ranks == many.ranks).all()
    assert (one.answers == many.answers).all()


def test_ranks_and_answers():
    """Rank 1 is the smallest distance, ties in stored order; the first answer is the best-ranked that holds it."""
    vectors = np.array([[3, 0], [1, 0], [2, 0], [1, 0]], np.float32)
    scores = scan(
        batches(vectors, ["a", "b", "the answer", "The  ANSWER"]),
        Query([ask([0, 0], "the answer")], [match_any(["the answer"])], "l2"),
    )
    assert scores.ranks.tolist() == [[4, 1, 3, 2]]
    assert scores.top(0, 2).tolist() == [1, 3]
    assert scores.first_answer_rank(0) == 2
    assert scores.answers.tolist() == [[False, False, True, True]]


def test_none_as_text():
    """A chunk without a text holds no answer, and is ranked all the same."""
    scores = scan(
        batches(np.eye(2, dtype=np.float32), [None, "x"]), Query([ask([1, 0], "x")], [match_any(["x"])], "cosine")
    )
    assert scores.first_answer_rank(0) == 2


def test_broken_vectors():
    """NaN or infinity in a vector is refused, by the chunk's id."""
    vectors = np.array([[1, 2], [np.inf, 0]], np.float32)
    with pytest.raises(RowsError, match="'id1'"):
        scan(batches(vectors), Query([ask([1, 2])], [match_any([])], "l2"))


def test_lost_vectors():
    """Chunks without a vector take part in nothing, are counted and named; when all are without, that is an error."""
    vectors = np.array([[1, 2], [np.nan, np.nan], [3, 4]], np.float32)
    scores = scan(batches(vectors), Query([ask([1, 2], "text 1")], [match_any(["text 1"])], "l2"))
    assert (scores.lost, scores.lost_ids) == (1, ("id1",))
    assert scores.top(0, 10).tolist() == [0, 2]
    assert scores.first_answer_rank(0) is None
    with pytest.raises(RowsError, match="none of the 3 chunks"):
        scan(batches(np.full((3, 2), np.nan, np.float32)), Query([ask([1, 2])], [match_any([])], "l2"))


def test_zero_vectors_are_counted():
    """Chunks of length 0 are counted."""
    query = Query([ask([1, 2])], [match_any([])], "cosine")
    assert scan(batches(np.zeros((5, 2), np.float32)), query).zero_vectors == 5


def test_question_distance():
    """A question is at distance 0 of itself, but 1 - q.q by inner product."""
    vector = np.array([3, 4], np.float32)
    assert [question_distance(vector, metric) for metric in ("l2", "cosine", "ip")] == [0.0, 0.0, -24.0]
