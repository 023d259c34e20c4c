"""The paired test and the tables of a comparison, against cases worked out by hand."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import UsageError
from exporter.evaluation.comparison import LEVEL, RESAMPLES, Outcome, System, compare, randomisation_tests


def randomisation_test(differences, seed=0):
    """Of one measure."""
    return randomisation_tests(np.asarray(differences, float)[:, None], seed)[0]


def outcome(name, rank, *, verdict="found", text=None, measures=("hit@1", "mrr")):
    values = {"hit@1": float(rank == 1), "mrr": 0.0 if rank is None else 1 / rank}
    scores = {key: values[key] for key in measures} if measures else None
    return Outcome(name, text or f"text of {name}", verdict, rank, scores)


def system(name, ranks, top_k=10, **more):
    return System(name, top_k, [outcome(f"q{i}", rank, **more) for i, rank in enumerate(ranks)])


def test_by_hand():
    """Four pairs that all got better by the same: two of the sixteen ways to set the signs give as much."""
    assert randomisation_test(np.array([0.5, 0.5, 0.5, 0.5])) == pytest.approx(2 / 16)
    assert randomisation_test(np.array([0.5] * 6)) == pytest.approx(2 / 64)
    assert randomisation_test(np.array([0.5, 0.5, 0.5, -0.5])) == pytest.approx(10 / 16)


def test_pairs_that_do_not_differ_change_nothing():
    """A hundred questions that both answer make a difference in six neither more nor less likely."""
    assert randomisation_test(np.array([0.5] * 6 + [0.0] * 100)) == pytest.approx(2 / 64)


@pytest.mark.parametrize("differences", [[], [0.0, 0.0], [1.0], [0.0, -1.0]])
def test_one_pair_proves_nothing(differences):
    """A single difference could as well have the other sign."""
    assert randomisation_test(np.array(differences)) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=9))
def test_all_signs(differences):
    """The p-value is the share of all settings of the signs whose mean is as far from 0."""
    told = np.array(differences)
    means = np.array([np.mean(told * signs) for signs in product([1, -1], repeat=len(told))])
    wanted = np.mean(np.abs(means) >= abs(told.mean()) - 1e-12)
    assert randomisation_test(told) == pytest.approx(wanted)


def test_as_scipy_has_it():
    """Of many pairs, and of measures with and without ties, p is scipy's, but for what drawing leaves open."""
    from scipy.stats import permutation_test

    random = np.random.default_rng(4)
    table = np.column_stack(
        [
            random.normal(0.2, 1, 40),
            random.choice([-1.0, 0.0, 1.0], 40, p=[0.2, 0.4, 0.4]),
            random.choice([-0.5, 1 / 3, 0.0], 40),
        ]
    )
    for column, p in enumerate(randomisation_tests(table)):
        wanted = permutation_test(
            (table[:, column],), np.mean, permutation_type="samples", n_resamples=RESAMPLES, rng=random
        ).pvalue
        assert p == pytest.approx(wanted, abs=4 * np.sqrt(2 * wanted * (1 - wanted) / RESAMPLES))


def test_hits_as_the_sign_test_has_them():
    """Where questions are only won or lost, the test is the binomial one."""
    from scipy.stats import binomtest

    told = np.repeat([1.0, -1.0, 0.0], [19, 9, 300])
    assert randomisation_test(told) == pytest.approx(binomtest(9, 28).pvalue, abs=0.01)
    assert randomisation_test(told[19 - 8 : 19 + 3]) == pytest.approx(binomtest(3, 11).pvalue)


def test_columns_stand_alone():
    """A measure's p is the same whatever stands beside it, and is never 0."""
    random = np.random.default_rng(6)
    table = random.normal(size=(30, 3))
    table[:20, 1] = 0
    table[:, 2] = 1
    together = randomisation_tests(table)
    assert together[0] == randomisation_test(table[:, 0])
    assert together[1] == randomisation_test(table[:, 1])
    assert together[2] == 1 / (RESAMPLES + 1)


def draws(random, lift, questions=60):
    """Reciprocal ranks of two systems over new questions, each hard or easy for both; B's chance is `lift` higher."""
    chance = random.uniform(0.1, 0.8, questions)
    found = [random.random(questions) < np.minimum(chance + more, 1) for more in (0, lift)]
    ranks = [random.integers(1, 6, questions) for _ in found]
    return [np.where(hit, 1 / rank, 0.0) for hit, rank in zip(found, ranks, strict=True)]


