"""The index folder of a collection: which vector belongs to which id, and the vectors themselves.

- `index_metadata.pickle`: id -> label. 1.x writes a plain dictionary (rust/segment/src/local_hnsw.rs:373-383 at tag
  1.5.9), 0.4 to 0.6 an object (chromadb/segment/impl/vector/local_persistent_hnsw.py). It is missing until the first
  persist, and until then the other files hold nothing of use.
- `header.bin`: sizes and offsets (hnswalg.h:20-34, 1043 of chroma-core/hnswlib 6868102).
- `data_level0.bin`: a record of fixed size for each element, in any order: links, vector, label (hnswalg.h:308-312).
- `length.bin`: a float32 an element, the vector's length; with cosine the stored vectors are of length 1.

Chroma writes all of them in place, the pickle last. So they are read, never mapped, and the reader compares `state`
before and after.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import SourceError
from exporter.records import Float32, Int64
from exporter.sources.database import explained

PICKLE, HEADER, LEVEL0, LENGTHS = "index_metadata.pickle", "header.bin", "data_level0.bin", "length.bin"
HEADER_FORMAT = struct.Struct("<iQQQQQQiIQQQdQ")
PYTHON_CLASS = ("chromadb.segment.impl.vector.local_persistent_hnsw", "PersistentData")
ELEMENTS_AT_ONCE = 1000

State = tuple[tuple[int, int] | None, ...]
"""Of each file its size and the time of its last write in nanoseconds, or None where it is missing."""


class Damaged(SourceError):
    """Files that don't fit together: damaged for good, or in the middle of a persist."""


class Index:
    """An index folder, as it was when it was opened. Close it: it holds a file open.

    `labels` is its table of ids, empty before the first persist. `max_seq_id` is the last record of the queue that is
    in it, where the pickle says so (0.4 only).

    Raises `Damaged` for files that are cut off or don't fit together, and `SourceError` for a pickle that would run
    code: none is run.
    """

    def __init__(self, folder: Path, *, dimension: int | None, cosine: bool) -> None:
        table = _id_table(folder / PICKLE)
        self.labels: dict[str, int] = table.get("id_to_label") or {}
        self.max_seq_id: int | None = table.get("max_seq_id")
        self._elements = _Elements(folder, dimension, cosine) if self.labels else None

    def rows_of(self, ids: Sequence[str]) -> Int64:
        """The element of each id, (n,); -1 where the index has none."""
        if self._elements is None:
            return np.full(len(ids), -1, np.int64)
        return self._elements.rows_of(np.fromiter((self.labels.get(name, -1) for name in ids), np.int64, len(ids)))

    def vectors(self, rows: Int64) -> Float32:
        """The vectors of these elements, (m,) without -1, as (m, d) float32: the bits of `collection.get`."""
        assert self._elements is not None, "without elements every row is -1"  # noqa: S101
        return self._elements.vectors(rows)

    def close(self) -> None:
        """Give the file back."""
        if self._elements is not None:
            self._elements.close()


def state(folder: Path) -> State:
    """What a persist changes: compare it before and after a read."""
    with explained(folder):
        return tuple(_file_state(folder / name) for name in (PICKLE, HEADER, LEVEL0, LENGTHS))


