"""A run as a zip: packed with each content once, and unpacked without trust.

An archive may come from anybody. So every name in it is looked at before a byte is written, and what is written is
counted, whatever sizes the archive claims.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from exporter.errors import OutputError, ServingError
from exporter.runs import manifest
from exporter.runs.projector import CHECKPOINT, CHECKPOINT_PATH, CONFIG

MOST_FILES = 10_000
MOST_BYTES = 4 * 2**30
"""Of what an archive unpacks to. A run of 100,000 x 1,536 has 2 GB with its vectors.tsv."""
_AT_ONCE = 2**20
_ELSEWHERE = re.compile(r"[/\\]|\.\.")


def pack(run: Path, facts: Mapping[str, Any], file: IO[bytes]) -> None:
    """Write a run into an open file, under its own name: what its manifest lists, the manifest, and its events.

    A file whose content another has too is left out; `unpack` makes it again. Raises OutputError when one is missing.
    """
    events = [path.name for path in sorted(run.iterdir()) if manifest.is_events(path.name)]
    seen: set[str] = set()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name in sorted(facts["files"], key=lambda name: (PurePosixPath(name).parent == PurePosixPath(), name)):
            content = facts["files"][name]["sha256"]
            if content not in seen:  # those in assets/ come first: the config names them
                seen.add(content)
                _add(archive, run, manifest.located(run, facts, name).relative_to(run).as_posix())
        for name in (manifest.MANIFEST, *events):
            _add(archive, run, name)


def _add(archive: ZipFile, run: Path, name: str) -> None:
    path = run / name
    if not path.is_file() or not manifest.is_inside(run, path):
        raise OutputError(f"{run} is not whole: {name} is missing; export it again")
    archive.write(
        path, f"{plain_name(run.resolve().name)}/{name}", ZIP_STORED if path.suffix == ".png" else ZIP_DEFLATED
    )


def plain_name(name: str) -> str:
    """A name that a run can have: the page puts it into addresses as it is."""
    return re.sub(r"[^A-Za-z0-9._ -]+", "-", name).strip(" .-")[:60] or "run"


def unpack(source: Path, into: Path, *, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> Path:
    """Unpack an archive of one or several runs into the empty folder `into`; returns the log directory that it makes.

    Raises ServingError, in one line, for what is no archive, is not whole, or holds anything but plain files in the
    bounds: names that lead out of it, links, two files of one name, more or larger files than a run has.
    """
    try:
        with ZipFile(source) as archive:
            entries = list(_checked(archive.infolist(), most_files, most_bytes))
            root = into / "logs" / plain_name(source.stem)
            left = most_bytes
            for entry, parts in entries:
                left -= _extract(archive, entry, root.joinpath(*parts), left)
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        raise ServingError(f"{source} can't be unpacked ({str(error)[:200]}): get it again") from None
    except OSError as error:
        raise ServingError(f"{source} can't be unpacked ({error.strerror or error})") from None
    except _Refused as refused:
        raise ServingError(f"{source} is refused: {str(refused)[:300]}; nothing of it is served") from None
    configs = list(root.rglob(CONFIG))
    for config in configs:
        _refuse_paths_outside(source, config.parent)
        _link_twins(source, config.parent)
        _rename_plainly(config.parent, root)
    if not configs:
        raise ServingError(f"{source} holds no run: it has no {CONFIG}")
    return root.parent if (root / CONFIG).exists() else root


def _rename_plainly(run: Path, root: Path) -> None:
    """Where two have one name then, the second keeps its own."""
    plain = run.with_name(plain_name(run.name))
    if run != root and not plain.exists():
        run.rename(plain)


class _Refused(Exception):
    """What is wrong with an archive, in words."""


def _checked(entries: list[ZipInfo], most_files: int, most_bytes: int) -> Iterator[tuple[ZipInfo, tuple[str, ...]]]:
    """The files of an archive with the parts of their names, once all are found harmless."""
    if len(entries) > most_files:
        raise _Refused(f"it holds {len(entries):,} files, a run has {most_files:,} at most")
    if (size := sum(entry.file_size for entry in entries)) > most_bytes:
        raise _Refused(f"it unpacks to {size:,} bytes, {most_bytes:,} are the most")
    files: set[tuple[str, ...]] = set()
    found = []
    for entry in entries:
        parts = _parts(entry.orig_filename)  # as stored: zipfile cuts a name at NUL
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _Refused(f"{entry.filename!r} is a link or no plain file")
        if entry.flag_bits & 1:
            raise _Refused(f"{entry.filename!r} is encrypted")
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise _Refused(f"{entry.filename!r} is packed in a way that is not used here")
        if entry.is_dir():
            continue
        folded = tuple(part.casefold() for part in parts)
        if folded in files:
            raise _Refused(f"{entry.filename!r} is in it twice")
        files.add(folded)
        found.append((entry, parts))
    for name in files:
        if any(name[:depth] in files for depth in range(1, len(name))):
            raise _Refused(f"{'/'.join(name)!r} lies in what is a file")
    yield from found


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a relative name, each a plain one on every system. Raises _Refused."""
    parts = name.removesuffix("/").split("/")
    for part in parts:
        if part in ("", ".", "..") or re.search(r'[\x00-\x1f\x7f\\:*?"<>|]', part) or part.endswith((" ", ".")):
            raise _Refused(f"the name {name!r} leads out of it, or is none for a file")
        if len(part.encode("utf-8", "replace")) > 255:
            raise _Refused(f"the name {name[:40]!r}... is too long")
    return tuple(parts)


def _extract(archive: ZipFile, entry: ZipInfo, path: Path, left: int) -> int:
    """Write one file, and return its size; no more than it claims and than there is `left`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, most = 0, min(entry.file_size, left)
    with archive.open(entry) as packed, path.open("xb") as file:
        while block := packed.read(_AT_ONCE):
            done += len(block)
            if done > most:
                raise _Refused(f"{entry.filename!r} unpacks to more than it claims")
            file.write(block)
    return done


def _refuse_paths_outside(source: Path, run: Path) -> None:
    """With TensorFlow, TensorBoard would read a checkpoint wherever a config or a checkpoint's state says it is."""
    state = run / CHECKPOINT
    if CHECKPOINT_PATH.search((run / CONFIG).read_text("utf-8", "replace")):
        raise ServingError(f"{source} is refused: its config names a checkpoint by a path; nothing of it is served")
    if state.exists() and _ELSEWHERE.search(state.read_text("utf-8", "replace")):
        raise ServingError(f"{source} is refused: its checkpoint lies elsewhere; nothing of it is served")


def _link_twins(source: Path, run: Path) -> None:
    """Make the files again that were packed under another name only."""
    if not (run / manifest.MANIFEST).exists():
        return  # of another tool
    try:
        recorded = manifest.read(run)["files"]
        here = {record["sha256"]: name for name, record in recorded.items() if (run.joinpath(*_parts(name))).is_file()}
        for name, record in recorded.items():
            path = run.joinpath(*_parts(name))
            twin = here.get(record["sha256"])
            if path.exists() or twin is None:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(run / twin, path)
            except OSError:
                shutil.copyfile(run / twin, path)
    except _Refused as refused:
        raise ServingError(
            f"{source} is refused: in its manifest {str(refused)[:300]}; nothing of it is served"
        ) from None
    except (OutputError, TypeError, OSError) as error:
        raise ServingError(f"{source} is refused: {error}") from None
