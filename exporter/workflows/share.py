"""Hand a run on, in one file."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from exporter.errors import OutputError, UsageError
from exporter.records import Notice, no_notice
from exporter.runs import manifest
from exporter.runs.publish import output_error
from exporter.runs.redaction import Redaction
from exporter.scratch import scratch
from exporter.serving.page import script, told_of
from exporter.sharing.archive import pack
from exporter.sharing.page import page
from exporter.sharing.parquet import check_installed
from exporter.workflows.extras import parquet_of
from exporter.workflows.redact import redacted_copy, stored, stored_table, what_leaves
from exporter.workflows.run import open_run

FORMATS = ("html", "zip", "parquet")
_REDACTED = "chroma-projector-redacted-"


def share(
    run: str | Path,
    output: str | Path,
    *,
    map_only: bool = False,
    text: bool = True,
    columns: Sequence[str] | None = None,
    redact: Sequence[str] = (),
    anonymize_ids: bool = False,
    notice: Notice = no_notice,
) -> Path:
    """Write a run into one file, and return its path.

    `.html` opens from disk in a browser, with nothing else; `.zip` holds the run for `tensorboard run.zip`, or to be
    unpacked into a log directory; `.parquet` has the points, for other viewers. `map_only`: a page without the vectors.
    What is not to leave: the chunks' texts (`text` false), all of the collection's own keys but `columns`, the columns
    to `redact`, the true ids. `notice` is told what the file will hold, then its size. A file that is there is
    replaced, once the new one is whole.

    Raises UsageError for another kind of file or an unknown column, OutputError when the folder is no run, is not
    whole, or the file can't be written.
    """
    output = Path(output)
    kind = output.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"{output} is no file to share: end its name in .{', .'.join(FORMATS)}")
    if map_only and kind != "html":
        raise UsageError("--map-only is for a page: end the name in .html")
    if kind == "parquet":
        check_installed()
    kept = None if columns is None else tuple(columns)
    redaction = Redaction(text=not text, ids=anonymize_ids, columns=kept, cells=tuple(redact))
    found = open_run(run)
    if output.resolve().is_relative_to(found.path.resolve()):
        raise UsageError(f"{output} lies in the run, where it would be a fault: write it elsewhere")
    _check_place(output)
    with ExitStack() as stack:
        stack.enter_context(manifest.understood(found.path))
        if redaction:
            folder = stack.enter_context(scratch(Path(tempfile.gettempdir()), _REDACTED))
            folder.chmod(0o700)  # where temporary files are, others may look
            found = redacted_copy(found, redaction, folder)
        replaced = " (in place of the one that is there)" if output.exists() else ""
        leaves = what_leaves(found.facts, stored_table(found), vectors=not map_only)
        notice(f"{output}{replaced} will hold {leaves}")
        with _whole_or_absent(output) as file:
            if kind == "zip":
                pack(found.path, found.facts, file)
            elif kind == "parquet":
                file.write(parquet_of(*stored(found)))
            else:
                box = told_of(found.path)
                file.writelines(page(found.path, found.facts, box, script().decode(), map_only=map_only))
    notice(f"{output}: {found.facts['points']:,} points, {output.stat().st_size / 1e6:,.1f} MB")
    return output


def _check_place(output: Path) -> None:
    """Before anything is said or made. Raises OutputError."""
    if output.is_dir():
        raise OutputError(f"{output} is a folder: name a file")
    if not output.parent.is_dir():
        raise OutputError(f"{output} can't be written: there is no folder {output.parent}")


@contextmanager
def _whole_or_absent(output: Path) -> Iterator[IO[bytes]]:
    """A file to write; what was there stays until it is whole. Raises OutputError."""
    draft = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    try:
        try:
            with draft.open("wb") as file:
                yield file
            draft.replace(output)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(output, error, "write it elsewhere") from error
