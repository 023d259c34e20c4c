"""The dartboard: the radius is the rank's, the question stays in the middle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.layouts.dartboard import CENTRED, FEWEST, dartboard, radii


def board(rows, k, seed=0, dimension=8, shown=None):
    """A random collection's dartboard: places and ranks of the chunks shown."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, dimension)).astype(np.float32)
    question = random.normal(size=dimension).astype(np.float32)
    ranks = np.empty(rows, int)
    ranks[np.linalg.norm(vectors - question, axis=1).argsort(kind="stable")] = np.arange(1, rows + 1)
    keep = np.arange(rows) if shown is None else np.sort(random.permutation(rows)[:shown])
    return dartboard(question, vectors[keep], ranks[keep], k, rows), ranks[keep]


def off_centre(places):
    """As the page turns them to their principal axes, not centred, and stretches each to -1 .. 1: how far from the
    middle of an axis the origin comes.
    """
    shown = places.astype(np.float32)[:, :2] @ np.linalg.svd(places[:, :2].T @ places[:, :2])[0]
    low, high = np.minimum(shown.min(axis=0), 0), np.maximum(shown.max(axis=0), 0)
    return np.abs((high + low) / (high - low)).max()


@settings(deadline=None)
@given(st.integers(FEWEST, 200), st.integers(1, 30), st.integers(0, 10_000), st.integers(1, 6))
def test_any_size(rows, k, seed, dimension):
    """For any number of rows and any k the radius rises with the rank, and the question is in the middle."""
    places, ranks = board(rows, k, seed, dimension)
    radius = np.hypot(places[:, 0], places[:, 1])
    assert (np.diff(radius[ranks.argsort()]) > -1e-12).all()
    assert (places[:, 2] == 0).all()
    assert np.isfinite(places).all()
    assert off_centre(places) <= CENTRED + 1e-9


def test_radii():
    """The radii are those of the formula: evenly for the top k, by the logarithm beyond, an empty band between."""
    found = radii(np.array([1, 5, 10, 11, 1000]), 10, 1000)
    expected = [0.15, 0.15 + 0.2 * 4 / 9, 0.35, 0.45 + 0.55 * np.log(1.1) / np.log(100), 1.0]
    np.testing.assert_allclose(found, expected)
    assert radii(np.array([1, 2]), 10, 2).tolist() == pytest.approx([0.15, 0.15 + 0.2 / 9])
    assert radii(np.array([1]), 1, 1).tolist() == [0.15]


def test_many_rows_are_placed_by_the_formula():
    """With many rows no radius is bent, the hits stand at equal steps, and the axes are the principal ones."""
    places, ranks = board(1000, 10)
    radius = np.hypot(places[:, 0], places[:, 1])
    np.testing.assert_allclose(radius, radii(ranks, 10, 1000))
    angles = np.sort(np.arctan2(places[ranks <= 10, 1], places[ranks <= 10, 0]))
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / 10, atol=1e-9)
    assert abs((places[:, 0] * places[:, 1]).sum()) < 1e-9


def test_a_sample_keeps_its_radii():
    """Ranks and radii are those of the whole collection, whatever is shown of it."""
    places, ranks = board(1000, 10, shown=200)
    np.testing.assert_allclose(np.hypot(places[:, 0], places[:, 1]), radii(ranks, 10, 1000))


@pytest.mark.parametrize("question", [np.zeros(4, np.float32), np.ones(4, np.float32)])
def test_degenerate_input(question):
    """A question of zeros, equal chunks, and chunks along the question alone give a finite picture."""
    for vectors in (np.ones((9, 4)), np.outer(np.arange(9), np.ones(4)), np.zeros((9, 4))):
        places = dartboard(question, vectors.astype(np.float32), np.arange(1, 10), 3, 9)
        assert np.isfinite(places).all()
        assert len(np.unique(np.round(places, 9), axis=0)) == 9


def test_similar_chunks_stand_together():
    """Chunks of one direction have neighbouring angles."""
    random = np.random.default_rng(0)
    centres = np.array([[0, 5, 0, 0], [0, -5, 0, 0], [0, 0, 5, 0]])
    subject = np.repeat([0, 1, 2], 40)
    vectors = (centres[subject] + random.normal(scale=0.2, size=(120, 4))).astype(np.float32)
    ranks = random.permutation(120) + 1
    places = dartboard(np.array([1, 0, 0, 0], np.float32), vectors, ranks, 1, 120)
    others = ranks > 1
    around = subject[others][np.arctan2(places[others, 1], places[others, 0]).argsort()]
    assert (around != np.roll(around, 1)).sum() == 3