def rejections(lift, times=300):
    random = np.random.default_rng(5)
    pairs = (draws(random, lift) for _ in range(times))
    return sum(randomisation_test(b - a, seed) <= LEVEL for seed, (a, b) in enumerate(pairs))


def test_under_the_null():
    """Two draws of one system differ by proof about once in twenty: within four standard errors of it."""
    error = np.sqrt(LEVEL * (1 - LEVEL) * 300)
    assert abs(rejections(0.0) - LEVEL * 300) < 4 * error


def test_planted():
    """A system that is better by much is found to be so nearly always."""
    assert rejections(0.6, times=40) >= 38


def test_figures_by_hand():
    """Means, difference, p and moves of five questions, worked out by hand."""
    a = system("a", [2, 12, 1, None, 4])
    b = system("b", [1, 2, 1, 20, 4])
    found = compare(a, b)
    assert found.metrics["hit@1"].a == pytest.approx(1 / 5)
    assert found.metrics["hit@1"].b == pytest.approx(2 / 5)
    mrr = found.metrics["mrr"]
    assert mrr.a == pytest.approx((1 / 2 + 1 / 12 + 1 + 0 + 1 / 4) / 5)
    assert mrr.b == pytest.approx((1 + 1 / 2 + 1 + 1 / 20 + 1 / 4) / 5)
    assert mrr.difference == pytest.approx(mrr.b - mrr.a)
    assert mrr.p == pytest.approx(2 / 8)  # three differ, all upwards
    assert not mrr.proven
    assert mrr.low <= mrr.difference <= mrr.high
    assert found.won == ("q1",)  # rank 20 is beyond the top 10, though better than nowhere
    assert found.lost == ()
    assert [(pair.a.first_rank, pair.b.first_rank) for pair in found.moved] == [(None, 20), (12, 2), (2, 1)]


def test_the_other_way_round():
    """What one side won the other lost, differences change their sign, and p stays."""
    a, b = system("a", [1, 1, 30, 4, 1, 2]), system("b", [1, 40, 2, 5, 2, 9])
    there, back = compare(a, b), compare(b, a)
    assert there.won == back.lost == ("q2",)
    assert there.lost == back.won == ("q1",)
    for name, one in there.metrics.items():
        assert one.difference == pytest.approx(-back.metrics[name].difference)
        assert one.p == pytest.approx(back.metrics[name].p)


def test_each_by_its_own_k():
    """Rank 4 is answered by a top 5 and not by a top 3, and a warning says that they differ."""
    found = compare(system("a", [4], top_k=3), system("b", [4], top_k=5))
    assert found.won == ("q0",)
    assert "A retrieves 3 chunks, B 5" in found.warnings[0]


def test_the_same_question():
    """Pairs have one text; a counted-out id that now names another question pairs none; what is left out is told."""
    a = System("a", 10, [outcome("q1", 1, text="one"), outcome("q2", 2, text="two"), outcome("q3", 3, text="three")])
    b = System("b", 10, [outcome("q1", 5, text="new"), outcome("q2", 6, text="one"), outcome("q3", 7, text="two ")])
    found = compare(a, b)
    assert [(pair.a.text, pair.a.first_rank, pair.b.first_rank) for pair in found.pairs] == [
        ("one", 1, 6),
        ("two", 2, 7),
    ]
    assert "1 of A, 1 of B" in found.warnings[0]


def test_a_text_asked_twice():
    """Two questions of one text, which differ in what is right, are told apart by their ids, and by nothing else."""
    a = System("a", 10, [outcome("x", 1, text="same"), outcome("y", 9, text="same")])
    b = System("b", 10, [outcome("y", 8, text="same"), outcome("z", 7, text="same")])
    assert [(pair.a.id, pair.b.id) for pair in compare(a, b).pairs] == [("y", "y")]


def test_without_a_known_answer():
    """A question whose answer one set does not know is in no figure; its verdict is compared all the same."""
    a = System("a", 10, [outcome("q0", 2), outcome("q1", None, verdict="answer_unknown", measures=())])
    b = System("b", 10, [outcome("q0", 1), outcome("q1", 3)])
    found = compare(a, b)
    assert found.metrics["mrr"].a == pytest.approx(1 / 2)
    assert [pair.id for pair in found.changed] == ["q1"]
    assert "no known answer" in found.warnings[0]


def test_nothing_shared():
    """Two sets without a question in common can't be compared."""
    with pytest.raises(UsageError, match="share no question"):
        compare(System("a", 10, [outcome("q1", 1, text="one")]), System("b", 10, [outcome("q1", 1, text="other")]))
