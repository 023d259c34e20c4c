"""The order of the rows, and what each is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runs.conftest import make_points


def test_order_of_rows():
    """Chunks in stored order, then answers, then the retrieved from last to first, then the question."""
    points = make_points(rows=12, top_k=3)
    roles = points.roles
    assert roles[-1] == "question"
    assert all(role.startswith("retrieved") for role in roles[-4:-1])
    assert points.rank[-4:].tolist() == [3, 2, 1, 0]
    chunks = [row for row, role in enumerate(roles) if role == "chunk"]
    assert (np.diff(points.position[chunks]) > 0).all()
    order = {"chunk": 0, "answer": 1, "retrieved": 2, "retrieved+answer": 2, "question": 3}
    assert [order[role] for role in roles] == sorted(order[role] for role in roles)
    assert points.contains_answer[points.position == 8].all()


def test_several_questions():
    """The first question is the last row; each chunk's distance is to the nearest question, which is named."""
    points = make_points(rows=20, questions=3, top_k=2)
    assert list(points.ids[-3:]) == ["question-3", "question-2", "question-1"]
    assert points.question[-3:].tolist() == [2, 1, 0]
    for row in np.flatnonzero(~points.is_question):
        distances = np.linalg.norm(points.vectors[-3:][::-1] - points.vectors[row], axis=1)
        assert points.question[row] == distances.argmin()
        np.testing.assert_allclose(points.distance[row], distances.min(), rtol=1e-6)
    assert (points.retrieved_by >= 0).sum() <= 6


@pytest.mark.parametrize(
    ("stored", "page"), [(3, 3), ("iv", "iv"), ([1, 2.5], [1, 2.5]), (np.inf, None), ([np.nan], None)]
)
def test_pages(stored, page):
    """A page is what is stored; infinity, which no JSON can hold, is none."""
    assert make_points(rows=9, metadatas=[{"page": stored}] * 9).page(0) == page


@given(st.integers(2, 120), st.integers(0, 100))
def test_closeness_falls_with_distance(rows, seed):
    """Closeness is in 0 .. 1, falls as the distance rises, and offers a gradient above 50 rows, ties or not."""
    points = make_points(rows=rows, dimension=1, seed=seed)
    chunks = ~points.is_question
    order = points.distance[chunks].argsort(kind="stable")
    closeness = points.closeness[chunks][order]
    assert (np.diff(closeness) <= 0).all()
    assert closeness.min() >= 0
    assert closeness.max() <= 1
    if rows > 50:
        assert len(set(closeness)) == rows
