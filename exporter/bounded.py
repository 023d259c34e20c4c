"""Files that somebody names, read up to a bound: a device, or a link to one, never ends."""

from __future__ import annotations

import errno
from pathlib import Path

LARGEST = 256 * 2**20
"""Bytes."""


def read_bounded(path: Path) -> bytes:
    """The content of a file. Raises OSError, also where it holds more than `LARGEST`."""
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"it holds more than {LARGEST // 2**20} MB", str(path))
    return content
