"""Re-embedding tells whether a model made a collection."""

import numpy as np

from exporter.embedding.check import compare

RANDOM = np.random.default_rng(0)
STORED = RANDOM.normal(size=(16, 50)).astype(np.float32)


def test_the_same_model():
    """Small differences, as of half precision, pass without a warning; length does not count."""
    check = compare(STORED, STORED * 3 + RANDOM.normal(scale=0.01, size=STORED.shape).astype(np.float32))
    assert check.passed
    assert check.warning is None


def test_another_model():
    """Another model's vectors are told with the median cosine."""
    check = compare(STORED, RANDOM.normal(size=STORED.shape).astype(np.float32))
    assert check.fell_out == 16
    assert f"median cosine of {check.median_cosine:.3f}" in check.warning


def test_two_models_in_one_collection():
    """When single chunks fall out, the warning counts them."""
    mixed = STORED.copy()
    mixed[3:6] = RANDOM.normal(size=(3, 50))
    check = compare(STORED, mixed)
    assert check.median_cosine > 0.99
    assert "3 of 16" in check.warning


def test_zero_vectors_match_nothing():
    """A stored vector of zeros was made by no model."""
    assert compare(np.zeros((2, 5), np.float32), np.ones((2, 5), np.float32)).fell_out == 2
