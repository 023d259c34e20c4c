"""What does not leave with a run: texts, columns, ids. Here, of its metadata; the manifest says what was taken out."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from secrets import token_bytes
from types import MappingProxyType
from typing import Any

from exporter.errors import UsageError
from exporter.records import SOURCE_KEYS
from exporter.runs.metadata import FIXED_COLUMNS, LABEL_LENGTH, LINES, MISSING_NUMBER, MISSING_TEXT, Table, place_label
from exporter.runs.points import CHUNK, QUESTION

ANONYMOUS = re.compile(r"id-[0-9a-f]{12}")
GONE = "(removed)"
_BY_SOURCE = (*SOURCE_KEYS, "source_group")
_BY_PAGE = ("page", "page_label")
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_MADE_HERE = frozenset(FIXED_COLUMNS) - {"source", "page", "text", "id"}
JOINT_COLUMNS = ("system", "moved", "verdict")
"""What a run of two others on one map has besides: made by it, so no keys of a collection."""
_BEFORE_THE_PLACE = re.compile(r"(?:q[0-9]+ )?(?:#[0-9]+ (?:✓ )?|✓ rank ~?[0-9]+ · )")
"""What a label begins with, if its row is no plain chunk (`metadata._labels`)."""


@dataclass(frozen=True)
class Redaction:
    """`text`: the chunks' texts go; `ids`: their ids are replaced; `columns`: of the collection's own keys only these
    stay (None: all); `cells`: the cells of these columns go. What says the same goes along: a source with all keys that
    it may come from, a page with its printed label.
    """

    text: bool = False
    ids: bool = False
    columns: tuple[str, ...] | None = None
    cells: tuple[str, ...] = ()
    _secret: bytes = field(default_factory=lambda: token_bytes(32), repr=False, compare=False)
    """Thrown away with this record, so nobody can try ids to see which one it was."""

    def __post_init__(self) -> None:
        if made := sorted(_MADE_HERE & set(self.cells)):
            raise UsageError(
                f"{', '.join(made)} is made by the export: redact what it says, source, page, text or a key of the "
                "collection"
            )

    def __bool__(self) -> bool:
        return self.text or self.ids or bool(self.cells) or self.columns is not None

    @property
    def hides_text(self) -> bool:
        """Texts go."""
        return self.text or "text" in self.cells

    @property
    def hides_ids(self) -> bool:
        """Ids are replaced."""
        return self.ids or "id" in self.cells

    @property
    def hidden(self) -> set[str]:
        """Every column whose cells go."""
        found = set(self.cells) - {"text", "id"}
        for together in (_BY_SOURCE, _BY_PAGE):
            if found & set(together):
                found |= set(together)
        return found

    def anonymous(self, cell: str) -> str:
        """What stands for an id, as metadata.tsv spells it; the same for the same, within this record's life."""
        return f"id-{hmac.new(self._secret, cell.encode('utf-8', 'replace'), sha256).hexdigest()[:12]}"

    def record(self, dropped: Sequence[str] = (), before: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
        """What the manifest says of it, and `verify` checks; with what was taken out `before`."""
        return {
            "text": self.hides_text or bool(before.get("text")),
            "ids": self.hides_ids or bool(before.get("ids")),
            "columns": sorted(self.hidden.union(before.get("columns", ()))),
            "left_out": sorted({*dropped, *before.get("left_out", ())}),
        }


def own_columns(names: Sequence[str], *, joint: bool = False) -> list[str]:
    """The collection's own keys among the columns of a run, or of two that were `joint`."""
    made = {*FIXED_COLUMNS, LINES, *(JOINT_COLUMNS if joint else ())}
    return [name for name in names if name not in made]


def dropped(table: Table, redaction: Redaction, *, joint: bool = False) -> list[str]:
    """The columns that a redaction leaves out. Raises UsageError for one that is not there."""
    own = own_columns(table.names, joint=joint)
    keys = {column: key for key, column in table.renamed.items()}
    known = {name for column in own for name in (column, keys.get(column, column))}
    always = {"source", "page", "text", "id", *_BY_SOURCE, *_BY_PAGE, *table.not_shown}
    if unknown := sorted(set(redaction.cells) - known - always):
        there = ", ".join(["source", "page", "text", "id", *own])
        raise UsageError(f"there is no column {', '.join(unknown)} to redact: the run has {there}")
    if unknown := sorted(set(redaction.columns or ()) - known - set(FIXED_COLUMNS)):
        there = ", ".join(own) or "none"
        raise UsageError(
            f"there is no column {', '.join(unknown)} to keep: of the collection's own the run has {there}"
        )
    if redaction.columns is None:
        return []
    kept = set(redaction.columns)
    return [column for column in own if not kept & {column, keys.get(column, column)}]


def redact_table(table: Table, redaction: Redaction, *, joint: bool = False) -> Table:
    """The rows without what is to go. Labels are made anew where they said it; of two runs that were `joint`, each
    begins with its run's letter.
    """
    cells = dict(zip(table.names, table.columns, strict=True))
    keys = {column: key for key, column in table.renamed.items()}
    gone, roles = redaction.hidden, cells["role"]
    anonymous: Callable[[str], str] = lru_cache(maxsize=None)(redaction.anonymous)
    if redaction.hides_ids:
        ids = zip(roles, cells["id"], strict=True)
        cells["id"] = [cell if role == QUESTION else anonymous(cell) for role, cell in ids]
    for column in list(cells):
        if column in gone or keys.get(column) in gone:
            missing = MISSING_NUMBER if column == "page" else MISSING_TEXT
            cells[column] = _emptied(roles, cells[column], missing)
    if redaction.hides_text:
        cells["text"] = _emptied(roles, cells["text"], MISSING_TEXT)
    away = dropped(table, redaction, joint=joint)
    if redaction.hides_ids or gone & {"source", "page"} or "page_label" in away:
        letters = 2 if joint else 0  # "A " or "B "
        cells["label"] = list(_labels(cells, keep_printed="page_label" not in away, letters=letters))
    for column in away:
        del cells[column]
    renamed = {key: column for key, column in table.renamed.items() if column not in away}
    return Table(list(cells), list(cells.values()), renamed)


def redaction_faults(record: Any, names: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """What a run still tells although its manifest says that it was taken out."""
    if not isinstance(record, Mapping):
        yield "the manifest does not say what was taken out"
        return
    at = {name: place for place, name in enumerate(names)}
    chunks = [line for line in lines if line[at["role"]] != QUESTION]
    if record.get("text") and any(line[at["text"]] != MISSING_TEXT for line in chunks):
        yield "it holds texts, which were taken out"
    if record.get("ids") and not all(ANONYMOUS.fullmatch(line[at["id"]]) for line in chunks):
        yield "it holds ids, which were taken out"
    for column in record.get("columns", ()):
        if column in at and any(line[at[column]] not in (MISSING_TEXT, MISSING_NUMBER) for line in chunks):
            yield f"its column {column} holds what was taken out"
    for column in record.get("left_out", ()):
        if column in at:
            yield f"it has a column {column}, which was left out"


def _emptied(roles: Sequence[str], cells: Sequence[str], missing: str) -> list[str]:
    """A column that says nothing of chunks, and of questions what it said."""
    return [cell if role == QUESTION else missing for role, cell in zip(roles, cells, strict=True)]


def _labels(cells: Mapping[str, Collection[str]], *, keep_printed: bool, letters: int) -> Iterator[str]:
    """As `metadata.table` would have made them of what is left, after the first `letters` of each."""
    pages = cells.get("page_label") if keep_printed else None
    rows = zip(cells["label"], cells["role"], cells["source"], cells["id"], cells["page"], strict=True)
    printed = list(pages) if pages is not None else [MISSING_TEXT] * len(cells["label"])
    for (label, role, source, chunk, page), own_page in zip(rows, printed, strict=True):
        if role == QUESTION:
            yield label
            continue
        begin = None if role == CHUNK else _BEFORE_THE_PLACE.match(label, letters)
        shown = own_page if own_page not in (MISSING_TEXT, MISSING_NUMBER) else page
        ending = "" if shown in (MISSING_TEXT, MISSING_NUMBER) else f" p. {shown.removeprefix(chr(39))}"
        place = place_label(chunk if source == MISSING_TEXT else source.removeprefix("'"), ending)
        yield f"{label[:letters]}{begin[0] if begin else ''}{place}"[:LABEL_LENGTH]
