"""One picture laid over another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import procrustes
from scipy.stats import ortho_group

from exporter.layouts.procrustes import overlay


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.floats(0.01, 100))
def test_the_way_back(seed, width, scale):
    """A picture that was turned, mirrored, scaled and moved comes back, points that were not shared with it."""
    random = np.random.default_rng(seed)
    still = random.normal(size=(20, width))
    moved = still @ ortho_group.rvs(width, random_state=random) * scale + random.normal(size=width)
    laid = overlay(still[:12], moved[:12])
    assert laid.apart == pytest.approx(0, abs=1e-9)
    assert np.allclose(laid(moved), still)


def test_as_scipy_says():
    """What is left is scipy's disparity, and no other turn and scale leaves less."""
    random = np.random.default_rng(4)
    still, moving = random.normal(size=(2, 30, 3))
    laid = overlay(still, moving)
    assert laid.apart == pytest.approx(procrustes(still, moving)[2])
    left = np.square(laid(moving) - still).sum()
    assert left == pytest.approx(laid.apart * np.square(still - still.mean(axis=0)).sum())
    for turn in ortho_group.rvs(3, size=50, random_state=random):
        other = (moving - moving.mean(axis=0)) @ turn * laid.scale + still.mean(axis=0)
        assert np.square(other - still).sum() >= left


def test_unscaled():
    """Without scaling distances stay what they are."""
    random = np.random.default_rng(5)
    still, moving = random.normal(size=(2, 10, 4))
    laid = overlay(still, 7 * moving, scaled=False)(7 * moving)
    assert np.linalg.norm(laid[0] - laid[1]) == pytest.approx(7 * np.linalg.norm(moving[0] - moving[1]))


def test_no_spread():
    """Points that all lie together are only moved."""
    still = np.array([[1.0, 2.0], [3.0, 4.0], [2.0, 0.0]])
    laid = overlay(still, np.zeros((3, 2)))
    assert np.allclose(laid(np.zeros((1, 2))), [[2, 2]])
    assert laid.apart == 1
