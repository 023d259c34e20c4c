"""How well chunks came back: figures by ir-measures over trec_eval's own code, intervals by scipy.

A ranking counts down to `DEPTH`, so a right chunk below that adds nothing to `mrr` and `map` (it would add 0.01 at
most to the first). Whoever scores the ranking that `to_run` writes, against what `to_qrels` writes, gets the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from exporter.errors import UsageError
from exporter.records import Float64

DEPTH = 100
"""How far down a ranking is kept and scored; further when the application retrieves more."""
CUTOFFS = (1, 3, 5, 10, 20)
FIRST_RANK = "first_rank"
"""The median rank of the first right chunk, of all chunks; a question without one is beyond all."""
RESAMPLES = 2000
CONFIDENCE = 0.95
NOWHERE = "in-no-chunk"
"""Stands in the judgements for the right chunk that the collection has not: whatever comes back, it is a miss."""


def nowhere(what: str) -> str:
    """Stands in the judgements for a source or page that the collection has not."""
    return f"{NOWHERE}: {what}"


_AT = {"hit": "Success@{}", "recall": "R@{}", "precision": "P@{}", "ndcg": "nDCG@{}"}


def cutoffs(top_k: int) -> list[int]:
    """At which k there are figures: always the same, and at the application's own."""
    return sorted({*CUTOFFS, top_k})


def measures(top_k: int) -> dict[str, str]:
    """Our names, and ir-measures' for the same, where `top_k` chunks are retrieved."""
    at = {f"{name}@{k}": measure.format(k) for name, measure in _AT.items() for k in cutoffs(top_k)}
    return {**at, "mrr": "RR", "map": "AP"}


MEASURES: Mapping[str, str] = MappingProxyType(measures(CUTOFFS[0]))
"""Those that there are whatever the k."""


@dataclass(frozen=True)
class Figure:
    """A mean over the questions (of `first_rank` the median), and its 95 % bootstrap interval.

    None where there is none: `low` and `high` of a single question, `first_rank` when most have no right chunk.
    """

    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        """As `evaluate --json` prints it."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Judged:
    """One question's ranking, ids nearest first, and its right chunks with their grades (0: judged to be wrong).

    `first_rank`: of the first right chunk among all; None when no chunk is right.
    """

    question: str
    ranking: Sequence[str]
    right: Mapping[str, int]
    first_rank: int | None


def score(judged: Sequence[Judged], top_k: int = CUTOFFS[0]) -> list[dict[str, float]]:
    """Every measure of every question, in their order. Raises UsageError when the library is not there."""
    try:
        import ir_measures
    except ImportError:
        raise UsageError("evaluating needs ir-measures: pip install 'chroma-projector[evaluate]'") from None
    wanted = measures(top_k)
    names = {ir_measures.parse_measure(theirs): ours for ours, theirs in wanted.items()}
    place = {one.question: number for number, one in enumerate(judged)}
    found: list[dict[str, float]] = [{} for _ in judged]
    qrels = [ir_measures.Qrel(*line) for one in judged for line in _qrels(one)]
    run = [ir_measures.ScoredDoc(*line) for one in judged for line in _run(one)]
    for metric in ir_measures.iter_calc(list(names), qrels, run):
        found[place[metric.query_id]][names[metric.measure]] = float(metric.value)
    return [{name: scores[name] for name in wanted} for scores in found]


def summarise(
    scores: Sequence[Mapping[str, float]], first_ranks: Sequence[int | None], seed: int = 0
) -> dict[str, Figure]:
    """Means over the questions, the median first rank, and a 95 % percentile bootstrap of each. Empty of none."""
    if not scores:
        return {}
    names = list(scores[0])
    table = np.array([[one[name] for name in names] for one in scores])
    ranks = np.array([np.inf if rank is None else rank for rank in first_ranks])
    means = dict(zip(names, _figures(table, np.mean, seed), strict=True))
    return {**means, FIRST_RANK: _figures(ranks[:, None], np.median, seed)[0]}


def intervals(table: Float64, seed: int = 0) -> list[Figure]:
    """The mean of each column of (q, m), and its interval."""
    return _figures(table, np.mean, seed)


def _figures(table: Float64, statistic: Any, seed: int) -> list[Figure]:
    """One figure a column of (q, m)."""
    values = statistic(table, axis=0)
    if len(table) < 2:
        return [Figure(_finite(value), None, None) for value in values]
    from scipy.stats import bootstrap

    with np.errstate(invalid="ignore"):  # the standard error of infinite ranks, which nobody asks for
        found = bootstrap(
            (table,),
            statistic,
            n_resamples=RESAMPLES,
            batch=max(1, 2**22 // table.size),
            axis=0,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return [Figure(*map(_finite, one)) for one in zip(values, found.low, found.high, strict=True)]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def to_run(judged: Sequence[Judged]) -> str:
    """The rankings as a TREC run. Scores count down from the depth: tools sort by them, and break ties as they like."""
    lines = []
    for one in judged:
        for rank, (question, chunk, points) in enumerate(_run(one), start=1):
            lines.append(f"{_word(question)} Q0 {_word(chunk)} {rank} {points:g} chroma-projector\n")
    return "".join(lines)


def to_qrels(judged: Sequence[Judged]) -> str:
    """What is right, as TREC's judgements."""
    return "".join(
        f"{_word(question)} 0 {_word(chunk)} {grade}\n" for one in judged for question, chunk, grade in _qrels(one)
    )


def _run(one: Judged) -> list[tuple[str, str, float]]:
    count = len(one.ranking)
    return [(one.question, chunk, float(count - place)) for place, chunk in enumerate(one.ranking)]


def _qrels(one: Judged) -> list[tuple[str, str, int]]:
    right = one.right if any(grade > 0 for grade in one.right.values()) else {**one.right, NOWHERE: 1}
    return [(one.question, chunk, grade) for chunk, grade in right.items()]


def _word(text: str) -> str:
    """Without white space, which parts the columns; written as in an address. `%` too, so that no two ids meet."""
    return "".join(f"%{ord(one):02X}" if one.isspace() or one == "%" else one for one in text) or "%"
