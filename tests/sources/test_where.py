import shutil
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.errors import QueryError
from exporter.sources.patterns import Pattern
from exporter.sources.where import parse
from tests.sources.conftest import read, rows

METADATAS = [
    {"n": 1, "s": "a", "b": True},
    {"n": 1.5, "s": "A", "b": False},
    {"n": 2, "s": "ä", "l": [1, 2, 3]},
    {"n": 2.0, "s": "1", "l": [1.0, 2.5]},
    {"n": -3, "s": "", "l": ["a", "b"]},
    {"n": 2**53 + 1, "l": [True]},
    {"n": -0.5, "s": "a%_b"},
    {"n": "1", "b": 1},
    {"n": True, "b": "true"},
    None,
    {"x y": 1, "n": 1e300},
    {"odd.key": 2},
]
TEXTS = ["plain text", "Plain", "100% of a_b", "a\\b", "", None, "naïve ☃", "line\nbreak", "break\n", "aXb", "ab", "42"]
NUMBERS = [1, 1.5, 2, 2.0, 2.5, -0.5, 0, -3, 2**53 + 1, 2**53, 1e300, -1e300, 0.999]
OTHERS = ["a", "A", "ä", "", "1", "a%_b", True, False]

FILTERS = [
    *[({"n": value}, None) for value in [*NUMBERS, *OTHERS]],
    *[({"n": {operator: value}}, None) for operator in ("$eq", "$ne") for value in [*NUMBERS, *OTHERS]],
    *[({"n": {operator: value}}, None) for operator in ("$gt", "$gte", "$lt", "$lte") for value in NUMBERS],
    *[({key: {operator: value}}, None) for key in ("s", "b") for operator in ("$eq", "$ne") for value in OTHERS],
    *[
        ({key: {operator: values}}, None)
        for key in ("n", "s", "b", "none")
        for operator in ("$in", "$nin")
        for values in ([1, 2], [1.5], [1.5, 2.0], ["a"], ["a", "1"], [True], [False, True], [0.5])
    ],
    *[
        ({key: {operator: value}}, None)
        for key in ("l", "n")
        for operator in ("$contains", "$not_contains")
        for value in (1, 1.0, 2.5, "a", True, False)
    ],
    *[
        (None, {operator: text})
        for operator in ("$contains", "$not_contains")
        for text in ("plain", "Plain", "%", "_", "a_b", "\\", "☃", "ï", "e", "line\nb", "' OR 1")
    ],
    *[
        (None, {operator: pattern})
        for operator in ("$regex", "$not_regex")
        for pattern in (
            "^p",
            "(?i)^p",
            "a.b",
            "e.b",
            "(?s)e.b",
            "(?m)^break",
            r"\d+",
            "[äï]",
            "a|b",
            r"\bt",
            "x{2}",
            r"\w\s",
            "[[:alpha:]]",
            "break$",
            r"(?m)break$",
            r"break\z",
            r"^\w+$",
            r"\bnaï",
            "(?i)NAÏVE",
            r"\p{Han}|\pS",
            "(?-u:x)",
            "^$",
            "x*",
            "[a-z&&[^a]]x",
            "^(a|aa)+$",
        )
    ],
    ({"$and": [{"n": {"$gte": 1}}, {"s": "a"}]}, None),
    ({"$or": [{"n": 1}, {"s": "ä"}, {"b": {"$ne": True}}]}, None),
    ({"$and": [{"$or": [{"n": 1}, {"n": 2}]}, {"$or": [{"b": True}, {"l": {"$contains": 2}}]}]}, None),
    (None, {"$and": [{"$contains": "a"}, {"$not_contains": "b"}]}),
    (None, {"$or": [{"$contains": "Plain"}, {"$regex": "^a"}]}),
    (None, {"$and": [{"$regex": "a"}, {"$not_regex": "^a"}]}),
    (None, {"$or": [{"$not_regex": "[a-z]"}, {"$and": [{"$regex": "b$"}, {"$contains": "a"}]}]}),
    ({"n": {"$gt": 1}}, {"$regex": "a"}),
    ({"n": {"$ne": 1}}, {"$not_regex": "a"}),
    ({"n": 77}, {"$regex": "a"}),
    ({"n": {"$gt": 0}}, {"$contains": "a"}),
    ({"#document": {"$contains": "plain"}}, None),
    ({"#document": {"$not_contains": "plain"}}, None),
    ({"#document": {"$contains": ""}}, None),
    ({"chroma:document": "ab"}, None),
    ({"odd.key": 2}, None),
    ({"x y": 1}, None),
    ({"": 1}, None),
]

