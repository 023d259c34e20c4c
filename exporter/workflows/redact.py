"""Take out of a run what must not leave: before it is written, or of one that is on disk."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import OutputError
from exporter.runs import folder, manifest
from exporter.runs.metadata import Table, read_as_the_page_does, text_cell
from exporter.runs.projector import read_config
from exporter.runs.redaction import GONE, Redaction, dropped, redact_table
from exporter.runs.verify import read_tensor, structural_faults
from exporter.sharing.parquet import POINTS
from exporter.sharing.picture import stored_panels
from exporter.workflows.facts import lost_hits
from exporter.workflows.run import Run, open_run

_ENDS_IN_NAMES = re.compile(
    r"(?<=are left out): .*|(?<=are not among the chunks read): .*|(?<=of no chunk) .*|(?<=not over its source): .*",
    re.DOTALL,
)
"""What warnings say after these words are ids, sources and places."""
_WRITTEN_AGAIN = ("format", "files", "tensors", "flat_map", "columns", "renamed")
_TEXT_LENGTH = 300


def redact(
    table: Table, tensors: Sequence[folder.Tensor], facts: Mapping[str, Any], redaction: Redaction
) -> tuple[Table, list[folder.Tensor], dict[str, Any]]:
    """Metadata, tensors and manifest of a run without what is to go; as they are when nothing is.

    Raises UsageError for a column that is not there.
    """
    if not redaction:
        return table, list(tensors), dict(facts)
    left = [
        replace(tensor, table=None if tensor.table is None else redact_table(tensor.table, redaction))
        for tensor in tensors
    ]
    return redact_table(table, redaction), left, _redact_facts(facts, redaction, dropped(table, redaction))


def redacted_copy(run: Run, redaction: Redaction, into: Path) -> Run:
    """Write the run again, without what is to go, into a new folder of its name in `into`.

    Raises UsageError for a column that is not there, OutputError when the run is not whole.
    """
    from exporter.workflows.export import extras_of, points_of

    facts = run.facts
    try:
        table, tensors, flat = stored(run)
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(
            f"{run.path} is not whole ({error}): chroma-projector verify names what is missing"
        ) from error
    table, tensors, left = redact(table, tensors, facts, redaction)
    for key in _WRITTEN_AGAIN:
        left.pop(key, None)
    copy = into / run.path.resolve().name
    copy.mkdir()
    asked_with = facts.get("asked_with", {})
    glyphs = {"sprites": asked_with.get("sprites", True), "lines": asked_with.get("lines", True)}
    halves = None if flat is None else stored_panels(run.path, facts)
    extras = extras_of(left, halves, **glyphs)
    if POINTS in facts["files"]:
        extras[POINTS] = points_of(table, tensors, flat)
    contents = folder.Contents(tensors, table, left, flat, extras)
    folder.fill(
        copy, contents, now=time.time(), vectors_tsv=manifest.located(run.path, facts, folder.VECTORS).is_file()
    )
    if faults := structural_faults(copy):
        raise OutputError(f"{run.path} can't be shared: {'; '.join(faults)}")
    return open_run(copy)


def stored(run: Run) -> tuple[Table, list[folder.Tensor], Any]:
    """The metadata, the tensors and the (m, 2) flat map of a run on disk, its glyphs and bookmarks as files."""
    facts, path = run.facts, run.path
    table = _read_table(manifest.located(path, facts, folder.METADATA), facts["renamed"])
    config = {entry.tensor_name: entry for entry in read_config(path).embeddings}
    tensors = []
    for told in facts["tensors"]:
        entry = config[told["name"]]
        own = entry.metadata_path if "metadata-" + told["kind"] in entry.metadata_path else None
        tensors.append(
            folder.Tensor(
                told["name"].rpartition(" ")[0],
                read_tensor(path, told["file"] or folder.VECTORS, tuple(told["shape"])),
                table=None if own is None else _read_table(path / own, facts["renamed"]),
                atlas=(path / entry.sprite.image_path).read_bytes() if entry.HasField("sprite") else b"",
                bookmarks=(path / entry.bookmarks_path).read_bytes() if entry.bookmarks_path else b"",
            )
        )
    flat_file = facts.get("flat_map")
    flat = None if flat_file is None else read_tensor(path, flat_file, (facts["points"], 2)).astype(np.float32)
    return table, tensors, flat


def _read_table(path: Path, renamed: Mapping[str, str]) -> Table:
    with path.open(encoding="utf-8") as file:
        names, lines = read_as_the_page_does(file)
        columns = [list(column) for column in zip(*lines, strict=True)]
    return Table(names, columns, dict(renamed))


# ---------------------------------------------------------------- the manifest


def _redact_facts(facts: Mapping[str, Any], redaction: Redaction, away: Sequence[str]) -> dict[str, Any]:
    left = dict(facts)
    asked_with = dict(facts.get("asked_with", {}))
    length = asked_with.get("text_length", _TEXT_LENGTH)
    left["source"] = {**facts["source"], "where": None, "where_document": None, "from_logdir": None}
    left["model"] = {**facts["model"], "name": _last_part(facts["model"]["name"])}
    asked_with["model"] = _last_part(asked_with.get("model"))
    left["asked_with"] = asked_with
    left["questions"] = [_redact_question(question, redaction, length) for question in facts["questions"]]
    left["warnings"] = [_ENDS_IN_NAMES.sub("", warning) for warning in facts["warnings"]]
    if "asked" in facts:
        left["asked"] = {key: value for key, value in facts["asked"].items() if key != "why"}
    if "evaluation" in facts:
        evaluation = dict(facts["evaluation"])
        evaluation["warnings"] = [_ENDS_IN_NAMES.sub("", warning) for warning in evaluation.get("warnings", [])]
        evaluation["findings"] = [
            {**finding, "examples": []} for finding in evaluation["findings"] if finding["kind"] != "one_source"
        ]
        left["evaluation"] = evaluation
    left["redacted"] = redaction.record(away)
    return left


def _redact_question(question: Mapping[str, Any], redaction: Redaction, length: int) -> dict[str, Any]:
    left = dict(question)
    for key in ("hits", "returned"):
        if key in left:
            left[key] = [_redact_hit(hit, redaction, length) for hit in left[key]]
    if "lost" in left:
        left["lost"] = lost_hits(left["hits"], left["returned"])
    if redaction.hides_text:
        left["answers"] = [GONE for _ in left["answers"]]  # how many is said, as they are words of the texts
    if left.get("kind") == "cut_in_two":
        left["evidence"] = "begins in one chunk and ends in another"
        left["verdict"] = f"cut in two: {left['evidence']}"
    return left


def _redact_hit(hit: Mapping[str, Any], redaction: Redaction, length: int) -> dict[str, Any]:
    left, hidden = dict(hit), redaction.hidden
    if redaction.hides_ids:
        left["id"] = redaction.anonymous(text_cell(hit["id"], length))
    if redaction.hides_text:
        left["text"] = ""
    if "source" in hidden:
        left["source"] = None
    if "page" in hidden:
        left["page"] = None
    return left


def _last_part(name: str | None) -> str | None:
    """Of a model that is a folder: where it was is nobody's business."""
    return Path(name).name if name and Path(name).is_absolute() else name
