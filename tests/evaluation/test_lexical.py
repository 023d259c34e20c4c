"""BM25 over the chunks, against the formula worked out here."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.evaluation.lexical import Words, beside

K1, B = 1.5, 0.75


def scores(chunks, question):
    """Robertson's formula with Lucene's idf, a question's repeated word counted each time."""
    found = [re.findall(r"\b\w\w+\b", (text or "").lower()) for text in chunks]
    mean = sum(map(len, found)) / len(found)
    total = np.zeros(len(chunks))
    for word in re.findall(r"\b\w\w+\b", question.lower()):
        having = sum(word in chunk for chunk in found)
        idf = math.log(1 + (len(found) - having + 0.5) / (having + 0.5))
        for place, chunk in enumerate(found):
            often = chunk.count(word)
            total[place] += idf * often / (often + K1 * (1 - B + B * len(chunk) / mean)) if often else 0
    return total


def ranks(chunks, questions, right, parts=1):
    words = Words()
    for start in range(0, len(chunks), -(-len(chunks) // parts)):
        words.add(chunks[start : start + -(-len(chunks) // parts)])
    return words.first_ranks(questions, right)


CHUNKS = ["the cat sat on the mat", "a dog barked at the cat", "warranty of 24 months", None, "Warranty warranty card"]


def test_ranks():
    """A chunk with the words comes first; a repeated word counts more; capitals count for nothing."""
    assert scores(CHUNKS, "Warranty").argmax() == 4
    assert ranks(CHUNKS, ["WARRANTY?", "cat mat", "dog"], [[2], [0], [1]]) == [2, 1, 1]


@pytest.mark.parametrize(("question", "right"), [("zebra", [0]), ("cat", [2]), ("cat", []), ("?", [0]), ("cat", [3])])
def test_no_word_in_common(question, right):
    """Where no right chunk shares a word with the question, words don't find it."""
    assert ranks(CHUNKS, [question], [right]) == [None]


def test_nothing_to_read():
    """A collection without texts has no words."""
    assert ranks([None, None], ["cat"], [[0]]) == [None]


def test_equals_in_stored_order():
    """Of chunks with one text the first stored comes first."""
    assert ranks(["red fox", "red fox", "blue"], ["fox", "fox"], [[1], [0, 1]]) == [2, 1]


WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "x"])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=8), TEXTS, st.data())
def test_as_the_formula_says(chunks, question, data):
    """The rank is one more than the number of chunks that score higher, ties in stored order, in however many parts."""
    right = data.draw(st.integers(0, len(chunks) - 1))
    (found,) = ranks(chunks, [question], [[right]], parts=data.draw(st.integers(1, 3)))
    if not any(re.findall(r"\b\w\w+\b", chunk) for chunk in chunks):
        assert found is None
        return
    told = np.round(scores(chunks, question), 5)
    if told[right] <= 0:
        assert found is None
    else:
        assert found == 1 + (told > told[right]).sum() + (told[:right] == told[right]).sum()


def test_beside_the_vectors():
    """Each question is in one of four cases, by both ranks at the same k."""
    found = beside(["a", "b", "c", "d", "e"], [1, 5, None, 6, 2], [3, 9, 1, None, 5], top_k=5)
    assert (found.both, found.only_words, found.only_vectors, found.neither) == (("a", "e"), ("b",), ("c",), ("d",))
    told = found.to_json()
    assert told["hit"] == pytest.approx(3 / 5)
    assert told["mrr"] == pytest.approx((1 + 1 / 5 + 1 / 6 + 1 / 2) / 5)
