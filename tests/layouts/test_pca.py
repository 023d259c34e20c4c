"""Principal axes: exact, and the same each time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exporter.layouts.pca import principal_axes


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_like_the_singular_values(rows, dimension, seed):
    """The spread along each axis is that of the singular value decomposition; what doesn't exist is 0."""
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    placed = principal_axes(vectors, 3)
    spread = np.linalg.svd(vectors - vectors.mean(axis=0, dtype=np.float64), compute_uv=False)
    expected = np.zeros(3)
    expected[: len(spread[:3])] = spread[:3]
    np.testing.assert_allclose(np.linalg.norm(placed, axis=0), expected, atol=1e-5)


def test_signs_are_settled():
    """The farthest point on each axis is on its positive side, so a mirrored solution can't come out."""
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    placed = principal_axes(vectors, 3)
    assert all(column[np.abs(column).argmax()] > 0 for column in placed.T)
    assert (placed == principal_axes(vectors, 3)).all()


def test_wide_vectors(monkeypatch):
    """Vectors so wide that they take another way come to the same places."""
    vectors = np.random.default_rng(4).normal(size=(40, 60)).astype(np.float32) * np.arange(60, 0, -1)
    expected = principal_axes(vectors, 3)
    monkeypatch.setattr("exporter.layouts.pca._WIDE", 50)
    assert np.allclose(principal_axes(vectors, 3), expected, atol=1e-3 * np.abs(expected).max())
