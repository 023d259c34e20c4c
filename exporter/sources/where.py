"""Chroma's filter language: `where` for metadata and `where_document` for text, as Chroma 1.5.9 answers it.

    where          {key: value} | {key: {operator: operand}} | {"$and" | "$or": [where, where, ...]}
    where_document {operator: text} | {"$and" | "$or": [where_document, where_document, ...]}

A filter becomes one SQL expression, the one that Chroma builds (rust/segment/src/sqlite_metadata.rs:541-893 at tag
1.5.9), asked for some rows at a time so that no lock is held for long. Its quirks are kept, or the rows would differ:

- a negated operator also takes the records that lack the key or the document;
- a number is compared as an integer with stored integers, and its fraction is cut off for that: 1.5 equals a stored 1;
- text, numbers and booleans never equal each other; `$contains` finds 1 in [1, 2], not in [1.0, 2.0].

What is refused is what the Python client and its server refuse (chromadb/api/types.py:1179-1325,
rust/types/src/where_parsing.rs:175-520).

A pattern of `$regex` is no part of the expression, as no lock may last as long as its matching: the rows that the rest
of the filter may leave are found first, then their texts are read and matched with no statement open, and the
expression gets the ids of those that match.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from exporter.errors import QueryError
from exporter.records import Metadata
from exporter.sources import Filter
from exporter.sources.patterns import Pattern

DOCUMENT = "chroma:document"
COMPARISONS = {"$eq": "=", "$ne": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
SETS = ("$in", "$nin")
ARRAYS = ("$contains", "$not_contains")
TEXTS = ("$contains", "$not_contains", "$regex", "$not_regex")
NEGATED = ("$ne", "$nin", "$not_contains", "$not_regex")
COLUMNS = {str: "string_value", int: "int_value", float: "float_value", bool: "bool_value"}
LONGEST_ERROR = 500
SMALLEST, BIGGEST = -(2**63), 2**63 - 1

TEXTS_OF_PAGE = (
    f"SELECT id, string_value FROM embedding_metadata WHERE key = '{DOCUMENT}'"  # noqa: S608
    " AND string_value IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
)


Select = Callable[..., list[Any]]
"""Called as `select(sql, *values)`: the rows of one statement."""


@dataclass(frozen=True)
class Condition:
    """A filter as an SQL expression over `id`, in which `page` stands for the ids that are asked about.

    Of the `values` a `Pattern` stands for the ids whose text it is found in, as a JSON list.
    """

    sql: str
    values: tuple[object, ...]

    def matching(self, ids: Sequence[int], select: Select, *, arrays: bool) -> list[int]:
        """Those of the ids, numbers of Chroma's tables, that match; by a statement or two.

        `arrays` tells whether the database has a table of array values: before Chroma 1.5 there was none.
        """
        none = "" if arrays else ", embedding_metadata_array AS (SELECT * FROM embedding_metadata WHERE 0)"
        sql = f"WITH page(id) AS (SELECT value FROM json_each(?)){none} SELECT id FROM page WHERE {self.sql}"  # noqa: S608
        patterns = [value for value in self.values if isinstance(value, Pattern)]
        # at first each pattern is taken to say what leaves more: with AND, OR and no other NOT that loses no row
        found = self._ids(sql, select, ids, [[] if pattern.negated else ids for pattern in patterns])
        if not patterns or not found:
            return found
        texts = select(TEXTS_OF_PAGE, json.dumps(found))
        return self._ids(sql, select, found, [pattern.found_in(texts) for pattern in patterns])

    def matches(self, records: Sequence[Metadata]) -> list[bool]:
        """Which records match. For those that are not in Chroma's tables yet; the document is a value like others."""
        with closing(sqlite3.connect(":memory:")) as memory:
            for table in ("embedding_metadata", "embedding_metadata_array"):
                memory.execute(f"CREATE TABLE {table} (id, key, {', '.join(COLUMNS.values())})")
            for number, record in enumerate(records):
                for key, value in record.items():
                    _insert(memory, number, key, value)

            def select(sql: str, *values: object) -> list[Any]:
                return memory.execute(sql, values).fetchall()

            found = set(self.matching(range(len(records)), select, arrays=True))
        return [number in found for number in range(len(records))]

    def _ids(self, sql: str, select: Select, ids: Sequence[int], in_text: Sequence[Sequence[int]]) -> list[int]:
        of_pattern = iter(in_text)
        values = [json.dumps(list(next(of_pattern))) if isinstance(one, Pattern) else one for one in self.values]
        return [row[0] for row in select(sql, json.dumps(list(ids)), *values)]


def parse(where: Filter | None, where_document: Filter | None) -> Condition | None:
    """Both filters, joined by AND; None when neither is given. Raises `QueryError` for what Chroma refuses."""
    try:
        parts = [read(part) for read, part in ((_metadata, where), (_text, where_document)) if part is not None]
        if not parts:
            return None
        condition = _joined(" AND ", parts)
        condition.matches([])
    except RecursionError:
        raise QueryError("where: the filter is nested too deeply; split it") from None
    except QueryError as error:
        raise QueryError(str(error)[:LONGEST_ERROR]) from None  # a key may be as long as anything
    except UnicodeEncodeError:
        raise QueryError("where: the filter holds half a surrogate pair, which is no text; write it anew") from None
    except sqlite3.Error as error:  # thousands of values, or a thousand members of one $and
        raise QueryError(f"where: the filter is too big for SQLite ({error}); split it") from error
    return condition


