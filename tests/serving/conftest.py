"""Servers that are stopped whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exporter.serving.tensorboard import Server, start


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """`start`, on any free port, with a stop at the end of the test."""
    with ExitStack() as stack:

        def serve(logdir: Path, **options: Any) -> Server:
            return stack.enter_context(start(logdir, **{"port": 0, **options}))

        yield serve
