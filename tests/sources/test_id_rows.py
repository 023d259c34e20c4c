import numpy as np
import pytest

from exporter.sources import id_rows as module
from exporter.sources.changes import Changed
from exporter.sources.id_rows import IdRows


def test_each_id_is_in_its_row():
    """Ids are found where they came, others nowhere, in whatever pages they came and are asked for."""
    ids = [f"id{i}" for i in range(3000)]
    found = IdRows(lambda: iter([ids[:1000], [], ids[1000:]]))
    assert found.of(ids).tolist() == list(range(3000))
    assert found.of(["nobody", "id7", ""]).tolist() == [-1, 7, -1]
    assert found.of([]).tolist() == []
    assert IdRows(lambda: []).of(["id7"]).tolist() == [-1]


def test_two_ids_of_one_hash_are_told_apart(monkeypatch):
    """When two ids have the same hash, another hash is taken for all."""
    passes = []

    def pages():
        passes.append(1)
        return [["a", "b", "c"]]

    monkeypatch.setattr(module, "hash_of", lambda text: 5 if text in ("a", "b") else hash(text))
    found = IdRows(pages)
    assert found.of(["c", "b", "a"]).tolist() == [2, 1, 0]
    assert len(passes) == 2


def test_an_id_that_comes_twice_is_a_sign_of_a_change():
    """Pages of two points in time may hold an id twice: that ends, and the read starts over."""
    with pytest.raises(Changed):
        IdRows(lambda: [["a"], ["a"]])


def test_a_row_takes_sixteen_bytes():
    """What is kept does not grow with the length of the ids."""
    found = IdRows(lambda: ([f"{i:0300}" for i in range(first, first + 1000)] for first in range(0, 20_000, 1000)))
    assert sum(part.nbytes for part in vars(found).values() if isinstance(part, np.ndarray)) == 16 * 20_000
