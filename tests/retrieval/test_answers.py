"""What counts as holding the answer."""

import pytest

from exporter.errors import QueryError
from exporter.retrieval.answers import match_any


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
