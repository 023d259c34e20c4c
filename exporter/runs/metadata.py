"""metadata.tsv: the columns that the Projector shows, safe for its parser, which knows no quoting.

What its parser does, read in tensorboard/plugins/projector/vz_projector/data-provider.ts (commit 70b76c9): lines at
LF, cells at tab; a first line with a tab is a header; a line of white space only is skipped; an empty cell is null; a
column is numeric when JavaScript's isNaN takes none of its cells for text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice

import numpy as np

from exporter.records import MetadataValue
from exporter.runs.points import QUESTION, Points

MISSING_TEXT = "-"
MISSING_NUMBER = "-1"
LABEL_LENGTH = 40
GROUPS = 8
"""With `other` and `question` as many as the Projector has colours."""

FIXED_COLUMNS = (
    "label", "source", "page", "distance", "contains_answer", "is_question", "role", "rank", "app_rank", "closeness",
    "question", "times_retrieved", "source_group", "id", "text",
)  # fmt: skip
LINES = "__seq_next__"
"""The row that a row is joined to by a line (vz_projector/data.ts:106 and 166-209 at 70b76c9). The only column with
empty cells: any filler would make a line of its own for each row, a hundred times slower."""
_BREAKS_THE_PAGE = frozenset({"__proto__", "__next__", LINES})

_NUMBER_IN_JAVASCRIPT = re.compile(
    r"[+-]?(Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+"
)
JAVASCRIPT_SPACE = "".join(map(chr, (*range(9, 14), 0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029))) + (
    "\u202f\u205f\u3000\ufeff"
)
"""What its trim() takes away."""
_BEGINS_A_NUMBER = frozenset("+-.I0123456789" + JAVASCRIPT_SPACE)
_LINES_AT_ONCE = 10_000
_REMEMBERED = 4096
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0xFEFF], " ")


@dataclass(frozen=True)
class Table:
    """What metadata.tsv holds: one cell a row and column, and the keys that had to be renamed (key -> column).

    `not_shown`: keys of the collection that no column is of.
    """

    names: Sequence[str]
    columns: Sequence[Sequence[str]]
    renamed: Mapping[str, str]
    not_shown: Sequence[str] = ()

    def to_tsv(self) -> Iterator[bytes]:
        """UTF-8, a header, LF at each line's end; some lines at a time."""
        lines = map("\t".join, chain([self.names], zip(*self.columns, strict=True)))
        while block := list(islice(lines, _LINES_AT_ONCE)):
            yield ("\n".join(block) + "\n").encode()


def table(
    points: Points,
    *,
    columns: Sequence[str] | None = None,
    text_length: int = 300,
    lines: bool = True,
    counted: Sequence[int] = (),
) -> Table:
    """All columns of a run; `columns` are the collection's own keys to show (None: all, by name).

    With `lines` a last column joins each question with its hits. `counted`: up to which rank those of each question
    were counted, where others are estimates, which a label says by a `~`.
    """
    printed = columns is None or "page_label" in columns
    fixed: dict[str, Sequence[str]] = {
        "label": [text_cell(label, LABEL_LENGTH) for label in _labels(points, printed, counted)],
        "source": _text_cells(points.sources, text_length),
        "page": page_column([points.page(row) for row in range(len(points))]),
        "distance": [number_cell(value) for value in points.distance.tolist()],
        "contains_answer": np.where(points.contains_answer, "true", "false").tolist(),
        "is_question": np.where(points.is_question, "true", "false").tolist(),
        "role": points.roles,
        "rank": [str(value) for value in points.rank.tolist()],
    }
    if points.app_rank.max() > 0:
        fixed["app_rank"] = [str(value) for value in points.app_rank.tolist()]
    fixed["closeness"] = [number_cell(value) for value in points.closeness.tolist()]
    if points.questions > 1:
        fixed["question"] = [f"q{value + 1}" for value in points.question.tolist()]
        fixed["times_retrieved"] = [str(value) for value in points.times_retrieved.tolist()]
    fixed["source_group"] = _groups(points.roles, points.sources)
    fixed["id"] = [text_cell(value, text_length) for value in points.ids]
    fixed["text"] = [text_cell(value, text_length) for value in points.texts]
    own = sorted({key for metadata in points.metadatas for key in metadata or ()} - {"source", "page"})
    not_shown = [] if columns is None else sorted(set(own) - set(columns))
    own = own if columns is None else [key for key in dict.fromkeys(columns) if key in own]
    names = _names(own)
    cells = [own_column([(metadata or {}).get(key) for metadata in points.metadatas], text_length) for key in own]
    renamed = {key: name for key, name in zip(own, names, strict=True) if key != name}
    if lines:
        names.append(LINES)
        cells.append([str(row) if row >= 0 else "" for row in points.fan.tolist()])
    return Table([*fixed, *names], [*fixed.values(), *cells], renamed, not_shown)


def text_cell(text: str | None, length: int) -> str:
    """One line of at most `length` characters that no reader takes for a number; `-` for nothing."""
    one_line = text or ""
    if not one_line.isprintable() or "  " in one_line or one_line != one_line.strip():  # most texts need no more
        one_line = " ".join(one_line.translate(_CONTROLS).split()).encode("utf-8", "replace").decode()
    if not one_line or length < 1:
        return MISSING_TEXT
    if len(one_line) > length:
        one_line = one_line[: length - 1].rstrip() + "…"
    return f"'{one_line}" if is_number_to_the_page(one_line) else one_line


