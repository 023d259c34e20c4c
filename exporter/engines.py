"""Where work is done: here, or on a Ray cluster. Nothing else knows about Ray.

Both do the same work on the same items and give the results in the same order, so that what is made of them is the
same. Ray's own data sets are not used: they cut batches at the bounds of their blocks, and what a model makes of a text
depends, in the last digit, on the texts beside it; and tried on two processors their stages waited for each other.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, Protocol, TypeVar, get_args

from exporter.errors import NetworkError, UsageError, first_line

T = TypeVar("T")
R = TypeVar("R")

EngineName = Literal["local", "ray"]

AHEAD = 2
"""Items that a worker has at once: one to work on, one to begin with next."""

PROCESSORS = 0.5
"""What a worker takes of a node's processors: an ingest has two kinds at work, and neither may wait for the other."""

LOOKED_FOR = 10.0
"""Seconds for a cluster to take a connection."""

RESTARTS = 2
"""How often a worker that died is begun anew; its items are done again."""


class Engine(Protocol):
    """Does the same to many items. `workers` do it at once."""

    @property
    def workers(self) -> int:
        """How many there are."""

    def each(self, make: Callable[[], Callable[[T], R]], items: Iterable[T]) -> Iterator[R]:
        """`make()(item)` of each item, in their order. `make` is called once a worker, and may take its time.

        An item may be done twice, when a worker dies. What `make` or its work raises is raised here.
        """


class Local:
    """Work is done in this process."""

    workers = 1

    def each(self, make: Callable[[], Callable[[T], R]], items: Iterable[T]) -> Iterator[R]:
        """One after the other."""
        yield from map(make(), items)


@dataclass(frozen=True)
class _Raised:
    """What work raised, as a value: Ray would wrap it, and not every error survives that."""

    error: Exception


class _Worker:
    """What runs on the cluster."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._work: Callable[[Any], Any] | None = None

    def do(self, item: Any) -> Any:
        """The result, or `_Raised`."""
        try:
            if self._work is None:
                self._work = self._make()
            return self._work(item)
        except Exception as error:  # of whatever kind: it is raised again where the result is asked for
            return _Raised(error)


class OnRay:
    """A cluster that is connected."""

    def __init__(self, ray: Any, workers: int) -> None:
        self._ray, self.workers = ray, workers

    def each(self, make: Callable[[], Callable[[T], R]], items: Iterable[T]) -> Iterator[R]:
        """Every worker gets its next item when it has done one; of what is done early, little waits."""
        ray = self._ray
        remote = ray.remote(num_cpus=PROCESSORS, max_restarts=RESTARTS, max_task_retries=RESTARTS)(_Worker)
        actors = [remote.remote(make) for _ in range(self.workers)]
        todo, free = iter(items), deque(actors * AHEAD)
        waiting: deque[Any] = deque()
        owner: dict[Any, Any] = {}
        try:
            while True:
                while free and len(waiting) < 2 * AHEAD * self.workers:
                    try:
                        item = next(todo)
                    except StopIteration:
                        break
                    reference = free[0].do.remote(item)
                    owner[reference] = free.popleft()
                    waiting.append(reference)
                if not waiting:
                    return
                if owner:
                    done, _ = ray.wait(list(owner), num_returns=1)
                    free.extend(owner.pop(reference) for reference in done)
                while waiting and waiting[0] not in owner:
                    yield self._result(waiting.popleft())
        finally:
            for actor in actors:
                ray.kill(actor)

    def _result(self, reference: Any) -> Any:
        try:
            found = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            why = first_line(error)
            raise NetworkError(f"the Ray cluster lost a worker more than {RESTARTS} times: {why}") from error
        if isinstance(found, _Raised):
            raise found.error
        return found


def check_engine(engine: str, address: str | None, workers: int | None) -> None:
    """Raise UsageError for an engine that is unknown, or not installed, and for options that are not for it."""
    if engine not in get_args(EngineName):
        raise UsageError(f"unknown engine {engine!r}: use one of {', '.join(get_args(EngineName))}")
    if engine != "ray" and (address is not None or workers is not None):
        raise UsageError("--ray-address and --workers are for --engine ray")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least 1 is needed")
    if engine == "ray" and find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray: pip install 'chroma-projector[ray]'")


def _look_for(address: str) -> None:
    """Raise NetworkError where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return  # "auto": Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOKED_FOR).close()
    except (OSError, OverflowError) as error:
        raise NetworkError(f"no Ray cluster at {address} ({error}): is it running, and is the port right?") from error


@contextmanager
def engine(name: EngineName, address: str | None = None, workers: int | None = None) -> Iterator[Engine]:
    """The engine of this name. `address`: of a Ray cluster, else RAY_ADDRESS, else one is started on this machine, for
    as long as it is used. `workers`: one for each processor, unless given.

    Raises UsageError where Ray is not installed, NetworkError for a cluster that does not answer.
    """
    check_engine(name, address, workers)
    if name == "local":
        yield Local()
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    import ray.exceptions

    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {}
    if address == "local":
        own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "num_cpus": workers}
    else:
        _look_for(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise NetworkError(f"no Ray cluster at {address}: {first_line(error)}") from error
    try:
        there = int(ray.cluster_resources().get("CPU", 0))
        if there < 1 or (workers or 1) > there:
            raise NetworkError(f"the Ray cluster has {there} processors, {workers or 1} are wanted: start more nodes")
        yield OnRay(ray, workers or there)
    finally:
        ray.shutdown()
