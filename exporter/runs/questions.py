"""questions.tsv: a line a question of a set, with its verdict and figures, for a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.runs.metadata import MISSING_NUMBER, Table, number_cell, text_cell

_LONGEST = 10_000  # characters of a cell
_TEXTS = {"id": "id", "text": "text", "verdict": "kind", "evidence": "evidence", "repair": "repair"}
"""The headings of texts, and what a manifest calls them."""


def _inert(cell: str) -> str:
    """What a spreadsheet would take for a formula begins with an apostrophe, which it does not show."""
    return f"'{cell}" if len(cell) > 1 and cell[0] in "=+-@" else cell


def questions_table(questions: Sequence[Mapping[str, Any]]) -> Table:
    """From what a manifest says of the questions. `question` is the name in metadata.tsv; -1 stands for no number."""
    columns: dict[str, list[str]] = {"question": [f"q{number}" for number in range(1, len(questions) + 1)]}
    for heading, key in _TEXTS.items():
        columns[heading] = [_inert(text_cell(one[key], _LONGEST)) for one in questions]
    ranks = [one["first_rank"] for one in questions]
    columns["first_rank"] = [MISSING_NUMBER if rank is None else str(rank) for rank in ranks]
    columns["right_chunks"] = [str(one["right_chunks"]) for one in questions]
    measures = next((list(one["metrics"]) for one in questions if one["metrics"]), [])
    for name in measures:
        columns[name] = [number_cell(one["metrics"][name]) if one["metrics"] else MISSING_NUMBER for one in questions]
    return Table(list(columns), list(columns.values()), {})
