"""Two systems, asked the same questions: which figures differ, and whether by more than chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.errors import UsageError
from exporter.evaluation.metrics import intervals
from exporter.records import Float64

LEVEL = 0.05
"""Where nothing differs, a test calls a difference proven about so often."""
RESAMPLES = 9999


@dataclass(frozen=True)
class Outcome:
    """What became of one question in one system.

    `first_rank`: of its first right chunk, None when there is none. `scores` by measure, None without a known answer.
    """

    id: str
    text: str
    verdict: str
    first_rank: int | None
    scores: Mapping[str, float] | None


@dataclass(frozen=True)
class System:
    """One of the two: its name, how many chunks it retrieves, and what became of its questions."""

    name: str
    top_k: int
    outcomes: Sequence[Outcome]


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

    def to_json(self) -> dict[str, Any]:
        """What `compare --json` prints; `a`, `b`, `questions`, `metrics`, `won`, `lost`, `verdicts_changed` stay."""

        def told(pair: Pair, name: str) -> dict[str, Any]:
            return {"id": pair.id, "question": pair.b.text, "a": getattr(pair.a, name), "b": getattr(pair.b, name)}

        return {
            "a": self.a.name,
            "b": self.b.name,
            "questions": len(self.pairs),
            "top_k": {"a": self.a.top_k, "b": self.b.top_k},
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
        warnings.append(f"{without:,} shared questions have no known answer in both, and are in no figure")
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


def randomisation_test(differences: Float64, seed: int = 0) -> float:
    """The chance that (q,) differences of pairs give so large a mean, were A and B the same.

    Then each pair could as well be the other way round, so the signs are drawn anew: all of them where that is not too
    much, else `RESAMPLES` times. Pairs without a difference change nothing, and take no part. 1 when a single pair
    differs: it could as well differ the other way.
    """
    told = differences[differences != 0]
    if len(told) < 2:
        return 1.0
    from scipy.stats import permutation_test

    found = permutation_test(
        (told,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 2**22 // len(told)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _differences(a: Float64, b: Float64, seed: int) -> list[Difference]:
    """One a column of (q, m) scores."""
    apart = b - a
    return [
        Difference(
            a=float(a[:, column].mean()),
            b=float(b[:, column].mean()),
            difference=float(apart[:, column].mean()),
            low=interval.low,
            high=interval.high,
            p=randomisation_test(apart[:, column], seed),
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
