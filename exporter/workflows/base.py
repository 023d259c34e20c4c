"""The run on whose map a question is placed: what its files say of the collection, where that can't be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from exporter.embedding.check import ModelCheck
from exporter.errors import OutputError, UsageError
from exporter.records import Batch, Collection, Float32, Float64, MetadataValue
from exporter.runs import folder, manifest
from exporter.runs.metadata import (
    FIXED_COLUMNS,
    LINES,
    MISSING_NUMBER,
    MISSING_TEXT,
    read_as_the_page_does,
    text_cell,
)
from exporter.runs.verify import read_shown, read_tensor
from exporter.workflows.pictures import MAP
from exporter.workflows.run import Run, open_run

TEXT_LENGTH = 300


@dataclass(frozen=True)
class Base:
    """A run and its n chunks, without its questions.

    `cells` are their ids as metadata.tsv shows them; `vectors` (n, d); `places` (n, 3) and `flat` (n, 2) on the map,
    None where the run has none.
    """

    run: Run
    cells: Sequence[str]
    vectors: Float32
    places: Float64 | None
    flat: Float64 | None

    @property
    def text_length(self) -> int:
        """At how many characters its cells were cut."""
        return int(self.run.facts.get("asked_with", {}).get("text_length", TEXT_LENGTH))

    @cached_property
    def _rows(self) -> Mapping[str, int]:
        return {cell: row for row, cell in enumerate(self.cells)}

    def row_of(self, chunk: str) -> int:
        """Where a chunk is among its own; -1 when it is not. A cell seldom differs from the id that it shows."""
        row = self._rows.get(chunk)
        return self._rows.get(text_cell(chunk, self.text_length), -1) if row is None else row

    def source_beside(self) -> Path | None:
        """The directory beside the log directory from which the run was made, where it still is."""
        way = self.run.facts["source"].get("from_logdir")
        place = None if way is None else self.run.path.parent / way
        if place is None:
            return None
        project = self.run.path.parent.absolute().parent.resolve()
        return place if place.exists() and place.resolve().is_relative_to(project) else None

    def collection(self) -> Collection:
        """The collection as the run knows it; its rows are those of the run."""
        facts = self.run.facts["source"]
        return Collection(
            name=facts["collection"],
            rows=len(self.cells),
            dimension=self.vectors.shape[1],
            space=facts["space"],
            space_from=facts["space_from"],
            database=facts["database"],
        )

    def chunks(self) -> Batch:
        """The run's own chunks, as far as metadata.tsv tells of them: texts as they were cut. Raises OutputError."""
        names, rows = _table(self.run)
        kept = [row for row in rows if row[names.index("is_question")] != "true"]
        original = {column: key for key, column in self.run.facts["renamed"].items()}
        own = [name for name in names if name not in FIXED_COLUMNS and name != LINES]
        columns = {name: _values([row[names.index(name)] for row in kept]) for name in ("source", "page", "text", *own)}
        metadatas = [
            {
                original.get(name, name): value
                for name in ("source", "page", *own)
                if (value := columns[name][row]) is not None
            }
            for row in range(len(kept))
        ]
        texts = [None if text is None else str(text) for text in columns["text"]]
        return Batch(list(self.cells), self.vectors, texts, metadatas)

    def check(self) -> ModelCheck | None:
        """What comparing the model with the collection said when the run was exported."""
        facts = self.run.facts["model"]
        if facts["median_cosine"] is None:
            return None
        return ModelCheck(facts["chunks_checked"], facts["median_cosine"], facts["chunks_fell_out"])


def read_base(path: Path) -> Base:
    """Read a run as a base. Raises OutputError when it is none of ours, or its files are not all there, UsageError for
    two runs on one map.
    """
    run = open_run(path)
    if "comparison" in run.facts:
        raise UsageError(f"{run.name} shows two runs on one map: ask in one of them")
    names, rows = _table(run)
    chunk = np.array([row[names.index("is_question")] != "true" for row in rows])
    column = names.index("id")
    cells = [row[column] for row, is_chunk in zip(rows, chunk, strict=True) if is_chunk]
    entries = {entry["kind"]: entry for entry in run.facts["tensors"]}
    flat_file, places, flat = run.facts.get("flat_map"), None, None
    try:
        if MAP in entries and flat_file:
            places = read_tensor(run.path, entries[MAP]["file"], tuple(entries[MAP]["shape"]))[chunk].astype(np.float64)
            flat = read_tensor(run.path, flat_file, (len(chunk), 2))[chunk].astype(np.float64)
        vectors = read_shown(run.path, entries["vectors"])[chunk]
        vectors = vectors[:, : run.facts["source"]["dimension"]]  # without the zeros that the Projector wants
        return Base(run, cells, vectors, places, flat)
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"the files of {path} can't be read ({error}): export the run again") from error


def _values(cells: Sequence[str]) -> list[MetadataValue | None]:
    """Numbers where all cells are numbers, as the page takes them; None for what was missing."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return [None if cell == MISSING_TEXT else cell for cell in cells]
    return [
        None if cell == MISSING_NUMBER else int(number) if number.is_integer() else number
        for cell, number in zip(cells, numbers, strict=True)
    ]


def _table(run: Run) -> tuple[list[str], list[list[str]]]:
    try:
        with manifest.located(run.path, run.facts, folder.METADATA).open(encoding="utf-8") as file:
            names, rows = read_as_the_page_does(file)
            return names, list(rows)
    except (OSError, ValueError) as error:
        raise OutputError(f"{run.path / folder.METADATA} can't be read ({error}): export the run again") from error
