"""What a reader does when the collection is written to while it is read: it starts over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE = 0.02  # seconds; doubled each time, so that a write of some tenths of a second is outlived


class Changed(Exception):
    """The rows that were read belong to more than one point in time."""


def until_unchanged(read: Callable[[], T]) -> T:
    """What `read` returns, started over as long as it raises `Changed`; the last `Changed` comes through."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return read()
        except Changed:
            time.sleep(FIRST_PAUSE * 2**attempt)
    return read()
