"""The map: the same each time, neighbours together, and an honest figure for it."""

import numpy as np
import pytest

from exporter.layouts import umap
from exporter.layouts.trust import kept_top_k, trustworthiness


def clusters(rows, seed=0):
    random = np.random.default_rng(seed)
    centres = random.normal(scale=5, size=(6, 20))
    return (centres[random.integers(0, 6, rows)] + random.normal(size=(rows, 20))).astype(np.float32)


def test_the_same_bytes():
    """The same vectors and seed give the same bytes; another seed gives another map."""
    vectors = clusters(300)
    one, again, other = (umap.umap(vectors, seed) for seed in (1, 1, 2))
    assert [part.tobytes() for part in one] == [part.tobytes() for part in again]
    assert one[0].tobytes() != other[0].tobytes()


@pytest.mark.parametrize("rows", [umap.FEWEST, 5, 10, 30])
def test_few_rows(rows):
    """From four rows on there is a map, centred, in three dimensions and in two."""
    places, flat = umap.umap(clusters(rows), 0)
    assert places.shape == (rows, 3)
    assert flat.shape == (rows, 2)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-9)
    assert np.isfinite(places).all()


def test_duplicates():
    """Many equal vectors are no obstacle."""
    places, _ = umap.umap(np.repeat(clusters(5), 20, axis=0), 0)
    assert np.isfinite(places).all()


def test_turned_to_its_axes():
    """The map's own axes are its principal axes, so that the page's PCA shows it as it is."""
    places, _ = umap.umap(clusters(200), 0)
    covariance = np.cov(places.T)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-6)
    assert (np.diff(np.diag(covariance)) <= 0).all()


def test_trustworthiness():
    """A map of clusters is trusted more than places by chance; under five rows there is no figure."""
    vectors = clusters(300)
    places, _ = umap.umap(vectors, 0)
    by_chance = np.random.default_rng(0).normal(size=(300, 3))
    assert trustworthiness(vectors, places, 0) > 0.85
    assert 0.4 < trustworthiness(vectors, by_chance, 0) < 0.6
    assert trustworthiness(vectors[:4], places[:4], 0) is None
    assert trustworthiness(vectors[:5], places[:5], 0) is not None


def test_kept_top_k():
    """How many of the true top k are among the k nearest in the picture, chunks only."""
    places = np.array([[1.0, 0], [2, 0], [3, 0], [9, 0], [0.1, 0], [0, 0]])
    chunks = np.arange(4)
    assert kept_top_k(places, 5, chunks, np.array([0, 1])) == 2
    assert kept_top_k(places, 5, chunks, np.array([0, 3])) == 1
