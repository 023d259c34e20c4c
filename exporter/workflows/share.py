"""Hand a run on, in one file."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from exporter.errors import UsageError
from exporter.records import Notice, no_notice
from exporter.runs.publish import output_error
from exporter.serving.page import script, told_of
from exporter.sharing.archive import pack
from exporter.sharing.page import page
from exporter.workflows.run import Run, open_run

FORMATS = ("html", "zip")


def share(run: str | Path, output: str | Path, *, map_only: bool = False, notice: Notice = no_notice) -> Path:
    """Write a run into one file, and return its path.

    `.html` opens from disk in a browser, with nothing else; `.zip` holds the run for `tensorboard run.zip`, or to be
    unpacked into a log directory. `map_only`: a page without the vectors. `notice` is told what the file will hold,
    then its size. Raises UsageError for another kind of file, OutputError when the folder is no run, is not whole, or
    the file can't be written.
    """
    output = Path(output)
    kind = output.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"{output} is no file to share: end its name in .{', .'.join(FORMATS)}")
    found = open_run(run)
    if map_only and kind != "html":
        raise UsageError("--map-only is for a page: end the name in .html")
    notice(f"{output} will hold {what_leaves(found, vectors=not map_only)}")
    with _whole_or_absent(output) as file:
        if kind == "zip":
            pack(found.path, found.facts, file)
        else:
            file.writelines(page(found.path, found.facts, told_of(found.path), script().decode(), map_only=map_only))
    notice(f"{output}: {found.facts['points']:,} points, {output.stat().st_size / 1e6:,.1f} MB")
    return output


def what_leaves(run: Run, *, vectors: bool = True) -> str:
    """In one line, what somebody who gets this run can read."""
    facts = run.facts
    length = facts.get("asked_with", {}).get("text_length")
    own = [name for name in facts["columns"][facts["columns"].index("text") + 1 :] if not name.startswith("__")]
    parts = [
        f"{len(run.questions):,} questions with their answers",
        f"the texts of {facts['points'] - len(run.questions):,} chunks"
        + (f" (first {length} characters)" if length else ""),
        "their ids, sources and pages",
        f"the columns {', '.join(own)}" if own else "",
        "their vectors" if vectors else "",
    ]
    return ", ".join(filter(None, parts))


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
