"""manifest.json: what was asked, of what, with what; figures; and every file with its size and hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exporter.bounded import never_ends
from exporter.errors import OutputError
from exporter.runs.projector import MARK, PENDING

MANIFEST = "manifest.json"
FORMAT = 1
"""Rises when a reader of the last version could misread a run."""
LARGEST = 512 * 2**20
"""Bytes of a manifest, at most: read into memory, a file that is only said to be long would fill it."""


def digest(chunks: Iterable[bytes | memoryview]) -> str:
    """The sha256 of the chunks in a row, in hex."""
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()


def file_records(run: Path, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, dict[str, Any]]:
    """Size in bytes and sha256 of each file of a run but manifest and events, by relative path; `known` are hashes."""
    records = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = path.relative_to(run).as_posix()
        if name != MANIFEST and not is_events(name):
            records[name] = {"size": path.stat().st_size, "sha256": known.get(name) or _file_digest(path)}
    return records


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_events(name: str) -> bool:
    """Does TensorBoard take a file of this name for events? Other tools may add some, so none is in the record."""
    return MARK in name or PENDING in name


def located(run: Path, facts: Mapping[str, Any], name: str) -> Path:
    """A file of the run, or its twin: in a zip that was unpacked by hand each content is there once."""
    path, recorded = run / name, facts["files"]
    if path.exists() or name not in recorded:
        return path
    twins = (run / other for other in recorded if recorded[other]["sha256"] == recorded[name]["sha256"])
    return next((twin for twin in twins if twin.is_file() and is_inside(run, twin)), path)


def is_inside(run: Path, path: Path) -> bool:
    """Whether a file that a run names is the run's own: runs may come from anybody."""
    return path.resolve().is_relative_to(run.resolve())


@contextmanager
def understood(run: Path) -> Iterator[None]:
    """Raise OutputError where a manifest or a file of a run is not of the shape that `export` gives it.

    Who made a run may be anybody, and a manifest has more places than are worth a check each.
    """
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        StopIteration,
        MemoryError,
    ) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise OutputError(
            f"{run} is not as `export` writes a run ({why}): chroma-projector verify may name more"
        ) from error


def write(run: Path, facts: Mapping[str, Any], known: Mapping[str, str] = MappingProxyType({})) -> None:
    """The facts and the run's files, as JSON that a person can read too; `known` are files' hashes, by name."""
    whole = {"format": FORMAT, **facts, "files": file_records(run, known)}
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    (run / MANIFEST).write_bytes(text.encode("utf-8", "replace"))  # the source's folder may bear a name of any bytes


def _is_ours(facts: dict[str, Any]) -> bool:
    """Has it the shape that the readers of a run rely on?"""
    if type(facts.get("format")) is not int or facts["format"] < 1:
        return False
    files = facts.get("files")
    if not isinstance(files, dict) or not files or not isinstance(facts.get("questions"), list):
        return bool(facts["format"] > FORMAT)
    return all(isinstance(record, dict) and {"size", "sha256"} <= record.keys() for record in files.values())


def read(run: Path) -> dict[str, Any]:
    """What `write` wrote. Raises OutputError when the folder is no run, or one of a later version."""
    try:
        _refuse_what_never_ends(run / MANIFEST)
        if (run / MANIFEST).stat().st_size > LARGEST:
            raise OutputError(f"{run / MANIFEST} is larger than any that `export` writes: export the run again")
        facts = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(f"{run} is not a run: it holds no {MANIFEST}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError(f"{run / MANIFEST} can't be read ({error}): export the run again") from None
    if not isinstance(facts, dict) or not _is_ours(facts):
        raise OutputError(f"{run / MANIFEST} is not a manifest of ours: export the run again")
    if facts["format"] > FORMAT:
        raise OutputError(f"{run} has format {facts['format']}, newer than this version knows ({FORMAT}): upgrade")
    for path in run.rglob("*"):
        _refuse_what_never_ends(path)
    return facts


def _refuse_what_never_ends(path: Path) -> None:
    """Raise OutputError for a pipe or a device, which reading would wait for, or fill the memory with."""
    with suppress(OSError):  # whoever reads it will say so
        if never_ends(path.stat()):
            raise OutputError(f"{path} is a pipe or a device, not a file: no run has one; export the run again")