def number_cell(value: float) -> str:
    """Nine digits, which is what float32 holds; -1 for NaN and infinity."""
    return format(value, ".9g") if math.isfinite(value) else MISSING_NUMBER


def own_column(values: Sequence[MetadataValue | None], length: int) -> list[str]:
    """Numbers where all values are numbers, else text; lists joined by commas, booleans true or false."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return [_number(value) for value in values]
    return _text_cells([_text(value) for value in values], length)


def _text_cells(texts: Iterable[str | None], length: int) -> list[str]:
    """A cell a row; where few texts are many rows', each is looked at once."""
    cell = lru_cache(maxsize=_REMEMBERED)(text_cell)
    return [cell(text, length) for text in texts]


def page_column(values: Sequence[MetadataValue | None]) -> list[str]:
    """As stored; numbers too where all pages are whole numbers written as text."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, str) and re.fullmatch("-?[0-9]{1,9}", value) for value in present):
        return [MISSING_NUMBER if value is None else str(int(str(value))) for value in values]
    return own_column(values, LABEL_LENGTH) if present else [MISSING_NUMBER] * len(values)


def _number(value: MetadataValue | None) -> str:
    if isinstance(value, float):
        return number_cell(value)
    return MISSING_NUMBER if value is None else str(value)


def _text(value: MetadataValue | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return ", ".join(_text(item) or "" for item in value)


def _names(keys: Iterable[str]) -> list[str]:
    """Names of columns for the collection's own keys, each once: `meta_` in front of what would hide or break one."""
    names: list[str] = []
    for key in keys:
        name = " ".join(key.translate(_CONTROLS).split()).encode("utf-8", "replace").decode()
        if not name or name in FIXED_COLUMNS or name in _BREAKS_THE_PAGE or name in names:
            name = f"meta_{name}"
        base, again = name, 2
        while name in names:
            name, again = f"{base}_{again}", again + 1
        names.append(name)
    return names


def read_as_the_page_does(text: Iterable[str]) -> tuple[list[str], Iterator[list[str]]]:
    """The header and the lines of cells that the Projector makes of a metadata.tsv: its parser, said again.

    (data-provider.ts:330-377 at 70b76c9.) `text` is the open file; the server opens it with universal newlines, so a CR
    is a line end.
    """
    lines = (line.rstrip("\n") for line in text if line.strip(JAVASCRIPT_SPACE))
    first = next(lines, None)
    if first is None:
        return [], iter(())
    rows = lines if "\t" in first else chain([first], lines)
    return first.split("\t") if "\t" in first else ["label"], (row.split("\t") for row in rows)


def is_number_to_the_page(cell: str) -> bool:
    """Does JavaScript's isNaN take the cell for a number? White space alone is 0 to it."""
    if cell and cell[0] not in _BEGINS_A_NUMBER:  # as most do
        return False
    stripped = cell.strip(JAVASCRIPT_SPACE)
    return not stripped or _NUMBER_IN_JAVASCRIPT.fullmatch(stripped) is not None


def _labels(points: Points, printed: bool, counted: Sequence[int]) -> Iterator[str]:
    """`printed`: with the page as it is printed, where the loader kept that."""
    several = points.questions > 1
    place_of = lru_cache(maxsize=_REMEMBERED)(place_label)
    which = points.question.tolist()
    found = zip(points.roles, points.retrieved_by.tolist(), points.retrieved_rank.tolist(), strict=True)
    answers = zip(points.contains_answer.tolist(), points.answer_to.tolist(), points.answer_rank.tolist(), strict=True)
    for row, ((role, by, rank), (holds, answer_to, answer_rank)) in enumerate(zip(found, answers, strict=True)):
        if role == QUESTION:
            yield f"★ q{which[row] + 1} {points.texts[row]}" if several else "★ question"
            continue
        page = (points.metadatas[row] or {}).get("page_label", points.page(row)) if printed else points.page(row)
        place = place_of(points.sources[row] or points.ids[row], "" if page is None else f" p. {page}")
        tick = "✓ " if holds else ""
        if by >= 0:
            yield f"{f'q{by + 1} ' if several else ''}#{rank} {tick}{place}"
        else:
            about = "~" if counted and answer_rank > counted[answer_to] else ""
            yield f"{f'q{answer_to + 1} ' if several else ''}✓ rank {about}{answer_rank} · {place}" if tick else place


def place_label(whole: str, page: str) -> str:
    """The end of the source's path or address, and the page, as printed where the loader kept that."""
    name = whole.rstrip("/\\")
    name = re.split(r"[/\\]", name)[-1] or name
    return text_cell(name, max(LABEL_LENGTH - 12 - len(page), 8)) + page


def _groups(roles: Sequence[str], sources: Sequence[str | None]) -> list[str]:
    counts = Counter(source for source in sources if source is not None)
    biggest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:GROUPS]
    names = {source: _short_end(source) for source, _ in biggest}
    return [
        QUESTION if role == QUESTION else names.get(source or "", "other")
        for role, source in zip(roles, sources, strict=True)
    ]


def _short_end(source: str) -> str:
    """Sources share their beginnings, so a long one keeps its end."""
    whole = text_cell(source, 10_000)
    return whole if len(whole) <= LABEL_LENGTH else "…" + whole[1 - LABEL_LENGTH :]
