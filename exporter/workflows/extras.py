"""The files of a run that are not for TensorBoard: for people, and for other viewers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.records import Float32
from exporter.runs import folder
from exporter.runs.metadata import Table
from exporter.runs.questions import questions_table
from exporter.runs.readme import README, readme
from exporter.sharing.parquet import points_table
from exporter.sharing.picture import Panel, draw_run, save


def extras_of(
    facts: Mapping[str, Any], halves: Sequence[Panel] | None, *, sprites: bool, lines: bool
) -> dict[str, bytes]:
    """The files for people, by name, from what the manifest says; without `halves` no picture."""
    extras = {README: readme(facts, sprites=sprites, lines=lines).encode("utf-8", "replace")}
    if halves is not None:
        extras["picture.png"] = save(draw_run(facts, halves), "png")
    if "evaluation" in facts:
        extras["questions.tsv"] = b"".join(questions_table(facts["questions"]).to_tsv())
    return extras


def parquet_of(rows: Table, tensors: Sequence[folder.Tensor], flat: Float32 | None) -> bytes:
    """The content of points.parquet."""
    by_kind = {tensor.name.split()[-1]: tensor.values for tensor in tensors}
    return points_table(rows, by_kind["vectors"], by_kind.get("map"), flat)
