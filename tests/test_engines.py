"""What an engine promises: the same results in the same order, here and on a Ray cluster."""

import os
import time
from functools import partial

import pytest

from exporter.engines import Local, engine
from exporter.errors import ModelError, NetworkError, UsageError
from exporter.sources.changes import Changed
from tests.ray_cluster import cluster
from tests.sources.served import free_port

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def address():
    with pytest.MonkeyPatch.context() as patch, cluster(patch) as (address, _):
        yield address


@pytest.fixture(params=["local", "ray"])
def some(request):
    """Each engine in turn."""
    if request.param == "local":
        with engine("local") as made:
            yield made
    else:
        with engine("ray", request.getfixturevalue("address")) as made:
            yield made


def squares():
    return lambda number: number * number


def slow_first():
    """The first items take longest."""

    def work(number):
        time.sleep(max(0.0, 0.3 - number / 10))
        return number, os.getpid()

    return work


def test_results_in_order(some):
    """Every item has one result, in the order of the items, whoever is done first; no items, no results."""
    assert list(some.each(squares, range(50))) == [number * number for number in range(50)]
    assert list(some.each(squares, [])) == []
    assert [number for number, _ in some.each(slow_first, range(8))] == list(range(8))


def test_items_are_taken_as_they_are_needed(some):
    """An endless stream of items is worked on bit by bit."""
    taken = []

    def items():
        for number in range(10_000):
            taken.append(number)
            yield number

    results = some.each(squares, items())
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(taken) < 20
    results.close()


@pytest.mark.parametrize("error", [ModelError("the model failed"), Changed("x"), ZeroDivisionError("x")])
def test_errors_come_as_they_are(some, error):
    """What the work raises is raised here, of its own kind, after the results before it; what `make` raises, too."""

    def make():
        def work(number):
            if number == 5:
                raise error
            return number

        return work

    found = []
    with pytest.raises(type(error), match=str(error)):
        for number in some.each(make, range(9)):
            found.append(number)
    assert found == [0, 1, 2, 3, 4]

    def fails():
        raise error

    with pytest.raises(type(error), match=str(error)):
        list(some.each(fails, range(9)))


def test_two_at_once_of_a_kind(some):
    """One engine does two kinds of work at the same time, the one on what the other gives."""
    assert list(some.each(squares, some.each(squares, range(20)))) == [number**4 for number in range(20)]


def test_it_is_spread(address):
    """On Ray the items go to as many processes as there are workers, none of them this one."""
    for wanted, count in ((None, 2), (1, 1)):
        with engine("ray", address, wanted) as made:
            assert made.workers == count
            processes = {process for _, process in made.each(slow_first, range(8))}
        assert len(processes) == count
        assert os.getpid() not in processes


def dies(folder):
    """The worker that has item 3 dies, the first so many times."""

    def work(number):
        if number == 3 and len(list(folder.glob("died*"))) < int((folder / "times").read_text()):
            (folder / f"died{time.monotonic_ns()}").touch()
            os._exit(1)
        return number

    return work


@pytest.mark.parametrize(("times", "survives"), [(1, True), (99, False)])
def test_a_worker_that_dies(address, tmp_path, times, survives):
    """A worker that dies is begun anew and its items done again; one that dies each time is one line."""
    (tmp_path / "times").write_text(str(times))
    with engine("ray", address, 1) as made:
        results = made.each(partial(dies, tmp_path), range(6))
        if survives:
            assert list(results) == list(range(6))
        else:
            with pytest.raises(NetworkError, match="lost a worker more than 2 times"):
                list(results)


def test_what_does_not_fit(address, monkeypatch):
    """An unknown engine, options that are for Ray, a cluster that is not there or too small, and no Ray at all."""
    for arguments, words in (
        (("spark",), "unknown engine 'spark': use one of local, ray"),
        (("local", "127.0.0.1:1"), "are for --engine ray"),
        (("local", None, 2), "are for --engine ray"),
        (("ray", address, 0), "--workers 0: at least 1"),
    ):
        with pytest.raises(UsageError, match=words), engine(*arguments):
            pass
    with pytest.raises(NetworkError, match="has 2 processors, 64 are wanted"), engine("ray", address, 64):
        pass
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(NetworkError, match=rf"no Ray cluster at {nobody} \("), engine("ray", nobody):
        pass
    monkeypatch.setattr("exporter.engines.find_spec", lambda name: None)
    with (
        pytest.raises(UsageError, match=r"--engine ray needs Ray: pip install 'chroma-projector\[ray\]'"),
        engine("ray"),
    ):
        pass
    with engine("local") as made:
        assert isinstance(made, Local)