REFUSED = [
    ({}, None),
    ([], None),
    ({"n": 1, "s": "a"}, None),
    ({"n": None}, None),
    ({"n": [1]}, None),
    ({"n": {}}, None),
    ({"n": {"$gt": 1, "$lt": 2}}, None),
    ({"n": {"$gt": "a"}}, None),
    ({"n": {"$lte": True}}, None),
    ({"n": {"$eq": [1]}}, None),
    ({"n": {"$eq": None}}, None),
    ({"n": {"$in": []}}, None),
    ({"n": {"$in": "a"}}, None),
    ({"n": {"$in": [1, 2.5]}}, None),
    ({"n": {"$in": [1, True]}}, None),
    ({"n": {"$in": [None]}}, None),
    ({"n": {"$contains": [1]}}, None),
    ({"n": {"$contains": None}}, None),
    ({"n": {"$regex": "a"}}, None),
    ({"n": {"$near": 1}}, None),
    ({"n": {"m": 1}}, None),
    ({"n": 2**63}, None),
    ({"n": float("inf")}, None),
    ({"n": float("nan")}, None),
    ({"$and": [{"n": 1}]}, None),
    ({"$or": {"n": 1}}, None),
    ({"$not": {"n": 1}}, None),
    ({"$in": [1]}, None),
    ({"$contains": "a"}, None),
    ({"#document": "ab"}, None),
    ({"#document": {"$eq": "ab"}}, None),
    ({"#document": {"$contains": 1}}, None),
    (None, {}),
    (None, "a"),
    (None, {"$contains": ""}),
    (None, {"$contains": 1}),
    (None, {"$regex": ""}),
    (None, {"$regex": "("}),
    (None, {"$regex": "(?=a)b"}),
    (None, {"$not_regex": r"(a)\1"}),
    (None, {"$regex": r"\Z"}),
    (None, {"$regex": r"(?-u:\xff)"}),
    (None, {"$eq": "a"}),
    (None, {"$and": [{"$contains": "a"}]}),
    (None, {"$contains": "a", "$regex": "b"}),
]


@pytest.fixture(scope="module")
def directory(worker, tmp_path_factory):
    path = tmp_path_factory.mktemp("where") / "db"
    for i, (metadata, text) in enumerate(zip(METADATAS, TEXTS, strict=True)):
        given = {"metadatas": None if metadata is None else [metadata], "documents": None if text is None else [text]}
        worker("write", path=path, collection="chunks", steps=[["add", rows(1, i, **given)]])
    worker("write", path=path, collection="others", steps=[["add", rows(9, metadatas=[{"n": 1, "s": "a"}] * 9)]])
    worker("close", path=path)
    return path


@pytest.fixture(scope="module")
def answers(worker, directory):
    """What Chroma answers to each filter: the ids it leaves, None where it refuses it."""
    return worker("filtered", path=directory, collection="chunks", filters=[*FILTERS, *REFUSED])


def ids(found):
    return [name for batch in found.batches() for name in batch.ids]


def test_every_filter_leaves_the_rows_that_chroma_leaves(directory, answers):
    """Each operator, on each kind of value and operand, gives the same ids in the same order."""
    for (where, where_document), expected in zip(FILTERS, answers, strict=False):
        assert expected is not None, (where, where_document)
        assert read(directory, use=ids, where=where, where_document=where_document) == expected, (where, where_document)


def test_a_filter_on_records_that_are_in_the_queue_only_is_the_same(directory, answers, tmp_path):
    """Records that the tables do not have yet are filtered as those that they have."""
    with sqlite3.connect(directory / "chroma.sqlite3") as source, sqlite3.connect(tmp_path / "chroma.sqlite3") as copy:
        source.backup(copy)
        copy.execute("DELETE FROM embedding_metadata")
        copy.execute("DELETE FROM embedding_metadata_array")
        copy.execute("DELETE FROM embeddings")
        copy.execute("DELETE FROM max_seq_id")
    for (where, where_document), expected in zip(FILTERS, answers, strict=False):
        assert read(tmp_path, use=ids, where=where, where_document=where_document) == expected, (where, where_document)


def test_what_chroma_refuses_is_refused_in_one_line(answers):
    """Each filter that Chroma refuses is a `QueryError` that shows what is wrong."""
    for (where, where_document), expected in zip(REFUSED, answers[len(FILTERS) :], strict=True):
        assert expected is None, (where, where_document)
        with pytest.raises(QueryError) as caught:
            parse(where, where_document)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(("where", "where_document"))


def test_a_filter_that_sqlite_cannot_take_is_refused():
    """A filter with too many values, or too many members, is an error of the filter, not of the directory."""
    with pytest.raises(QueryError, match="too big for SQLite"):
        parse({"n": {"$in": list(range(300_000))}}, None)
    with pytest.raises(QueryError, match="too big for SQLite"):
        parse({"$or": [{"n": value} for value in range(2000)]}, None)