def _metadata(part: object) -> Condition:
    key, value = _only_item("where", part)
    if key in ("$and", "$or"):
        return _logical("where", key, value, _metadata)
    if key.startswith("$"):
        raise QueryError(f'where: {key} stands where a metadata key belongs; write {{"key": {{"{key}": ...}}}}')
    operator, operand = _only_item(f"where: {key}", value) if isinstance(value, Mapping) else ("$eq", value)
    if key == "#document":
        if operator not in ARRAYS or not isinstance(operand, str):
            raise QueryError(f"where: the document can't be compared by {operator}; use where_document for it")
        return _document(operator, operand)
    if operator in COMPARISONS:
        return _comparison(key, operator, operand)
    if operator in SETS:
        return _set(key, operator, operand)
    if operator in ARRAYS:
        return _leaf("embedding_metadata_array", key, operator, f"+{_column(key, operand)} = ?", [operand])
    known = ", ".join((*COMPARISONS, *SETS, *ARRAYS))
    raise QueryError(f"where: {operator} of {key} is no operator; there are {known}")


def _text(part: object) -> Condition:
    operator, operand = _only_item("where_document", part)
    if operator in ("$and", "$or"):
        return _logical("where_document", operator, operand, _text)
    if operator not in TEXTS:
        raise QueryError(f"where_document: {operator} is no operator; there are {', '.join(TEXTS)}, $and, $or")
    if not isinstance(operand, str) or not operand:
        raise QueryError(f"where_document: {operator} takes a text, not {_shown(operand)}")
    return _document(operator, operand)


def _logical(name: str, operator: str, operand: object, parse_one: Callable[[object], Condition]) -> Condition:
    if not isinstance(operand, list) or len(operand) < 2:
        raise QueryError(f"{name}: {operator} takes a list of at least two filters, not {_shown(operand)}")
    return _joined({"$and": " AND ", "$or": " OR "}[operator], [parse_one(part) for part in operand])


def _comparison(key: str, operator: str, operand: object) -> Condition:
    column, sign = _column(key, operand), COMPARISONS[operator]
    if isinstance(operand, (int, float)) and not isinstance(operand, bool):
        # sqlite_metadata.rs:595-656: integers are compared with the integer, the others with the float
        return _value(key, operator, f"(+int_value {sign} ? OR +float_value {sign} ?)", [_cut(operand), float(operand)])
    if sign != "=":
        raise QueryError(
            f"where: {operator} of {key} takes a number, not {_shown(operand)}; only $eq and $in take others"
        )
    return _value(key, operator, f"+{column} = ?", [operand])


def _set(key: str, operator: str, operand: object) -> Condition:
    if not isinstance(operand, list) or not operand or len({type(value) for value in operand}) > 1:
        raise QueryError(f"where: {operator} of {key} takes a list of values of one type, not {_shown(operand)}")
    (column,) = {_column(key, value) for value in operand}
    marks = ", ".join("?" * len(operand))
    if column in ("int_value", "float_value"):
        numbers = [*map(_cut, operand), *map(float, operand)]
        return _value(key, operator, f"(+int_value IN ({marks}) OR +float_value IN ({marks}))", numbers)
    return _value(key, operator, f"+{column} IN ({marks})", operand)


def _document(operator: str, operand: str) -> Condition:
    if operator in ARRAYS:
        # Chroma's LIKE, which it makes case-sensitive, with every special character escaped
        return _value(DOCUMENT, operator, "instr(string_value, ?)", [operand])
    negated = operator in NEGATED
    sql = f"id {'NOT ' * negated}IN (SELECT value FROM json_each(?))"  # noqa: S608
    return Condition(sql, (Pattern(operand, negated),))


def _value(key: str, operator: str, test: str, values: Sequence[object]) -> Condition:
    return _leaf("embedding_metadata", key, operator, test, values)


def _leaf(table: str, key: str, operator: str, test: str, values: Sequence[object]) -> Condition:
    # `+column` keeps SQLite off its indexes by value, with which every page would walk through the whole collection
    negation = "NOT " if operator in NEGATED else ""
    sql = f"id {negation}IN (SELECT id FROM {table} WHERE id IN page AND key = ? AND {test})"  # noqa: S608
    return Condition(sql, (key, *values))


def _joined(operator: str, parts: Sequence[Condition]) -> Condition:
    return Condition(
        "(" + operator.join(part.sql for part in parts) + ")",
        tuple(value for part in parts for value in part.values),
    )


def _only_item(name: str, part: object) -> tuple[str, object]:
    if not isinstance(part, Mapping) or len(part) != 1:
        raise QueryError(f"{name}: expected an object with one key, not {_shown(part)}; join several with $and")
    ((key, value),) = part.items()
    return str(key), value


def _column(key: str, operand: object) -> str:
    """The column that holds values of the operand's type. Raises `QueryError` for what JSON or SQLite can't hold."""
    column = COLUMNS.get(type(operand))
    if column is None:
        raise QueryError(
            f"where: {key} is compared with {_shown(operand)}; compare it with text, a number or a boolean"
        )
    if isinstance(operand, int) and not SMALLEST <= operand <= BIGGEST:
        raise QueryError(f"where: {key} is compared with {operand}, which has more than 64 bits")
    if isinstance(operand, float) and not math.isfinite(operand):
        raise QueryError(f"where: {key} is compared with {operand}; compare it with a finite number")
    return column


def _cut(number: float) -> int:
    return min(max(int(number), SMALLEST), BIGGEST)  # as Rust's `as i64`


def _insert(memory: sqlite3.Connection, number: int, key: str, value: object) -> None:
    table = "embedding_metadata_array" if isinstance(value, list) else "embedding_metadata"
    for element in value if isinstance(value, list) else [value]:
        column = COLUMNS[type(element)]
        memory.execute(f"INSERT INTO {table} (id, key, {column}) VALUES (?, ?, ?)", (number, key, element))  # noqa: S608


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= 60 else text[:57] + "..."
