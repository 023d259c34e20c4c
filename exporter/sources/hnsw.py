"""The index folder of a collection: which vector belongs to which id, and the vectors themselves.

- `index_metadata.pickle`: id -> label (`id_table`). It is missing until the first persist, and until then the other
  files hold nothing of use.
- `header.bin`: sizes and offsets (hnswalg.h:20-34, 1043 of chroma-core/hnswlib 6868102).
- `data_level0.bin`: a record of fixed size for each element, in any order: links, vector, label (hnswalg.h:308-312).
- `length.bin`: a float32 an element, the vector's length; with cosine the stored vectors are of length 1.

Chroma writes all of them in place, the pickle last. So they are read, never mapped, and the reader compares `state`
before and after.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from exporter.errors import SourceError
from exporter.records import Float32, Int64
from exporter.sources.database import explained, state_of_file
from exporter.sources.id_table import IdTable, Unreadable

PICKLE, HEADER, LEVEL0, LENGTHS = "index_metadata.pickle", "header.bin", "data_level0.bin", "length.bin"
HEADER_FORMAT = struct.Struct("<iQQQQQQiIQQQdQ")
ELEMENTS_AT_ONCE = 1000
UNREADABLE = (Unreadable, ValueError, IndexError, TypeError)
"""What a table of ids comes to that is cut, or that Chroma did not write."""

State = tuple[tuple[int, int] | None, ...]
"""Of each file its size and the time of its last write in nanoseconds, or None where it is missing."""


class Damaged(SourceError):
    """Files that don't fit together: damaged for good, or in the middle of a persist."""


class Index:
    """An index folder, as it was when it was opened. Close it: it holds files open.

    It has no ids (`is_empty`) before the first persist. `max_seq_id` is the last record of the queue that is in it,
    where the pickle says so (0.4 only). Of a collection's rows it keeps nothing, with cosine 4 bytes a row.

    Raises `Damaged` for files that are cut off or don't fit together, and `SourceError` for a pickle that would run
    code: none is run.
    """

    def __init__(self, folder: Path, *, dimension: int | None, cosine: bool) -> None:
        self._folder, self._files = folder, ExitStack()
        self._batches: Iterator[tuple[list[str], list[int]]] = iter(())
        self.is_empty = True
        self.max_seq_id: int | None = None
        with self._files:
            if (folder / PICKLE).exists():
                with self._readable():
                    table = IdTable(self._files.enter_context((folder / PICKLE).open("rb", buffering=0)))
                    self._batches = table.batches()
                    first = next(self._batches, None)
                    self.is_empty, self.max_seq_id = first is None, table.max_seq_id
                    self._batches = iter(()) if first is None else chain([first], self._batches)
            self._elements = None if self.is_empty else _Elements(folder, dimension, cosine, self._files)
            self._files = self._files.pop_all()

    def labels(self) -> Iterator[tuple[list[str], list[int]]]:
        """All ids and their labels, some thousand at a time; once. Raises `Damaged`, `SourceError`."""
        with self._readable():
            yield from self._batches

    def elements_of(self, labels: Int64) -> Int64:
        """The element that has each of the labels, (n,), all different but for -1; -1 where none has."""
        found = np.full(len(labels), -1, np.int64)
        if self._elements is not None and len(labels):
            order = np.argsort(labels)
            known = labels[order]
            for first, some in self._elements.labels():
                places = np.minimum(np.searchsorted(known, some), len(known) - 1)
                same = (known[places] == some) & (some >= 0)
                found[order[places[same]]] = first + np.flatnonzero(same)
        return found

    def vectors(self, rows: Int64) -> Float32:
        """The vectors of these elements, (m,) without -1, as (m, d) float32: the bits of `collection.get`."""
        assert self._elements is not None, "without elements every row is -1"  # noqa: S101
        return self._elements.vectors(rows)

    def close(self) -> None:
        """Give the files back."""
        self._files.close()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            with explained(self._folder / PICKLE):
                yield
        except UNREADABLE as error:
            fact = error if isinstance(error, Unreadable) else f"can't be read ({error})"
            raise _damaged(self._folder, f"{PICKLE} {fact}") from error


def state(folder: Path) -> State:
    """What a persist changes: compare it before and after a read."""
    with explained(folder):
        return tuple(_file_state(folder / name) for name in (PICKLE, HEADER, LEVEL0, LENGTHS))


def _file_state(file: Path) -> tuple[int, int] | None:
    try:
        found = state_of_file(file)
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


class _Elements:
    def __init__(self, folder: Path, dimension: int | None, cosine: bool, files: ExitStack) -> None:
        self._folder = folder
        with explained(folder):
            self._read_header(dimension)
            self._lengths = self._read_lengths() if cosine else None
            self._file = os.open(folder / LEVEL0, os.O_RDONLY)
            files.callback(os.close, self._file)

    def labels(self) -> Iterator[tuple[int, Int64]]:
        """The label of every element, some at a time, each time with the number of the first of them."""
        for first in range(0, self._count, ELEMENTS_AT_ONCE):
            n = min(ELEMENTS_AT_ONCE, self._count - first)
            with explained(self._folder):
                raw = self._read(n * self._size, first * self._size)
            elements = np.frombuffer(raw, np.uint8).reshape(n, self._size)
            yield first, elements[:, self._label_at : self._label_at + 8].copy().view(np.int64)[:, 0]

    def vectors(self, rows: Int64) -> Float32:
        offsets = (rows * self._size + self._vector_at).tolist()
        length = self._label_at - self._vector_at
        with explained(self._folder):
            raw = b"".join([self._read(length, offset) for offset in offsets])
        vectors = np.frombuffer(raw, np.float32).reshape(len(rows), length // 4)
        if self._lengths is None:
            return vectors
        with np.errstate(all="ignore"):  # of garbage it makes infinity or NaN, which is refused by the chunk's id
            return vectors * self._lengths[rows, None]

    def _read_header(self, dimension: int | None) -> None:
        with (self._folder / HEADER).open("rb") as file:
            header = file.read(HEADER_FORMAT.size)
        if len(header) < HEADER_FORMAT.size:
            raise _damaged(self._folder, f"{HEADER} has {len(header)} bytes of {HEADER_FORMAT.size}")
        version, _, _, self._count, self._size, self._label_at, self._vector_at, *_ = HEADER_FORMAT.unpack(header)
        wide = (self._label_at - self._vector_at) / 4
        if version != 1 or not self._count or not 0 < self._vector_at < self._label_at <= self._size - 8:
            raise _damaged(self._folder, f"{HEADER} makes no sense (version {version}, {self._count} elements)")
        if wide != dimension:
            raise _damaged(self._folder, f"{HEADER} says {wide:g} dimensions, the collection {dimension}")
        there, needed = (self._folder / LEVEL0).stat().st_size, self._count * self._size
        if there < needed:
            raise _damaged(self._folder, f"{LEVEL0} has {there:,} of {needed:,} bytes")

    def _read_lengths(self) -> Float32:
        lengths = np.fromfile(self._folder / LENGTHS, np.float32, self._count)
        if len(lengths) < self._count:
            raise _damaged(self._folder, f"{LENGTHS} has {len(lengths):,} of {self._count:,} lengths")
        return lengths

    def _read(self, length: int, offset: int) -> bytes:
        raw = os.pread(self._file, length, offset)
        if len(raw) < length:
            raise _damaged(self._folder, f"{LEVEL0} ends within an element")
        return raw


def _damaged(folder: Path, fact: str) -> Damaged:
    return Damaged(f"the index {folder.name} is damaged: {fact}; restore the directory from a backup")
