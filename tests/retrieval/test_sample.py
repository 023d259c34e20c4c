"""What is shown when not all can be."""

import numpy as np
import pytest

from exporter.errors import UsageError
from exporter.records import Scores
from exporter.retrieval.sample import sample


def scores(distances, answers=()):
    distances = np.atleast_2d(np.asarray(distances, float))
    ranks = distances.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable").astype(np.int32) + 1
    held = np.zeros(distances.shape, bool)
    held[:, list(answers)] = True
    return Scores("l2", distances, ranks, held, lost=int(np.isinf(distances[0]).sum()))


def test_all_fit():
    """Everything is shown when there is room, in stored order."""
    assert sample(scores(range(9)), top_k=3, max_points=10, seed=0).tolist() == list(range(9))


def test_who_stays():
    """The top k stay, then the nearest chunks with the answer, then the nearest up to half, then a draw of the rest."""
    shown = sample(scores(range(1000), answers=[500, 900, 999]), top_k=5, max_points=101, seed=1)
    assert len(shown) == 100
    assert (np.diff(shown) > 0).all()
    assert {0, 1, 2, 3, 4, 500, 900, 999} <= set(shown.tolist())
    assert set(range(47)) <= set(shown.tolist())
    assert len([position for position in shown if position > 50]) > 40


def test_answers_nearest_first():
    """When even the chunks with the answer are too many, the nearest of them are shown."""
    shown = sample(scores(range(100), answers=range(50, 100)), top_k=5, max_points=16, seed=0)
    assert shown.tolist() == [0, 1, 2, 3, 4, *range(50, 60)]


def test_seeded():
    """The same seed draws the same chunks, another one others."""
    draws = [sample(scores(range(1000)), top_k=5, max_points=100, seed=seed).tolist() for seed in (7, 7, 8)]
    assert draws[0] == draws[1] != draws[2]


def test_no_room():
    """When the top k don't fit, the error says what would."""
    with pytest.raises(UsageError, match="--max-points 11 or more"):
        sample(scores(range(100)), top_k=10, max_points=10, seed=0)


def test_lost_are_never_shown():
    """A chunk without a vector is not shown, even when the collection is smaller than the top k."""
    assert sample(scores([0.5, np.inf, 0.1]), top_k=10, max_points=10, seed=0).tolist() == [0, 2]
