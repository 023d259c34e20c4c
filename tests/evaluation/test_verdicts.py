"""Verdicts from evidence, and chunks read across their border."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.evaluation.verdicts import Evidence, decide, holds_across, joined

BASE = {"asked": True, "top_k": 5, "rows": 100}


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        ({"asked": False, "first_rank": 1}, "answer_unknown"),
        ({"first_rank": 5}, "found"),
        ({"first_rank": 5, "right": 2, "by_index": 1}, "found"),
        ({"first_rank": 5, "right": 2, "by_index": 0}, "lost_by_index"),
        ({"first_rank": 1, "cosine": 0.1, "alike": False}, "found"),
        ({"first_rank": 6, "first_distance": 1.5, "last_distance": 1.0}, "ranked_too_low"),
        ({"first_rank": 6, "cosine": 0.1, "alike": False}, "model_disagrees"),
        ({"hidden": 1, "halves": ("a", "b")}, "hidden_by_filter"),
        ({"halves": ("a", "b")}, "cut_in_two"),
        ({}, "in_no_chunk"),
    ],
)
def test_which_verdict(evidence, kind):
    """The verdict that names the repair which would help."""
    verdict = decide(Evidence(**{**BASE, **evidence}))
    assert verdict.kind == kind
    assert verdict.evidence
    assert verdict.repair


TEXT = st.text(st.sampled_from("ab c"), max_size=60)


@given(TEXT, TEXT, TEXT)
def test_joining_takes_the_overlap_once(start, overlap, end):
    """Chunks that overlap are joined without the overlap's copy: never longer than both, and each is in it."""
    first, second = start + overlap, overlap + end
    for text in joined(first, second):
        assert text.startswith(first)
        assert text.endswith(second) or len(text) < len(first) + len(second)
        assert len(text) <= len(first) + len(second) + 1
    shortest = min(joined(first, second), key=len)
    assert len(shortest) <= len(start + overlap + end)
    assert second in shortest


def test_across_a_border():
    """What neither chunk holds alone, with the white space that a splitter drops, or a word cut in two."""
    assert holds_across("the answer is", "forty two", lambda text: "is forty" in text)
    assert holds_across("the answer is for", "ty two", lambda text: "is forty" in text)
    assert not holds_across("the answer is forty", "two", lambda text: "is forty" in text)
    long = "x" * 900 + "and so the story goes on"
    assert joined(long, "and so the story goes on for ever") == [long + " for ever"]