def _file_state(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


class _Elements:
    def __init__(self, folder: Path, dimension: int | None, cosine: bool) -> None:
        self._folder = folder
        with explained(folder):
            self._read_header(dimension)
            self._lengths = self._read_lengths() if cosine else None
            self._file = os.open(folder / LEVEL0, os.O_RDONLY)
        try:
            with explained(folder):
                labels = self._read_labels()
        except BaseException:
            self.close()
            raise
        self._order = np.argsort(labels)
        self._labels = labels[self._order]

    def rows_of(self, labels: Int64) -> Int64:
        places = np.minimum(np.searchsorted(self._labels, labels), self._count - 1)
        return np.where(self._labels[places] == labels, self._order[places], -1)

    def vectors(self, rows: Int64) -> Float32:
        offsets = (rows * self._size + self._vector_at).tolist()
        length = self._label_at - self._vector_at
        with explained(self._folder):
            raw = b"".join([self._read(length, offset) for offset in offsets])
        vectors = np.frombuffer(raw, np.float32).reshape(len(rows), length // 4)
        return vectors if self._lengths is None else vectors * self._lengths[rows, None]

    def close(self) -> None:
        os.close(self._file)

    def _read_header(self, dimension: int | None) -> None:
        header = (self._folder / HEADER).read_bytes()[: HEADER_FORMAT.size]
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

    def _read_labels(self) -> Int64:
        parts = []
        for first in range(0, self._count, ELEMENTS_AT_ONCE):
            n = min(ELEMENTS_AT_ONCE, self._count - first)
            elements = np.frombuffer(self._read(n * self._size, first * self._size), np.uint8).reshape(n, self._size)
            parts.append(elements[:, self._label_at : self._label_at + 8].copy().view(np.int64)[:, 0])
        return np.concatenate(parts)

    def _read(self, length: int, offset: int) -> bytes:
        raw = os.pread(self._file, length, offset)
        if len(raw) < length:
            raise _damaged(self._folder, f"{LEVEL0} ends within an element")
        return raw


class _Fields(dict[str, Any]):
    """Stands in for chromadb's PersistentData: keeps its fields, runs nothing."""

    def __setstate__(self, fields: dict[str, Any]) -> None:
        self.update(fields)


class _RefusingUnpickler(pickle.Unpickler):
    """Builds plain values and `_Fields`; anything else that a pickle names is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> type:
        if (module, name) == PYTHON_CLASS:
            return _Fields
        raise SourceError(
            f"{PICKLE} would run {module}.{name}, which Chroma never writes; refused, nothing was run: "
            "find out who wrote the directory before you open it with anything else"
        )


_SIZES = {
    **dict.fromkeys((pickle.EMPTY_DICT, pickle.EMPTY_LIST, pickle.EMPTY_TUPLE, pickle.MARK, pickle.SETITEM), 1),
    **dict.fromkeys((pickle.SETITEMS, pickle.APPEND, pickle.APPENDS, pickle.MEMOIZE, pickle.NONE, pickle.NEWTRUE), 1),
    **dict.fromkeys((pickle.NEWFALSE, pickle.STACK_GLOBAL, pickle.NEWOBJ, pickle.BUILD, pickle.STOP), 1),
    **dict.fromkeys((pickle.PROTO, pickle.BININT1, pickle.BINGET, pickle.BINPUT), 2),
    **{pickle.BININT2: 3, pickle.BININT: 5, pickle.LONG_BINGET: 5, pickle.LONG_BINPUT: 5, pickle.FRAME: 9},
}
_COUNTED = {
    pickle.SHORT_BINUNICODE: 1, pickle.SHORT_BINBYTES: 1, pickle.LONG1: 1, pickle.BINUNICODE: 4, pickle.BINUNICODE8: 8,
}  # fmt: skip
"""Opcodes of tables of texts and numbers: how long each is, or how many bytes say how long its value is. Others are not
in what Chroma writes, and some of them hang or fill the memory before any of them is refused: a tuple of tuples is
hashed for ever."""
_BY_CODE = [_SIZES.get(bytes([code]), -_COUNTED.get(bytes([code]), 0)) for code in range(256)]
_LONG_BINPUT, _LONG1, _GLOBAL = pickle.LONG_BINPUT[0], pickle.LONG1[0], pickle.GLOBAL[0]
_GLOBAL_LINES = re.compile(rb"c[^\n]*\n[^\n]*\n")


def _plain_end(raw: bytes) -> int:
    """Where a pickle stops to be a table: its length, or the place of what no table needs."""
    at, end = 0, len(raw)
    while at < end:
        code = raw[at]
        size = _BY_CODE[code]
        if size > 0:
            if code == _LONG_BINPUT and int.from_bytes(raw[at + 1 : at + 5], "little") > end:
                return at  # Python makes room for as many values as this number says
            at += size
        elif size < 0:
            length = int.from_bytes(raw[at + 1 : at + 1 - size], "little")
            if code == _LONG1 and length > 9:
                return at  # numbers can be chosen to fall on one place of a dictionary
            at += 1 - size + length
        elif code == _GLOBAL and (named := _GLOBAL_LINES.match(raw, at)):
            at = named.end()
        else:
            return at
    return end


def _loaded(raw: bytes) -> Any:
    end = _plain_end(raw)
    rest = pickle.STOP * (len(raw) - end)
    loaded = _RefusingUnpickler(io.BytesIO(raw[:end] + rest)).load()  # before that end it may name what it would run
    if rest:
        raise ValueError("it holds more than a table needs")
    return loaded


def _id_table(file: Path) -> dict[str, Any]:
    """The fields of the pickle; empty when there is none yet."""
    try:
        with explained(file):
            if not file.exists():
                return {}
            table: dict[str, Any] = _loaded(file.read_bytes())
    except SourceError:
        raise
    except Exception as error:  # a cut pickle raises nearly anything
        raise _damaged(file.parent, f"{file.name} can't be read ({error or type(error).__name__})") from error
    labels = table.get("id_to_label") if isinstance(table, dict) else None
    if not isinstance(labels, dict) or not all(type(label) is int and 0 <= label < 2**63 for label in labels.values()):
        raise _damaged(file.parent, f"{file.name} holds no table of ids")
    if not all(type(name) is str for name in labels) or type(table.get("max_seq_id", 0)) not in (int, type(None)):
        raise _damaged(file.parent, f"{file.name} holds ids that are no texts, or a last record that is no number")
    return table


def _damaged(folder: Path, fact: str) -> Damaged:
    return Damaged(f"the index {folder.name} is damaged: {fact}; restore the directory from a backup")
