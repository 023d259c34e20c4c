"""Chunks read across their borders, in the order of their documents; pages."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.evaluation.question_sets import Asked, Target
from exporter.evaluation.relevance import Borders, Documents, Right, joined, same_page
from exporter.records import Batch
from exporter.retrieval.answers import match_any

TEXT = st.text(st.sampled_from("ab c"), max_size=60)


@given(TEXT, TEXT, TEXT)
def test_joining_takes_the_overlap_once(start, overlap, end):
    """Of chunks that overlap one reading has the overlap once: it is never longer than the text was, and has both."""
    first, second = start + overlap, overlap + end
    shortest = min(joined(first, second), key=len)
    assert len(shortest) <= len(start + overlap + end)
    assert shortest.startswith(first)
    assert shortest.endswith(second)


@given(TEXT, TEXT)
def test_every_reading(end, start):
    """What stands on both sides is read with a space and without, whatever letters the two happen to share."""
    assert {f"{end} {start}", end + start} <= set(joined(end, start))


def test_a_long_overlap():
    """An overlap is found at the end of a long chunk."""
    long = "x" * 900 + "and so the story goes on"
    assert joined(long, "and so the story goes on for ever")[0] == long + " for ever"


def read(texts, answers, metadatas=None, relevant=(), size=2, how="normalized"):
    """What is found of one question, batch by batch."""
    metadatas = metadatas or [{"source": "a"}] * len(texts)
    batches = [
        Batch(
            [f"c{i}" for i in range(start, min(len(texts), start + size))],
            np.ones((len(texts[start : start + size]), 2), np.float32),
            texts[start : start + size],
            metadatas[start : start + size],
        )
        for start in range(0, len(texts), size)
    ]
    documents = Documents()
    for batch in batches:
        documents.add(batch.metadatas)
    asked = Asked("q", "?", tuple(answers), tuple(relevant))
    borders = Borders({0: (asked, match_any(answers, how))}, documents.in_order())
    for number, batch in enumerate(batches):
        borders.add(batch, number * size)
    return borders.found.get(0), borders.held[0]


@pytest.mark.parametrize(
    ("texts", "answer", "found"),
    [
        (["the answer is", "forty two"], "is forty", ("c0", "c1")),
        (["the answer is for", "ty two"], "is forty", ("c0", "c1")),
        (["we know that we sat", "the cat ran"], "we sat the cat", ("c0", "c1")),
        (["the answer", "is forty", "two."], "answer is forty two", ("c0", "c2")),
        (["the answer", "is", "forty", "two."], "answer is forty two", ("c0", "c3")),
        (["the answer", "", "is forty"], "answer is forty", ("c0", "c2")),
        (["the answer", "is a long story which nobody told", "forty"], "answer forty", None),
        (["nothing", "of", "it"], "answer", None),
    ],
)
def test_across_borders(texts, answer, found):
    """An answer that begins in one chunk and ends in another, also when a letter at the border is in both by chance."""
    assert read(texts, [answer])[0] == found


@pytest.mark.parametrize("order", permutations(range(4)))
def test_the_order_of_the_document(order):
    """Chunks are read by page and start, however they are stored, and between those of other documents."""
    parts = [("the answer", 1, 0), ("is forty", 1, 9), ("two, and", 2, 0), ("no more.", 2, 9)]
    texts, metadatas = [], []
    for place in order:
        text, page, start = parts[place]
        texts += [text, "other"]
        metadatas += [{"source": "a", "page": page, "start_index": start}, {"source": "b"}]
    first, last = (f"c{2 * order.index(place)}" for place in (1, 3))
    assert read(texts, ["forty two, and no"], metadatas, size=3)[0] == (first, last)
    assert read(texts, ["no more. the answer"], metadatas)[0] is None


def test_as_stored_where_pages_are_missing():
    """Where one chunk of a source says no page, its chunks are read as they are stored."""
    metadatas = [{"source": "a", "page": 2}, {"source": "a"}, {"source": "a", "page": 1}]
    assert read(["one two", "three", "four"], ["three four"], metadatas)[0] == ("c1", "c2")


def test_no_source():
    """Chunks of no known source are not one document."""
    assert read(["the answer is", "forty two"], ["is forty"], [{"x": 1}, None])[0] is None


def test_words_though_ids():
    """How many chunks hold the words of a question whose ids are of none."""
    assert read(["the answer", "is it", "the answer"], ["answer"], relevant=[Target("gone")])[1] == 2


@pytest.mark.parametrize(
    ("stored", "wanted", "same"),
    [
        (1, "1.0", True),
        (1.0, "1", True),
        ("1", "1.0", True),
        ("iv", "iv", True),
        (10, "1", False),
        (None, "None", False),
    ],
)
def test_pages(stored, wanted, same):
    """Pages are compared as numbers where both are."""
    assert same_page(stored, wanted) == same


def test_pages_of_right_chunks():
    """A page that a spreadsheet wrote as 3.0 is the third."""
    right = Right([Asked("q", "?", (), (Target(source="a", page="3.0"),))])
    batch = Batch(["x", "y"], np.ones((2, 1), np.float32), ["", ""], [{"source": "a", "page": 3}, {"source": "a"}])
    questions, rows = right.add(batch, np.zeros((1, 2), bool), 0)
    assert (questions.tolist(), rows.tolist()) == ([0], [0])
    assert right.unmet(0) == []
