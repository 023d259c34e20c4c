"""What an ingest keeps beside a collection while it works: a lock, and what it has read so far.

Both lie in the folder `.ingest` of the Chroma directory. The lock is the operating system's, so a killed process loses
it. The journal is a line of JSON a page, written as soon as it is read; the next run takes from it instead of the
network. A line that was cut short by a kill is not there.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from exporter.errors import OutputError

FOLDER = ".ingest"
_LOCK, _JOURNAL, _WRITING = "lock", "pages.jsonl", "writing"
KEPT_FOR = 24 * 3600.0
"""Seconds after which what an interrupted run has read is read again."""


@contextmanager
def claim(folder: Path, place: str) -> Iterator[Path]:
    """The folder, for this process alone. Afterwards it is gone, unless something in it is still needed.

    Raises OutputError when another process has it, when it can't be written, or when it is a link: what lies behind it
    is not ours to write to.
    """
    if folder.is_symlink():
        raise OutputError(f"{folder} is a link to another place: remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire(blocking=False)
        there = (folder / _LOCK).exists()
    except Timeout:
        raise OutputError(f"another ingest is writing to {place}: wait until it has finished") from None
    except OSError as error:
        raise OutputError(f"{place} can't be written: {error.strerror or error}") from error
    if not there:  # its last owner removed it in this very moment
        lock.release()
        raise OutputError(f"another ingest has just finished in {place}: try again")
    try:
        yield folder
    finally:
        if {path.name for path in folder.iterdir()} <= {_LOCK}:
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A mark that stays when the process is killed: then Chroma has to undo a half-done write before others read."""
    with _told(folder):
        (folder / _WRITING).touch()
    try:
        yield
    finally:
        (folder / _WRITING).unlink()


def was_killed(folder: Path) -> bool:
    """Whether a process was killed while it wrote."""
    return (folder / _WRITING).exists()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror or error}") from error


class Journal:
    """Pages by address, as far as they were read by the same request: a mapping that is kept on disk."""

    def __init__(self, folder: Path, request: Mapping[str, Any], now: float | None = None) -> None:
        self._path = folder / _JOURNAL
        self._places: dict[str, int] = {}
        now = time.time() if now is None else now
        head = {"request": json.loads(json.dumps(request)), "started": now}
        with _told(self._path):
            if self._is_of(head["request"], now):
                self._index()
            else:
                self._path.write_text(json.dumps(head) + "\n", "utf-8")
            self._stream = self._path.open("r+b")

    def __len__(self) -> int:
        return len(self._places)

    def get(self, url: str) -> dict[str, Any] | None:
        """What was kept of a page."""
        if url not in self._places:
            return None
        self._stream.seek(self._places[url])
        found: dict[str, Any] = json.loads(self._stream.readline())["page"]
        return found

    def keep(self, url: str, page: Mapping[str, Any]) -> None:
        """Keep a page; from now on a kill does not lose it. Raises OutputError when the disk is full."""
        with _told(self._path):
            place = self._stream.seek(0, os.SEEK_END)
            self._stream.write(json.dumps({"url": url, "page": page}).encode() + b"\n")
            self._stream.flush()
        self._places[url] = place

    def close(self, *, finished: bool) -> None:
        """Let go of the file; `finished`: it is not needed any more."""
        with suppress(OSError):  # what could not be written was told, and the next run does without it
            self._stream.close()
        if finished:
            self._path.unlink(missing_ok=True)

    def _is_of(self, request: Any, now: float) -> bool:
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError), self._path.open("rb") as stream:
            head = json.loads(stream.readline())
            return bool(head["request"] == request and now - float(head["started"]) < KEPT_FOR)
        return False

    def _index(self) -> None:
        whole = 0
        with self._path.open("rb") as stream:
            for line in stream:
                with suppress(ValueError, RecursionError):
                    if line.endswith(b"\n"):
                        read = json.loads(line)
                        if isinstance(read, dict) and isinstance(read.get("url"), str) and "page" in read:
                            self._places[read["url"]] = whole
                        whole += len(line)
                        continue
                break  # the end of a line that was cut short
        os.truncate(self._path, whole)
