"""No test of strangers' files may take much memory, or hang."""

import resource

import pytest

MOST = 600 * 1024
"""Kilobytes that one test may add to the most that this process ever took."""


@pytest.fixture(autouse=True)
def _within_bounds():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST
