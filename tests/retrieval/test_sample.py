"""What is shown when not all can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import UsageError
from exporter.records import Scores
from exporter.retrieval.sample import draw, estimated_ranks, sample


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


def pages_of(ids, size):
    return [ids[start : start + size] for start in range(0, len(ids), size)]


@given(st.integers(0, 300), st.integers(1, 60), st.integers(0, 3), st.sets(st.integers(0, 400), max_size=20))
def test_a_draw(rows, size, seed, wanted):
    """A draw has what was asked for by name and is there, and others up to the room, in stored order; it is the same
    however the ids come in pages, and with another order the same ids.
    """
    ids, names = [f"id{i}" for i in range(rows)], {f"id{i}" for i in wanted}
    drawn = draw(pages_of(ids, size), names, 30, seed)
    there = names & set(ids)
    assert drawn.rows == rows
    assert len(drawn.ids) == min(rows, max(30, len(there)))
    assert there == {one for one, by_lot in zip(drawn.ids, drawn.by_lot, strict=True) if not by_lot}
    assert list(drawn.ids) == [one for one in ids if one in set(drawn.ids)]
    assert list(draw([ids], names, 30, seed).ids) == list(drawn.ids)
    assert set(draw(pages_of(ids[::-1], size), names, 30, seed).ids) == set(drawn.ids)


def test_a_draw_is_fair():
    """Over many seeds every id is drawn about as often, wherever it stands; a seed is a draw of its own."""
    ids, counts = [f"id{i}" for i in range(200)], np.zeros(200)
    for seed in range(400):
        found = draw(pages_of(ids, 70), (), 50, seed)
        counts[[int(one[2:]) for one in found.ids]] += 1
    assert counts.mean() == 100
    assert counts.std() < 11  # of independent draws 8.7
    assert counts[:50].mean() == pytest.approx(100, abs=6)
    assert counts[-50:].mean() == pytest.approx(100, abs=6)


@given(st.integers(0, 2**32), st.integers(1, 500), st.integers(1, 400))
def test_estimated_ranks(seed, rows, room):
    """Ranks rise with the distance, from 1 to the number of rows at most; those of the nearest that are known are
    their places, and of a collection that was read whole all are.
    """
    random = np.random.default_rng(seed)
    every = np.sort(random.random(rows))
    known = np.arange(rows) < min(20, rows)
    read = known | (random.permutation(rows) < room)
    found = estimated_ranks(every[read], known[read], ~known[read], rows, 10)
    ranks = found.ranks
    assert found.unknown == 0
    assert found.counted == max(known.sum(), 10)
    assert (np.diff(ranks) >= 1).all()
    assert (ranks[:1].min(), ranks.max() <= rows) == (1, True)
    assert ranks[: known.sum()].tolist() == list(range(1, known.sum() + 1))
    if read.all():
        assert ranks.tolist() == list(range(1, rows + 1))


def test_estimated_ranks_are_near_the_true_ones():
    """From 1,000 of 100,000 a rank is told within a few percent of the collection, half too high and half too low."""
    every = np.sort(np.random.default_rng(1).random(100_000))
    errors = []
    for seed in range(20):
        known = np.arange(100_000) < 100
        read = known.copy()
        read[np.random.default_rng(seed).choice(100_000, 1000, replace=False)] = True
        ranks = estimated_ranks(every[read], known[read], ~known[read], 100_000, 10).ranks
        errors.append(ranks - (np.flatnonzero(read) + 1))
    assert np.abs(errors[0]).max() < 6000
    assert np.abs([error.mean() for error in errors]).max() < 4000
    assert abs(np.mean([error.mean() for error in errors])) < 800


def test_an_index_that_lost_most():
    """When the index named one in twenty of the nearest, ranks are as near the true ones as ever but for the top k,
    which stay the first, and how many it lost is told by the draw.
    """
    every = np.sort(np.random.default_rng(1).random(100_000))
    known = (np.arange(100_000) < 20_000) & (np.arange(100_000) % 20 == 0)
    read = known.copy()
    read[np.random.default_rng(2).choice(100_000, 2000, replace=False)] = True
    found = estimated_ranks(every[read], known[read], ~known[read], 100_000, 10)
    assert found.unknown == pytest.approx(19_000, rel=0.1)
    assert found.ranks[:10].tolist() == list(range(1, 11))
    assert found.counted == 10
    assert np.abs(found.ranks - (np.flatnonzero(read) + 1)).max() < 3000
    assert (np.diff(found.ranks) >= 1).all()
    assert found.ranks.max() <= 100_000


def test_an_index_that_lost_one():
    """A drawn chunk that is nearer than the last that was named ends what is counted, and stands for others unseen."""
    distances, by_lot = np.arange(12.0), np.isin(np.arange(12), [6, 10, 11])
    found = estimated_ranks(distances, ~by_lot, by_lot, 39, 3)
    assert found.ranks.tolist() == [1, 2, 3, 4, 5, 6, 11, 17, 18, 19, 24, 34]
    assert (found.counted, found.unknown) == (6, 10)