def test_a_refusal_helps():
    """The message names the key, the value seen and what would do."""
    with pytest.raises(QueryError, match=r'where: \$gt of page takes a number, not "seven"; only \$eq'):
        parse({"page": {"$gt": "seven"}}, None)
    with pytest.raises(QueryError, match=r"where_document: the pattern '\(' can't be read \(unclosed group\)"):
        parse(None, {"$regex": "("})
    with pytest.raises(QueryError, match=r"where: \$near of page is no operator; there are \$eq, \$ne"):
        parse({"page": {"$near": 1}}, None)


def test_a_pattern_that_takes_long_elsewhere_takes_no_time(worker, tmp_path):
    """Matching takes time in proportion to the text, whatever the pattern; others back off and take years for these."""
    stored = rows(2, documents=["a" * 20_000 + "b", "a" * 30_000])
    worker("write", path=tmp_path / "db", collection="chunks", steps=[["add", stored]])
    worker("close", path=tmp_path / "db")
    start = time.monotonic()
    for pattern in ("^(a|aa)+$", "^(a+)+$", "^(.*a){12}$"):
        assert read(tmp_path / "db", use=ids, where_document={"$regex": pattern}) == ["id1"]
    assert time.monotonic() - start < 30


def test_a_writer_goes_on_while_patterns_are_matched(directory, tmp_path, monkeypatch):
    """No statement is open while texts are matched, those that a filter has narrowed down or not."""
    copy = shutil.copytree(directory, tmp_path / "copy")
    real, seen = Pattern.found_in, []

    def found_in(self, texts):
        with closing(sqlite3.connect(copy / "chroma.sqlite3", timeout=0, isolation_level=None)) as writer:
            writer.execute("INSERT INTO acquire_write (lock_status) VALUES (1)")
        seen.append(len(texts))
        return real(self, texts)

    monkeypatch.setattr(Pattern, "found_in", found_in)
    assert read(copy, use=ids, where_document={"$regex": "^P"}) == ["id1"]
    assert read(copy, use=ids, where={"n": {"$gte": 2}}, where_document={"$not_regex": "a"}) == ["id5"]
    assert seen[0] > seen[1] > 0


def test_a_text_that_changes_while_it_is_matched_is_read_again(directory, worker, tmp_path, monkeypatch):
    """What was matched before a write is not given out after it."""
    copy = shutil.copytree(directory, tmp_path / "copy")
    real, calls = Pattern.found_in, []

    def found_in(self, texts):
        if not calls:
            worker("write", path=copy, collection="chunks", steps=[["update", {**rows(1), "documents": ["Poetry"]}]])
        calls.append(1)
        return real(self, texts)

    monkeypatch.setattr(Pattern, "found_in", found_in)
    assert read(copy, use=ids, where_document={"$regex": "^P"}) == ["id0", "id1"]
    worker("close", path=copy)
    assert len(calls) > 1


def test_no_pattern_warns(recwarn):
    """What other languages read otherwise is no matter: nothing is printed beside the answer."""
    for pattern in ("[[:alpha:]]", "[a--b]", "[a||b]", "[a&&b]", "a(?i)b"):
        parse(None, {"$regex": pattern})
    assert not recwarn.list


values = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(OTHERS))
leaves = st.one_of(
    st.builds(lambda key, value: {key: value}, st.sampled_from(["n", "s", "b"]), values),
    st.builds(
        lambda key, operator, value: {key: {operator: value}},
        st.sampled_from(["n", "s", "b", "l"]),
        st.sampled_from(["$eq", "$ne", "$gt", "$lte", "$contains", "$not_contains"]),
        values,
    ),
)
trees = st.recursive(
    leaves,
    lambda parts: st.builds(
        lambda operator, members: {operator: members},
        st.sampled_from(["$and", "$or"]),
        st.lists(parts, min_size=2, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(where=trees)
def test_any_tree_of_filters_agrees_with_chroma(worker, directory, where):
    """Whatever is nested, Chroma and the reader leave the same rows, or both refuse."""
    (expected,) = worker("filtered", path=directory, collection="chunks", filters=[[where, None]])
    try:
        found = read(directory, use=ids, where=where)
    except QueryError:
        found = None
    assert found == expected


def test_rows_of_a_filter_are_taken_by_their_own_positions(directory):
    """Positions count what the filter leaves."""

    def use(found):
        return found.count, ids(found), [name for batch in found.take(np.array([1])) for name in batch.ids]

    count, everything, taken = read(directory, use=use, where={"n": {"$gte": 2}})
    assert count == len(everything)
    assert taken == everything[1:2]


def test_a_filter_that_leaves_nothing_is_no_error(directory):
    """No row is an answer, too: there are no batches then."""
    assert read(directory, use=lambda found: (found.count, list(found.batches())), where={"n": 77}) == (0, [])
