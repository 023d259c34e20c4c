"""Folders that belong to a living process. What a killed one left has a free lock, and is tidied up by the next."""

from __future__ import annotations

import glob
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = "lock"


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch(parent: Path, prefix: str, tidy: Callable[[Path], None] = _remove) -> Iterator[Path]:
    """A new folder `<prefix><random>` in `parent`, locked while in use; `tidy` gets it at the end, whatever happens.

    What killed processes left under this prefix is tidied up first. Raises OSError when the folder can't be made.
    """
    sweep(parent, prefix, tidy)
    folder, lock = _claim(parent, prefix)
    try:
        yield folder
    finally:
        tidy(folder)
        lock.release()


def sweep(parent: Path, prefix: str, tidy: Callable[[Path], None] = _remove) -> None:
    """Tidy up the folders of this prefix whose owners no longer live; folders that can't be touched stay."""
    for folder in parent.glob(glob.escape(prefix) + "*"):
        with suppress(Timeout, OSError), FileLock(folder / _LOCK).acquire(blocking=False):
            tidy(folder)


def _claim(parent: Path, prefix: str) -> tuple[Path, FileLock]:
    while True:
        folder = parent / (prefix + secrets.token_hex(4))
        folder.mkdir()
        lock = FileLock(folder / _LOCK)
        with suppress(Timeout, FileNotFoundError):
            lock.acquire(blocking=False)
            if (folder / _LOCK).exists():  # else a sweep came between the two steps, and removed the folder
                return folder, lock
