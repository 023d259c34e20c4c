"""Findings: each one when it is so, with its figure, and none of them when all is well."""

from collections import Counter

import numpy as np
import pytest

from exporter.evaluation.findings import ModelFacts, Texts, find_all

GOOD = ModelFacts("a-model", checked=64, median_cosine=1.0, measured=100, longest=256)


def texts_of(*texts):
    found = Texts()
    for place, text in enumerate(texts):
        found.add(f"id{place}", text)
    return found


def distinct(rows):
    return texts_of(*(f"a text that is long enough, number {i}" for i in range(rows)))


def find(texts=None, model=GOOD, **more):
    """By default 100 chunks of two sources, each retrieved once by one of 20 questions."""
    given = {
        "zero_vectors": 0, "lost": 0, "retrievals": np.ones(100, np.int64), "questions": 20, "top_k": 5,
        "sources": Counter(a=50, b=50), "retrieved_sources": Counter(a=50, b=50), **more,
    }  # fmt: skip
    given["retrieved_ids"] = [(i, f"id{i}") for i in range(len(given["retrievals"]))]
    return find_all(texts or distinct(100), model, **given)


def test_nothing_to_find():
    """A sound collection has no finding."""
    assert find() == []


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (ModelFacts(None), "unverified_model", "vectors were given"),
        (ModelFacts("a-model"), "unverified_model", "no chunk has a text"),
        (
            ModelFacts("a-model", checked=64, median_cosine=0.12, fell_out=64, same=False),
            "wrong_model",
            "64 chunks embedded again have a median cosine of 0.120",
        ),
        (ModelFacts("a-model", checked=64, median_cosine=1.0, fell_out=7), "two_models", "7 of 64 chunks"),
        (
            ModelFacts("a-model", checked=64, cut=3, measured=100, longest=256, cut_examples=("id5",)),
            "cut_by_model",
            "3 of 100 chunks looked at are longer than the 256 tokens",
        ),
    ],
)
def test_model(model, kind, words):
    """What is odd about the model, with the figure."""
    (found,) = find(model=model)
    assert found.kind == kind
    assert words in found.text


def test_duplicates():
    """Chunks of equal words are one text and its copies, whatever their white space; empty ones are none."""
    found = texts_of(
        "the same long text, twice over", "the same  long text,\ntwice over", "another text of some length", "", ""
    )
    (duplicates,) = [one for one in find(found) if one.kind == "duplicates"]
    assert (duplicates.count, duplicates.of) == (1, 5)
    assert duplicates.examples == ("id1 = id0",)


def test_near_empty():
    """Chunks of a few letters, or of none."""
    found = texts_of("the same long text, twice over", "Next >", None, " \n ")
    (empty,) = find(found)
    assert (empty.kind, empty.count, empty.examples) == ("near_empty", 3, ("id1", "id2", "id3"))
    assert find(texts_of("请打开安全设置页面。", "보안 설정 페이지를 엽니다")) == [], "a sentence of few, wide signs"
    assert find(texts_of("下一页"))[0].kind == "near_empty"


def test_vectors():
    """Zero vectors and lost ones are counted."""
    assert [(one.kind, one.count) for one in find(zero_vectors=3, lost=2)] == [("zero_vectors", 3), ("lost_vectors", 2)]


def test_hubs():
    """A chunk that comes back for half of the questions or more is a hub; of few questions nothing is said."""
    retrievals = np.ones(100, np.int64)
    retrievals[[7, 30]] = [10, 19]
    (hubs,) = find(retrievals=retrievals)
    assert (hubs.kind, hubs.count, hubs.examples) == ("hub_chunks", 2, ("id30", "id7"))
    assert "the first for 19 of 20" in hubs.text
    assert find(retrievals=retrievals, questions=9) == []
    many = np.ones(1000, np.int64)
    many[:150] = 20
    assert find(retrievals=many)[0].count == 150


def test_one_source():
    """All that came back is of one source, while there are others."""
    (found,) = find(retrieved_sources=Counter(b=60), sources=Counter(a=300, b=100))
    assert (found.kind, found.of) == ("one_source", 2)
    assert "b, which has 25 % of the chunks" in found.text
    assert find(retrieved_sources=Counter(b=60), sources=Counter(b=100)) == []


def test_never_retrieved():
    """How many chunks come back for no question."""
    (found,) = find(retrievals=np.array([0, 3, 0, 1]))
    assert (found.kind, found.count, found.of) == ("never_retrieved", 2, 4)
    assert find(retrievals=np.array([0, 1]), questions=1)[0].text == "1 of 2 chunks (50 %) do not come back"
    assert find(retrievals=np.eye(1, 101, dtype=np.int64)[0]) == [], "20 questions of 5 can't bring back 101 chunks"
