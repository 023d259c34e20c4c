"""The table of ids in `index_metadata.pickle`: id -> label, read an opcode at a time, so that it is never there whole.

1.x writes a plain dictionary (rust/segment/src/local_hnsw.rs:373-383 at tag 1.5.9), 0.4 to 0.6 an object
(chromadb/segment/impl/vector/local_persistent_hnsw.py); both put a thousand items at a time into a dictionary. So a
stack, on which such a thousand is dropped as soon as it has been handed on, is all the memory that it takes. Nothing
is unpickled: what an opcode would import or call is refused by its name, and other opcodes than those of these two
writers are damage. `pickletools` of Python's library says what each opcode does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from exporter.errors import SourceError

PYTHON_CLASS = ("chromadb.segment.impl.vector.local_persistent_hnsw", "PersistentData")
IDS, LAST_RECORD, NOT_NEEDED = "id_to_label", "max_seq_id", ("label_to_id", "id_to_seq_id")
BLOCK = 2**18
LONGEST_OPCODE = 9

# opcodes, with the bytes that follow of those that have a length of their own
TEXTS = {0x58: 4, 0x8C: 1, 0x8D: 8}  # BINUNICODE, SHORT_BINUNICODE, BINUNICODE8: so many tell how long the text is
INT1, INT2, INT4, LONG = 0x4B, 0x4D, 0x4A, 0x8A  # LONG1: a byte tells its length
CONSTANTS = {0x4E: None, 0x88: True, 0x89: False}
MARK, DICT, SETITEMS, STOP = 0x28, 0x7D, 0x75, 0x2E
SETS = (0x73, SETITEMS)  # SETITEM: one item, without a mark
MEMOIZE, REFERENCES = 0x94, {0x68: 1, 0x6A: 4}  # BINGET, LONG_BINGET
SKIPPED = {0x80: 1, 0x95: 8, 0x71: 1, 0x72: 4}  # PROTO, FRAME, BINPUT, LONG_BINPUT
IMPORTS, STACK_GLOBAL = (0x63, 0x69), 0x93  # GLOBAL, INST
BUILT = (0x29, 0x81, 0x62)  # EMPTY_TUPLE, NEWOBJ, BUILD: an object of the one class that is allowed, and its fields


class Unreadable(Exception):
    """What is wrong with a file that is cut off, or that Chroma did not write."""


class IdTable:
    """The table of an open file. Raises `Unreadable`, and `SourceError` for a pickle that would run code: none is run.

    `max_seq_id` is the last record of the queue that is in the index, where the pickle says so (0.4 only). It is known
    when the first of the `batches` is.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.max_seq_id: int | None = None
        self._file, self._left = file, os.fstat(file.fileno()).st_size

    def batches(self) -> Iterator[tuple[list[str], list[int]]]:
        """Ids and their labels; at most a thousand at a time, where Chroma wrote them."""
        data, at = b"", 0
        stack: list[Any] = []
        marks: list[int] = []
        given = skipped = False
        while True:
            if len(data) - at < LONGEST_OPCODE:
                data, at = self._more(data, at, 1), 0
            code = data[at]
            at += 1
            if code in TEXTS:
                start = at + TEXTS[code]
                length = int.from_bytes(data[at:start], "little")
                if start + length > len(data):
                    data, start = self._more(data, start, length), 0
                at = start + length
                stack.append("" if skipped else data[start:at].decode("utf-8", "surrogatepass"))
            elif code == INT4:
                stack.append(int.from_bytes(data[at : at + 4], "little", signed=True))
                at += 4
            elif code == MEMOIZE:
                pass
            elif code == INT2:
                stack.append(int.from_bytes(data[at : at + 2], "little"))
                at += 2
            elif code == INT1:
                stack.append(data[at])
                at += 1
            elif code in REFERENCES:  # to a text that was there before: only in a table that is not needed
                stack.append(None)
                at += REFERENCES[code]
            elif code in SETS:
                first = marks.pop() if code == SETITEMS else len(stack) - 2
                items = stack[first:]
                del stack[first:]
                skipped = False
                name = stack[-2] if len(stack) > 1 else None
                if name == IDS:
                    self.max_seq_id = dict(zip(stack[1::2], stack[2::2], strict=False)).get(LAST_RECORD)
                    if items:
                        given = True
                        yield _checked(items)
                elif name not in NOT_NEEDED:
                    _put(stack[-1], items)
            elif code == MARK:
                marks.append(len(stack))
                skipped = len(stack) > 1 and stack[-2] in NOT_NEEDED
            elif code == DICT:
                stack.append({})
            elif code == STOP:
                break
            elif code == LONG:
                length = data[at]
                if at + 1 + length > len(data):
                    data, at = self._more(data, at, 1 + length), 0
                stack.append(int.from_bytes(data[at + 1 : at + 1 + length], "little", signed=True))
                at += 1 + length
            elif code in CONSTANTS:
                stack.append(CONSTANTS[code])
            elif code in SKIPPED:
                at += SKIPPED[code]
            elif code == STACK_GLOBAL:
                _refuse_unless_own(*stack[-2:])
                del stack[-2:]  # nothing takes its place: what is built is the dictionary of its fields
            elif code in IMPORTS:
                raise _refusal(*data[at : at + 200].decode("utf-8", "replace").split("\n")[:2])
            elif code not in BUILT:
                raise Unreadable(f"holds no table of ids (opcode {code:#x})")
        self._finish(stack[-1], given)

    def _more(self, data: bytes, at: int, wanted: int) -> bytes:
        """The bytes from `at` on, `wanted` of them at least."""
        rest = data[at:]
        if wanted > len(rest) + self._left:
            raise Unreadable("can't be read (it is cut off)")
        read = self._file.read(max(BLOCK, wanted - len(rest)))
        self._left -= len(read)
        return rest + read

    def _finish(self, fields: Any, given: bool) -> None:
        if not isinstance(fields, dict) or not isinstance(fields.get(IDS), dict):
            raise Unreadable("holds no table of ids")
        last = fields.get(LAST_RECORD)
        if not (last is None or type(last) is int) or (given and last != self.max_seq_id):
            raise Unreadable("holds a last record that is no number, or comes after the ids")
        self.max_seq_id = last


def _checked(items: list[Any]) -> tuple[list[str], list[int]]:
    ids, labels = items[::2], items[1::2]
    if set(map(type, labels)) - {int} or min(labels, default=0) < 0 or max(labels, default=0) >= 2**63:
        raise Unreadable("holds no table of ids")
    if set(map(type, ids)) - {str}:
        raise Unreadable("holds ids that are no texts")
    return ids, labels


def _put(fields: Any, items: list[Any]) -> None:
    if not isinstance(fields, dict) or set(map(type, items[::2])) - {str}:
        raise Unreadable("holds no table of ids")  # numbers could be chosen to fall on one place of a dictionary
    fields.update(zip(items[::2], items[1::2], strict=True))


def _refuse_unless_own(*name: Any) -> None:
    if name != PYTHON_CLASS:
        raise _refusal(*name)


def _refusal(*name: Any) -> SourceError:
    return SourceError(
        f"index_metadata.pickle would run {'.'.join(map(str, name))}, which Chroma never writes; refused, nothing was "
        "run: find out who wrote the directory before you open it with anything else"
    )
