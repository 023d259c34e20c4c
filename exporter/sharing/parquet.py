"""points.parquet: a run's rows for other viewers and for data frames, with the coordinates of its map."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from exporter.errors import UsageError
from exporter.records import Float32, Floats
from exporter.runs.metadata import LINES, MISSING_NUMBER, MISSING_TEXT, Table, is_number_to_the_page
from exporter.runs.verify import MADE_FOR_PARQUET

POINTS = "points.parquet"
_WHOLE_NUMBERS = ("rank", "app_rank", "times_retrieved")
_NUMBERS = ("distance", "closeness")
_FLAGS = ("contains_answer", "is_question")


def check_installed() -> None:
    """Raises UsageError where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise UsageError("points.parquet needs pyarrow: pip install 'chroma-projector[parquet]'")


def points_table(table: Table, vectors: Float32, places: Floats | None, flat: Floats | None) -> bytes:
    """The file: every column of metadata.tsv with its type, nothing where a cell says that there is none.

    `vectors` (m, d) becomes `vector`, a list of d float32; `places` (m, 3) on the map `x`, `y`, `z`; `flat` (m, 2) on
    the flat map `flat_x`, `flat_y`; these are left out where there is no map.
    """
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, Any] = {}
    for name, cells in zip(table.names, table.columns, strict=True):
        if name != LINES:
            columns[name] = _column(name, cells)
    taken = columns.keys() & set(MADE_FOR_PARQUET)
    for name in taken:  # the collection's own key of that name
        columns[f"meta_{name}"] = columns.pop(name)
    for names, numbers in ((("x", "y", "z"), places), (("flat_x", "flat_y"), flat)):
        if numbers is not None:
            columns |= {name: pyarrow.array(numbers[:, axis].astype(np.float64)) for axis, name in enumerate(names)}
    values = pyarrow.array(np.ascontiguousarray(vectors, np.float32).ravel())
    columns["vector"] = pyarrow.FixedSizeListArray.from_arrays(values, vectors.shape[1])
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file, compression="zstd")
    return file.getvalue()


def _column(name: str, cells: Sequence[str]) -> Any:
    import pyarrow

    if name in _FLAGS:
        return pyarrow.array([cell == "true" for cell in cells])
    if name in _WHOLE_NUMBERS:
        return pyarrow.array([int(cell) for cell in cells], pyarrow.int64())
    if name in _NUMBERS:
        return pyarrow.array([float(cell) for cell in cells], pyarrow.float64())
    if all(is_number_to_the_page(cell) for cell in cells):
        return _numbers(name, cells)
    return pyarrow.array([_text(cell) for cell in cells], pyarrow.string())


def _numbers(name: str, cells: Sequence[str]) -> Any:
    """Pages are never below 0, so -1 is none; of the collection's own numbers nobody knows."""
    import pyarrow

    known = [None if name == "page" and cell == MISSING_NUMBER else cell for cell in cells]
    try:
        return pyarrow.array([None if cell is None else int(cell) for cell in known], pyarrow.int64())
    except (ValueError, OverflowError, pyarrow.ArrowInvalid):
        return pyarrow.array([None if cell is None else float(cell) for cell in known], pyarrow.float64())


def _text(cell: str) -> str | None:
    """As it was before the page's parser had to be kept from taking it for a number."""
    if cell == MISSING_TEXT:
        return None
    return cell[1:] if cell.startswith("'") and is_number_to_the_page(cell[1:]) else cell
