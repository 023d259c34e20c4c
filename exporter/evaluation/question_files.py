"""What files of questions look like: text in, entries out, each with where it stands. All mistakes are gathered.

| a file | holds |
|---|---|
| `.jsonl` | an object a line |
| `.csv`, `.tsv` | a header and a row a question; a cell of several answers or ids is a JSON list |
| `.tsv` without a header | `id question` (MS MARCO, TREC) |
| `.json` | SQuAD's, or a list of objects |
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from exporter.errors import QueryError

NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "question": ("question", "query", "text", "user_input"),
        "id": ("id", "_id", "qid", "query_id", "question_id"),
        "answers": ("answers", "answer"),
        "relevant": ("relevant", "relevant_ids", "relevant_id"),
        "source": ("source",),
        "page": ("page",),
    }
)
"""What a set calls its columns; the first that is there counts."""

TOLD = 5
"""Mistakes that an error tells; the rest are counted."""

Entry = tuple[str, Any]
"""Where it stands (`line 3`), and what stands there."""


@dataclass
class Mistakes:
    """Everything wrong with a file, gathered."""

    file: str
    told: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        """One more: where it is, and what."""
        self.told.append(f"{where}: {what}")

    def refuse(self) -> None:
        """Raise QueryError if there are any; it tells the first."""
        if self.told:
            rest = len(self.told) - TOLD
            more = f"; and {rest:,} more" if rest > 0 else ""
            raise QueryError(f"{self.file}: {'; '.join(self.told[:TOLD])}{more}")


def decoded(file: str, content: bytes) -> str:
    """UTF-8, with or without a byte order mark."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise QueryError(f"{file}: line 1: this is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise QueryError(
            f"{file}: line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def _jsonl(mistakes: Mistakes, text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                mistakes.add(f"line {number}", f"not JSON ({error})")


def _json(mistakes: Mistakes, text: str) -> Iterator[Entry]:
    file = mistakes.file
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise QueryError(f"{file}: line {line}: not JSON ({error}); objects line by line are a .jsonl") from None
    if isinstance(found, list):
        return ((f"entry {number}", record) for number, record in enumerate(found, start=1))
    if isinstance(found, dict) and isinstance(found.get("data"), list):
        return _squad(file, found["data"])
    raise QueryError(f"{file}: line 1: neither SQuAD's `data` nor a list of questions")


def _squad(file: str, data: Sequence[Any]) -> Iterator[Entry]:
    for number, article in enumerate(data):
        where = f"data[{number}]"
        try:
            for place, paragraph in enumerate(article["paragraphs"]):
                where = f"data[{number}].paragraphs[{place}]"
                for asked in paragraph["qas"]:
                    texts = None if asked.get("is_impossible") else [one["text"] for one in asked["answers"]]
                    yield where, {"id": asked.get("id"), "question": asked["question"], "answers": texts}
        except (KeyError, TypeError, AttributeError) as error:
            raise QueryError(f"{file}: {where} is not as SQuAD has it ({type(error).__name__}: {error})") from None


def _tsv(mistakes: Mistakes, text: str) -> Iterator[Entry]:
    """Cells may be quoted; where that can't be read, as of a question that begins with a quote, no quote is one."""
    first = text.split("\n", 1)[0].strip("\r").split("\t")
    if len(first) == 2 and any(sign.isdecimal() for sign in first[0]) and not _has_question(first):
        return _headless(mistakes, text)
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True):
            pass
    except csv.Error:
        return _csv(mistakes, text, "\t", csv.QUOTE_NONE)
    return _csv(mistakes, text, "\t")


def _headless(mistakes: Mistakes, text: str) -> Iterator[Entry]:
    """`id question` a line, as MS MARCO and TREC have it."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            id, _, question = line.strip("\r").partition("\t")
            yield f"line {number}", {"id": id, "question": question}


def _has_question(header: Sequence[str]) -> bool:
    return any(name.strip().lower() in NAMES["question"] for name in header)


def _csv(
    mistakes: Mistakes, text: str, delimiter: str = ",", quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
) -> Iterator[Entry]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    start = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        if not _has_question(header):
            named = short(", ".join(header)) or "none"
            other = next((one for one in ";\t|" if len(header) == 1 and _has_question(named.split(one))), None)
            why = "the first line names the columns"
            if other is not None:
                why = "its cells are parted by " + (
                    "tabs: call it .tsv" if other == "\t" else f"'{other}': save it with commas"
                )
            raise QueryError(f"{mistakes.file}: line 1: no column named question among {named}; {why}")
        start = reader.line_num + 1
        for row in reader:
            where, start = f"line {start}", reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if len(row) > len(header):
                mistakes.add(
                    where, f"{len(row)} cells under {len(header)} names (quote a cell with '{delimiter}' in it)"
                )
                continue
            cells = dict(zip(header, row, strict=False))
            yield where, {name: _cell(cell) for name, cell in cells.items() if cell.strip()}
    except csv.Error as error:
        mistakes.add(f"line {start}", f"{error} (a quote in this row is not closed, or not doubled)")


def _cell(cell: str) -> Any:
    """A JSON list where it is one, else the text."""
    stripped = cell.strip()
    if stripped.startswith("[") and stripped.endswith("]"):
        try:
            return json.loads(stripped)
        except (ValueError, RecursionError):
            return stripped
    return stripped


READERS: Mapping[str, Callable[[Mistakes, str], Iterator[Entry]]] = MappingProxyType(
    {"jsonl": _jsonl, "csv": _csv, "tsv": _tsv, "json": _json}
)
"""By the ending of a file's name: its text to entries."""


def short(text: str) -> str:
    """At most 200 characters."""
    return text if len(text) <= 200 else text[:199] + "…"
