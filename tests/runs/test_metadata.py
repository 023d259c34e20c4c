"""metadata.tsv survives the Projector's parser, whatever is in a collection."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.runs.metadata import (
    GROUPS,
    LINES,
    is_number_to_the_page,
    own_column,
    page_column,
    read_as_the_page_does,
    table,
    text_cell,
)
from tests.runs.conftest import make_points


def as_the_page_reads(written):
    """The header and the lines of a table, after a file's universal newlines."""
    names, lines = read_as_the_page_does(io.StringIO(b"".join(written.to_tsv()).decode(), newline=None))
    return names, list(lines)


TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(
    [
        "",
        " ",
        "\t",
        "\r\n",
        "\ufeff",
        "007",
        "1e3",
        "0x1F",
        "Infinity",
        "-Infinity",
        " 12 ",
        ".5",
        "nan",
        "\u2028",
        "\ud800",
        "<script>alert(1)</script>",
        "\u202eabc",
        "__proto__",
        "constructor",
    ]
)
SCALARS = TEXTS | st.integers() | st.floats() | st.booleans()
METADATAS = st.none() | st.dictionaries(
    TEXTS | st.sampled_from(["source", "page", "label", "text", "__proto__", "__next__", "__seq_next__", "id"]),
    SCALARS | st.lists(SCALARS, max_size=3),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(METADATAS, st.none() | TEXTS, TEXTS), min_size=2, max_size=8), st.integers(1, 2))
def test_any_metadata_reads_back(rows, questions):
    """The page's parser gives back the same names and cells: none empty, one line a row, no name twice or forbidden."""
    metadatas, texts, ids = (list(column) for column in zip(*rows, strict=True))
    points = make_points(
        rows=len(rows),
        questions=questions,
        metadatas=metadatas,
        texts=texts,
        ids=[f"{i}{id}" for i, id in enumerate(ids)],
    )
    written = table(points)
    names, cells = as_the_page_reads(written)
    assert names == list(written.names)
    assert [list(row) for row in zip(*written.columns, strict=True)] == cells
    assert len(cells) == len(points)
    assert all(cell for row in cells for cell in row[:-1])
    assert names[-1] == LINES
    cells = [row[:-1] for row in cells]
    names = names[:-1]
    assert len(set(names)) == len(names)
    assert not {"__proto__", "__next__", "__seq_next__"} & set(names)
    for name, column in zip(names, zip(*cells, strict=True), strict=True):
        numeric = [is_number_to_the_page(cell) for cell in column]
        assert all(numeric) or not any(numeric), f"{name} is half numbers"
    text = cells[0][names.index("label")]
    assert not is_number_to_the_page(text)


@pytest.mark.parametrize(
    "cell",
    ["7", "007", "0x1F", "0b11", "0o17", "1e3", ".5", "5.", "+1", "-1", "Infinity", "-Infinity", " 12 ", "", " "],
)
def test_numbers_of_javascript(cell):
    """What isNaN takes for a number is known, and a text of that kind gets a mark in front."""
    assert is_number_to_the_page(cell)
    assert not is_number_to_the_page(text_cell(cell, 100))


@pytest.mark.parametrize("cell", ["", "nan", "None", "1_000", "1,5", "0x", "١٢", "-0x1F", "1e", "infinity", "e5"])
def test_not_numbers_of_javascript(cell):
    """What isNaN takes for text stays as it is."""
    assert cell == "" or (not is_number_to_the_page(cell) and text_cell(cell, 100) == cell)


def test_columns_keep_their_kind():
    """Numbers stay numbers with -1 where there is none; booleans, lists and mixtures become text."""
    assert own_column([1, None, 2.5, float("nan")], 100) == ["1", "-1", "2.5", "-1"]
    assert own_column([True, None, False], 100) == ["true", "-", "false"]
    assert own_column([["a", 1], None, []], 100) == ["a, 1", "-", "-"]
    assert own_column([1, "x", "2"], 100) == ["'1", "x", "'2"]


def test_pages():
    """Pages are shown as stored; whole numbers written as text are numbers; no page is -1."""
    assert page_column([3, None, 0]) == ["3", "-1", "0"]
    assert page_column(["3", None, "12"]) == ["3", "-1", "12"]
    assert page_column(["iv", None, "12"]) == ["iv", "-", "'12"]
    assert page_column([None, None]) == ["-1", "-1"]


def test_labels():
    """A label says what a row is and where it comes from, in 40 characters."""
    metadatas = [{"source": "https://x.example/docs/guide.html/", "page": i, "page_label": "iv"} for i in range(12)]
    points = make_points(metadatas=metadatas)
    labels = table(points).columns[0]
    assert labels[-1] == "★ question"
    assert labels[-2].startswith("#1 ")
    assert labels[-2].endswith("guide.html p. iv")
    answer = labels[int(np.flatnonzero(points.contains_answer)[0])]
    assert answer.startswith("✓ rank ") or " ✓ " in answer
    assert all(len(label) <= 40 for label in labels)


def test_names_that_break_the_page():
    """A key that would hide one of our columns, or break the page, is renamed, and said so."""
    points = make_points(metadatas=[{"rank": 1, "__proto__": "x", "a\tb": 2, "a b": 3}] * 12)
    written = table(points)
    assert written.renamed == {"rank": "meta_rank", "__proto__": "meta___proto__", "a b": "meta_a b", "a\tb": "a b"}
    assert set(written.names) >= {"meta_rank", "meta___proto__", "a b", "meta_a b"}


def test_source_groups():
    """The biggest sources keep their names, so that with `other` and `question` they fit the page's ten colours."""
    points = make_points(rows=60, metadatas=[{"source": f"s{min(i, 20)}"} for i in range(60)])
    written = table(points)
    groups = set(written.columns[list(written.names).index("source_group")])
    assert {"s20", "other", "question"} <= groups
    assert len(groups) == GROUPS + 2


def test_chosen_columns(points):
    """Only the collection's own keys that were asked for are shown, and none when none were."""
    points = make_points(metadatas=[{"a": 1, "b": 2}] * 12)
    assert list(table(points, columns=("b", "nothing")).names)[-2:] == ["b", LINES]
    assert "a" not in table(points, columns=()).names


def test_lines():
    """The last column joins each of the first 20 hits with its question's row, and is empty for all others."""
    points = make_points(rows=60, questions=2, top_k=30)
    _, cells = as_the_page_reads(table(points))
    joined = [row[-1] for row in cells]
    assert set(joined) == {"", "60", "61"}
    assert joined.count("61") == 20
    assert joined[-2:] == ["", ""]
    assert LINES not in table(points, lines=False).names


def test_long_texts_are_cut():
    """Texts are one line of at most the asked length; length 0 shows none."""
    assert text_cell("a " * 500, 10) == "a a a a a…"
    assert text_cell("text", 0) == "-"
