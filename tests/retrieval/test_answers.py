"""What counts as holding the answer."""

import sys

import pytest

from exporter.errors import QueryError, UsageError
from exporter.retrieval.answers import holding, match_any


@pytest.mark.parametrize(
    ("how", "answer", "text", "found"),
    [
        ("normalized", "Œuf  DUR", "un\nœuf dur", True),
        ("normalized", "ﬁnal", "the FINAL word", True),
        ("normalized", "répartition", "repartition", False),
        ("literal", "Final", "the final word", False),
        ("literal", "final word", "the final word", True),
        ("regex", r"rank \d+$", "it has rank 46", True),
        ("regex", r"(?i)RANK", "it has rank 46", True),
        ("regex", r"^46", "it has rank 46", False),
    ],
)
def test_matching(how, answer, text, found):
    """Case, width and white space don't count by default; accents do; literal and regex are what they say."""
    assert match_any([answer], how)(text) is found


def test_any_of_several():
    """Several answers: any of them; none: never."""
    assert match_any(["no", "yes"])("oh yes")
    assert not match_any([])("anything")


@pytest.mark.parametrize(("answer", "how"), [("(", "regex"), ("  ", "normalized")])
def test_bad_answers(answer, how):
    """A pattern that is none, and a blank answer, are refused in one line."""
    with pytest.raises(QueryError, match="answer"):
        match_any([answer], how)


@pytest.mark.parametrize("how", ["normalized", "literal", "regex", "fuzzy"])
def test_all_of_several(how):
    """An answer of several parts: all of them, in any order; beside another: either."""
    both = match_any([("yield", "from")], how)
    assert both("from here we yield")
    assert not both("only a generator that can yield")
    assert match_any([("yield", "from"), "delegation"], how)("delegation")


@pytest.mark.parametrize("how", ["normalized", "literal", "regex", "fuzzy"])
def test_accents(how):
    """Accents count unless they are asked not to, however they are written."""
    answer, text = "répartition", "la repartition"
    assert not match_any([answer], how, threshold=99)(text)
    assert match_any([answer], how, accents=False, threshold=99)(text)
    assert match_any(["repartition"], how, accents=False, threshold=99)("la re\u0301partition")


@pytest.mark.parametrize(
    ("answer", "text", "threshold", "found"),
    [
        ("the quick brown fox", "and then THE  QUICK brown foxes ran", 90, True),
        ("the quick brown fox", "and then the quikc brwon fox ran", 80, True),
        ("the quick brown fox", "and then the quikc brwon fox ran", 100, False),
        ("the quick brown fox", "a slow green turtle sat in the sun", 60, False),
        ("a long answer that no chunk of three words can hold", "can hold", 90, False),
    ],
)
def test_fuzzy(answer, text, threshold, found):
    """Nearly the words are enough, as nearly as asked; a chunk shorter than the answer does not hold it."""
    assert match_any([answer], "fuzzy", threshold=threshold)(text) is found


def test_fuzzy_without_its_library(monkeypatch):
    """Without rapidfuzz the error says what to install."""
    monkeypatch.setitem(sys.modules, "rapidfuzz.fuzz", None)
    with pytest.raises(UsageError, match="pip install"):
        match_any(["x"], "fuzzy")


def test_many_texts_and_questions():
    """Every text is looked at for every question, each by its own matcher; none for a text or a matcher is no."""
    texts = ["One", None, "two", "one two"]
    matchers = [match_any(["ONE"]), None, match_any(["TWO"], "literal"), match_any([("one", "two")])]
    assert holding(texts, matchers).tolist() == [
        [True, False, False, True],
        [False] * 4,
        [False] * 4,
        [False, False, False, True],
    ]
