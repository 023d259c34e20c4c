"""Files and folders: HTML, Markdown, text, PDF by page, CSV and JSONL by row."""

from __future__ import annotations

import codecs
import csv
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

from exporter.bounded import read_bounded
from exporter.errors import first_line
from exporter.ingestion import Failed, LeftOut, Outcome, Text, Unreadable, is_excluded
from exporter.ingestion.text import decode, read_page

if TYPE_CHECKING:
    from langchain_core.documents import Document

_BLOCK = 2**20
_MARKS = (",", ";", "\t")
_LONGEST_CELL = 2**27
"""Characters in one cell of a CSV: Python's own limit, 131,072, is less than a long article."""


def walk(roots: Sequence[Path], exclude: Sequence[str] = ()) -> Iterator[Path | Failed]:
    """The files of these roots, folders with all below them, in order; hidden ones and links to folders are not read.

    A folder that can't be opened is a failure. A file that is itself a root is there whatever its name. Raises
    Unreadable for a root that does not exist.
    """
    for root in roots:
        if root.is_file():
            yield root
            continue
        if not root.is_dir():
            raise Unreadable(f"{root} does not exist")
        shut: list[OSError] = []
        for folder, folders, names in os.walk(root, onerror=shut.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder) / name
                if not name.startswith(".") and not is_excluded(str(path), exclude):
                    yield path
        for error in shut:
            where = Path(str(error.filename or root))
            yield Failed(source_of(where), f"the folder can't be read: {error.strerror or error}", path=where)


def identity_of(path: Path, base: Path) -> str:
    """One name for a file, whatever way its path is written and wherever it is seen from: its place, as it is written
    from `base`. What is no text in it is escaped.
    """
    real = path.parent.resolve() / path.name
    with suppress(ValueError):  # on another drive
        real = Path(os.path.relpath(real, base.resolve()))
    return real.as_posix().encode("utf-8", "backslashreplace").decode()


def is_gone(identity: str, base: Path, roots: Sequence[Path]) -> bool:
    """Whether a file belongs to one of the roots and is not there any more; one that can't be looked at may be."""
    path = Path(os.path.normpath(base.resolve() / identity))
    if not any(root.resolve() in (path, *path.parents) for root in roots) or "\\udc" in identity:
        return False
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def source_of(path: Path) -> str:
    """A path as it is shown: short when it lies below the working directory, else as it was given; with `/`, and a
    question mark for what is no text.
    """
    with suppress(ValueError):
        path = Path(os.path.normpath(path.absolute())).relative_to(Path.cwd())
    return path.as_posix().encode("utf-8", "replace").decode()


def read_files(roots: Sequence[Path], *, exclude: Sequence[str] = (), text_column: str = "text") -> Iterator[Outcome]:
    """What each file holds, in order; its source is as `source_of` names it."""
    given = {root for root in roots if root.is_file()}
    for path in walk(roots, exclude):
        if isinstance(path, Failed):
            yield path
            continue
        if path.exists() and not path.is_file():  # a pipe would be waited for
            yield LeftOut(source_of(path), "no regular files")
            continue
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            why = f"files {path.suffix or 'without a suffix'} are not read"
            yield Failed(source_of(path), why, path=path) if path in given else LeftOut(source_of(path), why)
            continue
        yield Text(source_of(path), _documents(reader, path, text_column), path)


def _documents(reader: Reader, path: Path, column: str) -> Iterator[Document]:
    try:
        for document in reader(path, column):
            document.metadata["source"] = source_of(path)
            yield document
    except Unreadable:  # which says more than a kind of error does
        raise
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    except Exception as error:  # of whatever kind: one odd file is not to end an ingest
        raise Unreadable(f"it can't be read ({type(error).__name__}: {first_line(error)})") from error


def read_pdf(data: Path | bytes, source: str) -> Iterator[Document]:
    """By LangChain's parser, one document a page: `page` from 0, `page_label` as it is printed."""
    from langchain_core.documents.base import Blob

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-community says on import that it will not be developed further
        from langchain_community.document_loaders.parsers.pdf import PyPDFParser
    import logging

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    blob = Blob.from_path(data) if isinstance(data, Path) else Blob.from_data(data, path=source)
    try:
        for page in PyPDFParser().lazy_parse(blob):
            kept = {key: page.metadata[key] for key in ("title", "page", "page_label") if key in page.metadata}
            page.metadata = {**kept, "source": source}
            yield page
    except OSError:  # no fault of the PDF's
        raise
    except ImportError as error:
        raise Unreadable(f"PDF needs pypdf: pip install 'chroma-projector[ingest]' ({error})") from error
    except Exception as error:  # pypdf's errors, and those of a damaged file in its depths
        raise Unreadable(f"the PDF can't be read: {first_line(error)}") from error


