"""Files that somebody names, read up to a bound: a device, or a link to one, never ends."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST = 256 * 2**20
"""Bytes."""


def never_ends(state: os.stat_result) -> bool:
    """Is it a pipe or a device? Reading one may wait for ever, or fill the memory."""
    return stat.S_ISFIFO(state.st_mode) or stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode)


def read_bounded(path: Path) -> bytes:
    """The content of a file. Raises OSError, also where it holds more than `LARGEST`."""
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"it holds more than {LARGEST // 2**20} MB", str(path))
    return content
