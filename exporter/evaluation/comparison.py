"""Two systems, asked the same questions: which figures differ, and whether by more than chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.errors import UsageError
from exporter.evaluation.metrics import intervals
from exporter.records import Float64

LEVEL = 0.05
"""Where nothing differs, a test calls a difference proven about so often."""
RESAMPLES = 9999
NAMED = 3
_EVERY = 13
"""Pairs that differ, up to which all ways to set their signs are no more than `RESAMPLES`."""
_SIGNS = 2**22
"""Drawn at once: 32 MB."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Outcome:
    """What became of one question in one system.

    `first_rank`: of its first right chunk, None when there is none. `scores` by measure, None without a known answer.
    `answers`: words that make a chunk right, as far as they are known.
    """

    id: str
    text: str
    verdict: str
    first_rank: int | None
    scores: Mapping[str, float] | None
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class System:
    """One of the two: its name, how many chunks it retrieves, what became of its questions, what it was made with."""

    name: str
    top_k: int
    outcomes: Sequence[Outcome]
    settings: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """One question in both. `a` and `b` have the same text; `id` is B's."""

    a: Outcome
    b: Outcome

    @property
    def id(self) -> str:
        """Its name in B's set."""
        return self.b.id


@dataclass(frozen=True)
class Difference:
    """Of one measure: both means, B's less A's, its 95 % bootstrap interval, and the test's `p`.

    The means are over the questions whose answer both sets know. `low` and `high` are None for a single question.
    """

    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    p: float

    @property
    def proven(self) -> bool:
        """Would chance alone give so much at most once in twenty?"""
        return self.p <= LEVEL

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` prints it."""
        return {
            "a": self.a,
            "b": self.b,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "p": self.p,
            "proven": self.proven,
        }


@dataclass(frozen=True)
class Comparison:
    """B against A. `won`: questions that B's top k answers and A's does not, each by its own k; `lost`: the reverse.

    `moved`: pairs whose first right chunk has another rank, the largest change of the rank's logarithm first.
    """

    a: System
    b: System
    pairs: tuple[Pair, ...]
    metrics: Mapping[str, Difference]
    won: tuple[str, ...]
    lost: tuple[str, ...]
    changed: tuple[Pair, ...]
    moved: tuple[Pair, ...]
    warnings: tuple[str, ...]

    @property
    def settings(self) -> dict[str, tuple[str | float | None, str | float | None]]:
        """In what A and B differ, by name; None where one has no such setting."""
        names = dict.fromkeys([*self.a.settings, *self.b.settings])
        both = {name: (self.a.settings.get(name), self.b.settings.get(name)) for name in names}
        return {name: pair for name, pair in both.items() if pair[0] != pair[1]}

    def to_json(self) -> dict[str, Any]:
        """What `compare --json` prints; `a`, `b`, `questions`, `metrics`, `won`, `lost`, `verdicts_changed` stay."""

        def told(pair: Pair, name: str) -> dict[str, Any]:
            return {"id": pair.id, "question": pair.b.text, "a": getattr(pair.a, name), "b": getattr(pair.b, name)}

        return {
            "a": self.a.name,
            "b": self.b.name,
            "questions": len(self.pairs),
            "top_k": {"a": self.a.top_k, "b": self.b.top_k},
            "settings": {name: {"a": a, "b": b} for name, (a, b) in self.settings.items()},
            "metrics": {name: one.to_json() for name, one in self.metrics.items()},
            "won": list(self.won),
            "lost": list(self.lost),
            "verdicts_changed": [told(pair, "verdict") for pair in self.changed],
            "rank_moves": [told(pair, "first_rank") for pair in self.moved],
            "warnings": list(self.warnings),
        }


def compare(a: System, b: System, seed: int = 0) -> Comparison:
    """B against A, over the questions that both were asked. Raises UsageError when there are none."""
    pairs, warnings = _paired(a, b)
    if not pairs:
        raise UsageError(f"{a.name} and {b.name} share no question: ask both the same set")
    if a.top_k != b.top_k:
        warnings.append(f"A retrieves {a.top_k} chunks, B {b.top_k}: won and lost go by each one's own")
    scored = [(one.a.scores, one.b.scores) for one in pairs]
    both = [(old, new) for old, new in scored if old is not None and new is not None]
    if without := len(pairs) - len(both):
        say = "question has no known answer in both, and is"
        say = say if without == 1 else "questions have no known answer in both, and are"
        warnings.append(f"{without:,} shared {say} in no figure")
    if others := [pair.id for pair in pairs if pair.a.answers and pair.b.answers and pair.a.answers != pair.b.answers]:
        warnings.append(
            f"{len(others):,} of the shared questions ask for other answers in B than in A, so what is right differs: "
            f"{', '.join(others[:NAMED])}{', ...' if len(others) > NAMED else ''}"
        )
    names = [name for name in both[0][0] if name in both[0][1]] if both else []
    scores_a, scores_b = (np.array([[one[side][name] for name in names] for one in both]) for side in (0, 1))
    changed = [pair for pair in pairs if pair.a.verdict != pair.b.verdict]
    moved = [pair for pair in pairs if pair.a.first_rank != pair.b.first_rank]
    return Comparison(
        a=a,
        b=b,
        pairs=tuple(pairs),
        metrics=dict(zip(names, _differences(scores_a, scores_b, seed), strict=True)) if names else {},
        won=tuple(pair.id for pair in pairs if not _answered(pair.a, a) and _answered(pair.b, b)),
        lost=tuple(pair.id for pair in pairs if _answered(pair.a, a) and not _answered(pair.b, b)),
        changed=tuple(changed),
        moved=tuple(sorted(moved, key=_move, reverse=True)),
        warnings=tuple(warnings),
    )


def randomisation_tests(differences: Float64, seed: int = 0) -> Float64:
    """(m,): the chance that pairs give so large a mean, were A and B the same, of each column of (q, m) differences.

    Then each pair could as well be the other way round, so the signs are drawn anew: all of them where that is not too
    much (by scipy), else `RESAMPLES` times, the same for all columns: a product of matrices, a hundred times as fast as
    scipy's way, which copies the pairs for each column and draw. Pairs without a difference change nothing, and take no
    part. 1 when a single pair differs: it could as well differ the other way.
    """
    found = np.ones(differences.shape[1])
    counts = np.count_nonzero(differences, axis=0)
    for column in np.flatnonzero((counts > 1) & (counts <= _EVERY)).tolist():
        found[column] = _every_way(differences[differences[:, column] != 0, column])
    if (many := counts > _EVERY).any():
        found[many] = _some_ways(differences[:, many], seed)
    return found


def _every_way(told: Float64) -> float:
    from scipy.stats import permutation_test

    ways = permutation_test((told,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf)
    return float(ways.pvalue)


def _some_ways(differences: Float64, seed: int) -> Float64:
    """What is seen counts as one of the draws, so p is never 0."""
    random = np.random.default_rng(seed)
    seen = np.abs(differences.sum(axis=0)) - _ROUNDING * np.abs(differences).sum(axis=0)
    as_large = np.ones(differences.shape[1])
    at_once = max(1, _SIGNS // len(differences))
    for start in range(0, RESAMPLES, at_once):
        draws = min(at_once, RESAMPLES - start)
        signs = random.integers(0, 2, (draws, len(differences)), np.int8) * 2.0 - 1
        as_large += np.count_nonzero(np.abs(signs @ differences) >= seen, axis=0)
    return np.asarray(as_large / (RESAMPLES + 1))


def _differences(a: Float64, b: Float64, seed: int) -> list[Difference]:
    """One a column of (q, m) scores."""
    apart = b - a
    chances = randomisation_tests(apart, seed).tolist()
    return [
        Difference(
            a=float(a[:, column].mean()),
            b=float(b[:, column].mean()),
            difference=float(apart[:, column].mean()),
            low=interval.low,
            high=interval.high,
            p=chances[column],
        )
        for column, interval in enumerate(intervals(apart, seed))
    ]


def _paired(a: System, b: System) -> tuple[list[Pair], list[str]]:
    """The questions of both, in B's order, and what to warn of.

    The same question has the same text: ids that were counted out (`q1`, `q2`) name others once the set has changed.
    Where a text was asked several times, the id tells them apart.
    """
    by_id = {one.id: one for one in a.outcomes}
    times = {side.name: Counter(_words(one.text) for one in side.outcomes) for side in (a, b)}
    by_text = {_words(one.text): one for one in a.outcomes if times[a.name][_words(one.text)] == 1}
    pairs = []
    for new in b.outcomes:
        old = by_id.get(new.id)
        if old is None or _words(old.text) != _words(new.text):
            old = by_text.get(_words(new.text)) if times[b.name][_words(new.text)] == 1 else None
        if old is not None:
            pairs.append(Pair(old, new))
    left = {"A": len(a.outcomes) - len(pairs), "B": len(b.outcomes) - len(pairs)}
    said = [f"{count:,} of {name}" for name, count in left.items() if count]
    return pairs, [f"questions that the other was not asked are left out: {', '.join(said)}"] if said else []


def _words(text: str) -> str:
    return " ".join(text.split())


def _answered(one: Outcome, system: System) -> bool:
    return one.first_rank is not None and one.first_rank <= system.top_k


def _move(pair: Pair) -> float:
    """By how much the rank changed: from 2 to 1 as much as from 20 to 10; to nowhere, or from there, the most."""
    ranks = (pair.a.first_rank, pair.b.first_rank)
    if ranks[0] is None or ranks[1] is None:
        return float("inf")
    return float(abs(np.log(ranks[0] / ranks[1])))