def _pdf(path: Path, column: str) -> Iterator[Document]:
    return read_pdf(path, source_of(path))


def _html(path: Path, column: str) -> Iterator[Document]:
    page = read_page(decode(read_bounded(path)), path.absolute().as_uri())
    yield _document(page.text, title=page.title, language=page.language)


def _plain(path: Path, column: str) -> Iterator[Document]:
    yield _document(decode(read_bounded(path)))


def _markdown(path: Path, column: str) -> Iterator[Document]:
    text = decode(read_bounded(path))
    heading = re.search(r"^#\s+(.+?)\s*#*\s*$", text, re.MULTILINE)
    yield _document(text, title=heading[1] if heading else None)


def _csv(path: Path, column: str) -> Iterator[Document]:
    csv.field_size_limit(_LONGEST_CELL)
    with _opened(path) as stream:
        mark = "\t" if path.suffix.lower() == ".tsv" else _mark(stream.readline(_BLOCK), column)
        stream.seek(0)
        rows = csv.DictReader(stream, delimiter=mark)
        try:
            for number, row in enumerate(rows):
                yield _row({name: cell for name, cell in row.items() if isinstance(name, str)}, column, number)
        except csv.Error as error:
            raise Unreadable(f"line {rows.line_num}: {error}") from error


def _mark(header: str, column: str) -> str:
    """What stands between the cells: what makes the column one of them, else what is there most often."""
    for mark in _MARKS:
        if column in next(csv.reader([header], delimiter=mark), []):
            return mark
    return max(_MARKS, key=header.count)


def _jsonl(path: Path, column: str) -> Iterator[Document]:
    """The rows that can be read; then, if there are others, Unreadable with their number and the first one's fault."""
    bad = 0
    first = ""
    with _opened(path) as stream:
        for number, line in enumerate(line for line in stream if line.strip()):
            try:
                document = _row(_object(line, number), column, number)
            except Unreadable as error:
                bad, first = bad + 1, first or str(error)
                continue
            yield document
    if bad:
        raise Unreadable(first if bad == 1 else f"{first} (and {bad - 1:,} more rows that can't be read)")


def _object(line: str, number: int) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except RecursionError as error:
        raise Unreadable(f"row {number} is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"row {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise Unreadable(f"row {number} is no JSON object")
    return row


def _row(row: Mapping[str, Any], column: str, number: int) -> Document:
    """The text of its column; all other cells that hold a text, a number or a truth value are kept beside it."""
    if column not in row:
        named = ", ".join(sorted(row)[:10])
        raise Unreadable(f"row {number} has no column {column!r} (it has {named}): name it by --text-column")
    kept = {
        name: cell
        for name, cell in row.items()
        if name != column and isinstance(cell, (str, int, float, bool)) and cell != ""
    }
    return _document(str(row[column] or ""), **{**kept, "row": number})


def _document(text: str, **metadata: Any) -> Document:
    from langchain_core.documents import Document

    return Document(text, metadata={name: value for name, value in metadata.items() if value is not None})


def _opened(path: Path) -> TextIO:
    """A table may be longer than memory, so its encoding is found without keeping it."""
    with path.open("rb") as stream:
        start = stream.read(2)
    name = "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    reader = codecs.getincrementaldecoder(name)()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                reader.decode(block)
            reader.decode(b"", final=True)
    except UnicodeDecodeError:
        name = "windows-1252"
    return path.open(encoding=name, errors="replace", newline="")


Reader = Callable[[Path, str], "Iterator[Document]"]
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        ".html": _html,
        ".htm": _html,
        ".xhtml": _html,
        ".md": _markdown,
        ".markdown": _markdown,
        ".txt": _plain,
        ".text": _plain,
        ".rst": _plain,
        ".pdf": _pdf,
        ".csv": _csv,
        ".tsv": _csv,
        ".jsonl": _jsonl,
    }
)
"""Which kinds of file are read, by suffix."""
