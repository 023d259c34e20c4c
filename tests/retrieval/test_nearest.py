"""The quick way gives what the row kernel gives on every chunk: the same chunks, order, and bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import RowsError
from exporter.records import Batch
from exporter.retrieval import nearest as module
from exporter.retrieval.distance import distances
from exporter.retrieval.nearest import Ranker, count_nearer

METRICS = ["l2", "cosine", "ip"]


def batches(vectors, size=7):
    for start in range(0, len(vectors), size):
        part = vectors[start : start + size]
        yield Batch([f"id{start + row}" for row in range(len(part))], part)


def rank(questions, vectors, metric, depth):
    ranker = Ranker(questions, metric, depth)
    for batch in batches(vectors):
        ranker.add(batch)
    return ranker.nearest()


def check(questions, vectors, metric, depth):
    found = rank(questions, vectors, metric, depth)
    for row, question in enumerate(questions):
        exact = distances(vectors, question, metric)
        order = np.argsort(exact, kind="stable")[:depth]
        np.testing.assert_array_equal(found.positions[row], order)
        np.testing.assert_array_equal(found.distances[row], exact[order])


@pytest.fixture(params=[1, 13, 64])
def block(request, monkeypatch):
    """Blocks so small that there are many, of chunks and of questions."""
    monkeypatch.setattr(module, "BLOCK", request.param)
    monkeypatch.setattr(module, "SCORES", 50)
    monkeypatch.setattr(module, "PAIRS", 40)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_to_the_kernel(block, metric):
    """Whatever the size of blocks, ranks and distances are those of the row kernel."""
    random = np.random.default_rng(0)
    check(random.normal(size=(9, 5)).astype(np.float32), random.normal(size=(200, 5)).astype(np.float32), metric, 10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e25, 3e37])
def test_extreme_lengths(metric, scale):
    """Lengths whose squares float32 can't hold lose no chunk."""
    random = np.random.default_rng(1)
    vectors = (random.normal(size=(120, 6)) * scale).astype(np.float32)
    vectors[7] = 0
    check(random.normal(size=(4, 6)).astype(np.float32), vectors, metric, 8)
    check((random.normal(size=(4, 6)) * scale).astype(np.float32), vectors, metric, 8)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_and_neighbours_in_the_last_bit(metric):
    """Equal chunks rank in stored order, and chunks that differ in the last bit only by the kernel's order."""
    random = np.random.default_rng(2)
    base = random.normal(size=(1, 64)).astype(np.float32)
    vectors = np.repeat(base, 300, axis=0)
    rows = random.integers(0, 300, 150)
    columns = random.integers(0, 64, 150)
    vectors[rows, columns] = np.nextafter(vectors[rows, columns], np.float32(9))
    check(np.concatenate([base, base + np.float32(0.1)]), vectors, metric, 25)


@pytest.mark.parametrize("metric", METRICS)
def test_sorted_chunks(metric, monkeypatch):
    """Chunks that come nearer and nearer, so that each block beats all before, are ranked all the same."""
    monkeypatch.setattr(module, "BLOCK", 50)
    far = np.linspace(3, 0, 400)[:, None] * np.ones((1, 4)) + np.array([[1, 0, 0, 0]])
    check(np.array([[1, 0, 0, 0], [2, 1, 1, 1]], np.float32), far.astype(np.float32), metric, 5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 6),
    st.integers(1, 12),
    st.sampled_from(METRICS),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1.0, 100.0]),
)
def test_any_collection(rows, questions, depth, metric, seed, offset):
    """Of small whole numbers, so with many ties, whatever the sizes."""
    random = np.random.default_rng(seed)
    vectors = (random.integers(-2, 3, size=(rows, 3)) + offset).astype(np.float32)
    asked = random.integers(-2, 3, size=(questions, 3)).astype(np.float32)
    check(asked, vectors, metric, depth)


@pytest.mark.parametrize("metric", METRICS)
def test_counting(metric, block):
    """How many chunks are nearer is one less than the exact rank, for any chunk, ties included."""
    random = np.random.default_rng(3)
    vectors = random.integers(-1, 2, size=(150, 3)).astype(np.float32)
    asked = random.integers(-1, 2, size=(6, 3)).astype(np.float32)
    positions = random.integers(0, 150, 6)
    exact = [distances(vectors, question, metric) for question in asked]
    wanted = np.array([row[position] for row, position in zip(exact, positions, strict=True)])
    nearer = count_nearer(batches(vectors), asked, metric, wanted, positions)
    order = [np.argsort(row, kind="stable").tolist() for row in exact]
    assert nearer.tolist() == [row.index(position) for row, position in zip(order, positions, strict=True)]


def test_chunks_without_a_vector():
    """They take part in nothing, and are counted; positions stay those of the collection."""
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    vectors[[1, 4]] = np.nan
    vectors[2] = 0
    found = rank(np.zeros((1, 2), np.float32), vectors, "l2", 10)
    assert found.positions.tolist() == [[2, 0, 3, 5]]
    assert (found.rows, found.lost, found.zero_vectors, found.lost_ids) == (6, 2, 1, ("id1", "id4"))


def test_nothing_to_rank():
    """A collection without a single vector is refused, and so is a vector that holds infinity."""
    with pytest.raises(RowsError, match="none of the 3 chunks"):
        rank(np.zeros((1, 2), np.float32), np.full((3, 2), np.nan, np.float32), "l2", 5)
    broken = np.zeros((3, 2), np.float32)
    broken[1, 0] = np.inf
    with pytest.raises(RowsError, match="'id1'"):
        rank(np.zeros((1, 2), np.float32), broken, "l2", 5)


def test_memory_is_bounded():
    """Ten times the chunks take no more memory than blocks and scores: it does not grow with the collection."""
    import tracemalloc

    random = np.random.default_rng(4)
    asked = random.normal(size=(50, 16)).astype(np.float32)

    def peak(rows):
        vectors = random.normal(size=(rows, 16)).astype(np.float32)
        tracemalloc.start()
        ranker = Ranker(asked, "l2", 10)
        for batch in batches(vectors, 1000):
            ranker.add(batch)
        ranker.nearest()
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(200_000) < 1.2 * peak(40_000)
