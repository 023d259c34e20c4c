"""Distances: by definition, and independent of how the rows are cut into batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporter.retrieval.distance import METRICS, distances, rough_distances

MATRICES = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 40), st.integers(1, 70)), elements=st.floats(-1e3, 1e3, width=32)
)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("l2", [0.0, np.sqrt(2), np.sqrt(18)]), ("cosine", [0.0, 1.0, 1 - 4 / 5]), ("ip", [0.0, 1.0, -3.0])],
)
def test_by_hand(metric, expected):
    """Each metric gives what its definition says."""
    vectors = np.array([[1, 0], [0, 1], [4, 3]], np.float32)
    question = np.array([1, 0], np.float32)
    np.testing.assert_allclose(distances(vectors, question, metric), expected, atol=1e-15)


@given(MATRICES, st.data())
def test_batches_change_no_bit(vectors, data):
    """A row's distance has the same bits whatever other rows are computed with it."""
    question = vectors[data.draw(st.integers(0, len(vectors) - 1))]
    cut = data.draw(st.integers(0, len(vectors)))
    for metric in METRICS:
        whole = distances(vectors, question, metric)
        parts = np.concatenate([distances(part, question, metric) for part in (vectors[:cut], vectors[cut:])])
        alone = np.concatenate([distances(row[None], question, metric) for row in vectors])
        assert whole.tobytes() == parts.tobytes() == alone.tobytes()


def test_zero_vectors_under_cosine():
    """A vector of zeros, or a question of zeros, is at distance 1 of everything."""
    vectors = np.array([[0, 0, 0], [1, 2, 3]], np.float32)
    assert distances(vectors, vectors[1], "cosine").tolist() == [1.0, 0.0]
    assert distances(vectors, vectors[0], "cosine").tolist() == [1.0, 1.0]


@pytest.mark.parametrize("metric", METRICS)
def test_rough_distances(metric):
    """The quick distances are those of `distances` to five digits, zero vectors among them."""
    random = np.random.default_rng(2)
    vectors, questions = random.normal(size=(50, 7)).astype(np.float32), random.normal(size=(4, 7)).astype(np.float32)
    vectors[3] = questions[2] = 0
    expected = [distances(vectors, question, metric) for question in questions]
    np.testing.assert_allclose(rough_distances(vectors, questions, metric), expected, atol=1e-5)
