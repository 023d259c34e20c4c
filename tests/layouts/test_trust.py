"""How far pictures, and the page's own list of neighbours, can be trusted."""

import numpy as np

from exporter.layouts.trust import as_the_page_has_them, listed, page_distances, share_listed


def vectors(dimension, rows=40):
    return (np.random.default_rng(3).normal(size=(rows, dimension)) + 1).astype(np.float32)


def test_below_50_dimensions_vectors_stay():
    """Up to 49 dimensions the page shows vectors as they are."""
    given = vectors(49)
    assert as_the_page_has_them(given, given.mean(axis=0)) is given


def test_from_50_dimensions_on_they_are_centred_and_scaled():
    """From 50 dimensions on the page takes the mean away and makes each vector's length 1; one at the mean stays 0."""
    given = vectors(50)
    given = np.concatenate([given, given.mean(axis=0, keepdims=True)])
    shown = as_the_page_has_them(given, given.mean(axis=0))
    np.testing.assert_allclose(np.linalg.norm(shown[:-1], axis=1), 1, rtol=1e-6)
    centred = given[:-1] - given.mean(axis=0)
    np.testing.assert_allclose(shown[:-1], centred / np.linalg.norm(centred, axis=1, keepdims=True), atol=1e-5)
    assert np.abs(shown[-1]).max() < 1.01  # what rounding leaves of it, at any length up to 1


def test_the_list_is_sorted_by_cosine():
    """The list begins with the rows of the smallest angle to the question, without the question itself."""
    given = vectors(4)
    distances = page_distances(given, np.array([3, 7]))[1]
    cosines = given @ given[7] / np.linalg.norm(given, axis=1) / np.linalg.norm(given[7])
    expected = [row for row in np.argsort(-cosines).tolist() if row != 7][:5]
    assert listed(distances, 7, 5).tolist() == expected


def test_the_share_counts_the_top_k_only():
    """The share is that of the true top k among as many rows of the list; where they stand in it does not count."""
    distances = np.array([0.3, 0.1, 0.2, 0.4, 0.0])
    assert share_listed(distances, 4, np.array([2, 1])) == 1
    assert share_listed(distances, 4, np.array([1, 3])) == 0.5
    assert share_listed(distances, 4, np.array([3, 0])) == 0


def test_a_vector_of_length_0_is_last():
    """A row without a direction has no cosine, and is never counted as near."""
    given = vectors(4)
    given[3] = 0
    (distances,) = page_distances(given, np.array([0]))
    assert distances[3] == np.inf
    assert 3 not in listed(distances, 0, 38)


def test_many_rows_are_taken_in_parts(monkeypatch):
    """However many rows are taken at a time, the distances are the same."""
    given, asked = vectors(60), np.array([0, 39])
    whole = page_distances(given, asked)
    monkeypatch.setattr("exporter.layouts.trust._ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(page_distances(given, asked), whole, rtol=1e-12)
