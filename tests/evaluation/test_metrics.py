"""Figures: equal to those worked out by hand, and to the library's own command on what we write."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.evaluation.metrics import FIRST_RANK, MEASURES, Judged, score, summarise, to_qrels, to_run


def test_by_hand():
    """Right chunks at ranks 2 and 4 of three in all give the figures of the textbook."""
    (found,) = score([Judged("q", ["a", "b", "c", "d", "e"], {"b": 1, "d": 1, "far": 1}, 2)])
    gain = {rank: 1 / math.log2(rank + 1) for rank in range(1, 6)}
    expected = {
        "hit@1": 0, "hit@3": 1, "recall@3": 1 / 3, "recall@5": 2 / 3, "precision@3": 1 / 3, "precision@5": 2 / 5,
        "precision@20": 2 / 20, "mrr": 1 / 2, "map": (1 / 2 + 2 / 4) / 3,
        "ndcg@5": (gain[2] + gain[4]) / (gain[1] + gain[2] + gain[3]),
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_grades():
    """A better grade further down costs more, in nDCG only; grade 0 is wrong."""
    (found,) = score([Judged("q", ["a", "b", "c"], {"a": 1, "b": 3, "c": 0}, 1)])
    assert found["ndcg@3"] == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))
    assert found["precision@3"] == pytest.approx(2 / 3)


def test_a_miss_counts():
    """A question whose answer is in no chunk is a miss in every mean."""
    scores = score([Judged("q", ["a"], {"a": 1}, 1), Judged("gone", ["a"], {}, None), Judged("none", [], {}, None)])
    assert all(value == 0 for one in scores[1:] for value in one.values())
    assert summarise(scores, [1, None, None])["hit@1"].value == pytest.approx(1 / 3)


def test_median_rank():
    """The median rank counts questions without a right chunk as beyond all."""
    scores = score([Judged(str(i), ["a"], {"a": 1}, 1) for i in range(3)])
    assert summarise(scores, [1, 7, None])[FIRST_RANK].value == 7
    assert summarise(scores, [1, None, None])[FIRST_RANK].value is None


def test_intervals():
    """An interval holds the mean, is narrower with more questions, covers the truth as often as it says, and is the
    same each time; a single question has none.
    """
    random = np.random.default_rng(0)

    def hits(count):
        return [dict.fromkeys(MEASURES, float(random.random() < 0.7)) for _ in range(count)]

    few, many = hits(20), hits(400)
    one = summarise(few, [1] * 20)["hit@1"]
    other = summarise(many, [1] * 400)["hit@1"]
    assert one.low <= one.value <= one.high
    assert other.high - other.low < (one.high - one.low) / 2
    assert summarise(few, [1] * 20)["hit@1"] == one
    covered = [summarise(hits(60), [1] * 60)["hit@1"] for _ in range(60)]
    assert 0.8 < np.mean([figure.low <= 0.7 <= figure.high for figure in covered]) <= 1
    alone = summarise(few[:1], [1])["hit@1"]
    assert (alone.low, alone.high) == (None, None)


def test_no_question():
    """Of nothing there are no figures."""
    assert summarise([], []) == {}


JUDGED = st.lists(
    st.tuples(
        st.permutations([f"c{i}" for i in range(8)]),
        st.dictionaries(st.sampled_from(["c0", "c1", "c5", "x"]), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=6,
).map(lambda rows: [Judged(f"q{i}", ranking, right, None) for i, (ranking, right) in enumerate(rows)])


@settings(max_examples=40, deadline=None)
@given(JUDGED)
def test_what_is_written_scores_the_same(judged):
    """Whoever scores the TREC run that is written against the judgements that are written gets our figures."""
    import ir_measures

    measures = {ir_measures.parse_measure(theirs): ours for ours, theirs in MEASURES.items()}
    found = ir_measures.calc_aggregate(
        list(measures), ir_measures.read_trec_qrels(to_qrels(judged)), ir_measures.read_trec_run(to_run(judged))
    )
    means = summarise(score(judged), [None] * len(judged))
    for measure, value in found.items():
        assert means[measures[measure]].value == pytest.approx(value, abs=1e-12)


def test_the_librarys_own_command(tmp_path):
    """`ir_measures QRELS RUN MEASURES` prints our figures; ids with white space don't part the columns."""
    random = np.random.default_rng(1)
    chunks = [f"a chunk {i}%20\t" for i in range(40)]
    judged = [
        Judged(f"the question {i}", list(random.permutation(chunks)), dict.fromkeys(random.choice(chunks, 3), 1), 1)
        for i in range(30)
    ]
    (tmp_path / "run").write_text(to_run(judged))
    (tmp_path / "qrels").write_text(to_qrels(judged))
    program = Path(sys.executable).with_name("ir_measures")
    command = [program] if program.exists() else [sys.executable, "-m", "ir_measures"]
    done = subprocess.run(
        [*command, "qrels", "run", *MEASURES.values(), "-o", "jsonl", "-p", "6"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = {one["measure"]: one["value"] for one in map(json.loads, done.stdout.splitlines())}
    means = summarise(score(judged), [1] * 30)
    assert len(theirs) == len(MEASURES)
    for ours, name in MEASURES.items():
        assert means[ours].value == pytest.approx(theirs[name], abs=1e-6)
