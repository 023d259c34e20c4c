"""New points among those of a map."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from exporter.layouts.placed import NEAREST, placed

SEEDS = some.integers(0, 2**32 - 1)


@given(SEEDS, some.integers(1, 60))
def test_within_the_places_of_the_nearest(seed, count):
    """A new point lies within the places of its ten nearest chunks, so it never stretches the map."""
    random = np.random.default_rng(seed)
    distances, places = random.uniform(size=count), random.normal(size=(count, 3))
    place = placed(distances, places)
    nearest = places[np.argsort(distances)[:NEAREST]]
    assert (place >= nearest.min(axis=0) - 1e-12).all()
    assert (place <= nearest.max(axis=0) + 1e-12).all()


def test_the_nearest_weighs_most():
    """Between two chunks the point is nearer to the one that it resembles more."""
    place = placed(np.array([0.1, 0.4]), np.array([[0.0], [1.0]]))
    assert 0 < place[0] < 0.5


def test_equal_distances():
    """Chunks that are equally near weigh the same."""
    assert placed(np.full(4, 0.3), np.array([[0.0], [1.0], [2.0], [3.0]]))[0] == 1.5


def test_far_chunks_and_chunks_without_a_vector_take_no_part():
    """Where the map is beyond the ten nearest, and where there is no distance, changes nothing."""
    distances = np.array([*np.linspace(0.1, 0.2, NEAREST), 0.5, np.inf])
    places = np.random.default_rng(1).normal(size=(NEAREST + 2, 2))
    moved = places.copy()
    moved[NEAREST:] += 100
    assert (placed(distances, places) == placed(distances, moved)).all()
