"""Take out of a run what must not leave: before it is written, or of one that is on disk."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import OutputError
from exporter.runs import folder, manifest
from exporter.runs.metadata import Table, read_as_the_page_does, text_cell
from exporter.runs.projector import read_config
from exporter.runs.readme import README
from exporter.runs.redaction import GONE, Redaction, dropped, own_columns, redact_table
from exporter.runs.verify import read_shown, read_tensor, structural_faults
from exporter.sharing.archive import plain_name
from exporter.sharing.parquet import POINTS
from exporter.sharing.picture import stored_panels
from exporter.workflows.boards import stored_boards
from exporter.workflows.extras import extras_of, parquet_of
from exporter.workflows.facts import lost_hits
from exporter.workflows.run import Run, open_run

_ENDS_IN_NAMES = re.compile(
    r"(are left out|are not among the chunks read|of no chunk|not over its source|what it loses is not known|"
    r"could not search for the answer|has a key [^:]*)[: ].*",
    re.DOTALL,
)
"""What warnings say after these words are ids, sources, keys and places."""
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
    joint = "comparison" in facts
    left = [
        replace(tensor, table=None if tensor.table is None else redact_table(tensor.table, redaction, joint=joint))
        for tensor in tensors
    ]
    away = dropped(table, redaction, joint=joint)
    return redact_table(table, redaction, joint=joint), left, _redact_facts(facts, redaction, away)


def what_leaves(facts: Mapping[str, Any], table: Table, *, vectors: bool = True) -> str:
    """In one line, what somebody who gets such a run can read."""
    gone = facts.get("redacted", {})
    hidden = set(gone.get("columns", ()))
    hidden |= {table.renamed[key] for key in hidden if key in table.renamed}
    length = facts.get("asked_with", {}).get("text_length")
    asked = table.columns[table.names.index("is_question")].count("true")
    answered = any(question["answers"] for question in facts["questions"]) and not gone.get("text")
    of_each = [
        "" if gone.get("text") else "texts" + (f" (the first {length:,} characters of each)" if length else ""),
        "" if gone.get("ids") else "ids",
        *(f"{name}s" for name in ("source", "page") if name not in hidden),
        *(name for name in own_columns(table.names, joint="comparison" in facts) if name not in hidden),
        "vectors (from which much of a text can be guessed)" if vectors else "",
        "ranks, distances and places on the map",
    ]
    questions = f"{asked:,} question{'' if asked == 1 else 's'}{' with the answers given' if answered else ''}"
    return f"{questions}; of {facts['points'] - asked:,} chunks: {', '.join(filter(None, of_each))}"


def redacted_copy(run: Run, redaction: Redaction, into: Path) -> Run:
    """Write the run again, without what is to go, into a new folder of its name in `into`.

    Raises UsageError for a column that is not there, OutputError when the run is not whole.
    """
    facts = run.facts
    table, tensors, flat = stored(run)
    table, tensors, left = redact(table, tensors, facts, redaction)
    for key in _WRITTEN_AGAIN:
        left.pop(key, None)
    copy = into / plain_name(run.path.resolve().name)
    copy.mkdir()
    away = _private_settings(facts)
    if "comparison" in facts:
        with _whole(run):
            lines = (run.path / README).read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not any(line.startswith(f"{name:>14}  A ") for name in away)]
        extras = {README: "".join(kept).encode("utf-8", "replace")}
    else:
        asked_with = facts.get("asked_with", {})
        glyphs = {"sprites": asked_with.get("sprites", True), "lines": asked_with.get("lines", True)}
        halves = None if flat is None else stored_panels(run.path, facts)
        extras = extras_of(left, halves, **glyphs)
    if POINTS in facts["files"]:
        extras[POINTS] = parquet_of(table, tensors, flat)
    contents = folder.Contents(tensors, table, left, flat, extras, stored_boards(run.path, left, away))
    folder.fill(
        copy, contents, now=time.time(), vectors_tsv=manifest.located(run.path, facts, folder.VECTORS).is_file()
    )
    if faults := structural_faults(copy):
        raise OutputError(f"{run.path} can't be shared: {'; '.join(faults)}")
    return open_run(copy)


def stored(run: Run) -> tuple[Table, list[folder.Tensor], Any]:
    """The metadata, the tensors and the (m, 2) flat map of a run on disk, its glyphs and bookmarks as files.

    Raises OutputError when it is not whole, or its vectors are in a checkpoint that can't be read here.
    """
    with _whole(run):
        return _read(run)


def stored_table(run: Run) -> Table:
    """The metadata of a run on disk. Raises OutputError when it is not there."""
    with _whole(run):
        return _read_table(manifest.located(run.path, run.facts, folder.METADATA), run.facts["renamed"])


@contextmanager
def _whole(run: Run) -> Iterator[None]:
    """Raises OutputError for what reading a run's files raises."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(
            f"{run.path} is not whole ({error}): chroma-projector verify names what is missing"
        ) from error


def _read(run: Run) -> tuple[Table, list[folder.Tensor], Any]:
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
                read_shown(path, told),
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
    left["redacted"] = redaction.record(away, facts.get("redacted", {}))
    if "comparison" in facts:  # it has names, questions, figures and settings only
        away_too = _private_settings(facts)
        settings = {
            name: both for name, both in facts["comparison"].get("settings", {}).items() if name not in away_too
        }
        left["comparison"] = {**facts["comparison"], "settings": settings}
        return left
    asked_with = dict(facts.get("asked_with", {}))
    length = asked_with.get("text_length", _TEXT_LENGTH)
    left["source"] = {**facts["source"], "where": None, "where_document": None, "from_logdir": None}
    left["model"] = {**facts["model"], "name": _last_part(facts["model"]["name"])}
    asked_with["model"] = _last_part(asked_with.get("model"))
    left["asked_with"] = asked_with
    left["questions"] = [_redact_question(question, redaction, length) for question in facts["questions"]]
    left["warnings"] = [_ENDS_IN_NAMES.sub(r"\1", warning) for warning in facts["warnings"]]
    if "estimates" in facts:
        left["estimates"] = [_ENDS_IN_NAMES.sub(r"\1", estimate) for estimate in facts["estimates"]]
    if "asked" in facts:
        left["asked"] = {key: value for key, value in facts["asked"].items() if key != "why"}
    if "evaluation" in facts:
        evaluation = dict(facts["evaluation"])
        evaluation["warnings"] = [_ENDS_IN_NAMES.sub(r"\1", warning) for warning in evaluation.get("warnings", [])]
        evaluation["findings"] = [
            {**finding, "examples": []} for finding in evaluation["findings"] if finding["kind"] != "one_source"
        ]
        left["evaluation"] = evaluation
    return left


def _private_settings(facts: Mapping[str, Any]) -> list[str]:
    """In what two runs differ, and nobody else may know: a filter has words of the texts, a model's folder a way."""
    settings = facts.get("comparison", {}).get("settings", {})
    return [
        name
        for name, both in settings.items()
        if name == "filter" or (name == "model" and any(_last_part(one) != one for one in both.values()))
    ]


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
