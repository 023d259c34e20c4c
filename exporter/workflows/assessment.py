"""What a question set is put to, and what comes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from exporter.embedding.check import ModelCheck
from exporter.embedding.models import Model
from exporter.evaluation.findings import Finding
from exporter.evaluation.lexical import Lexical
from exporter.evaluation.metrics import Figure, Judged
from exporter.evaluation.question_sets import Asked
from exporter.evaluation.verdicts import REPAIRS, Verdict
from exporter.records import Collection, Float64, Space
from exporter.sources import Filter, Source


@dataclass(frozen=True)
class Setting:
    """What the questions are put to, and how."""

    source: Source
    collection: Collection
    metric: Space
    model: Model | None
    top_k: int
    where: Filter | None = None
    where_document: Filter | None = None
    index: bool = True
    words: bool = True

    @property
    def filtered(self) -> bool:
        """Does a filter hide chunks?"""
        return self.where is not None or self.where_document is not None


@dataclass(frozen=True)
class Assessed:
    """One question, and what became of it. `ranking` and `distances` are its nearest chunks, `right` says which of
    them are right; `scores` by measure, None for a question without a known answer.
    """

    asked: Asked
    ranking: tuple[str, ...]
    distances: Float64
    right: tuple[bool, ...]
    right_chunks: int
    first_rank: int | None
    verdict: Verdict
    scores: dict[str, float] | None

    def to_json(self, top_k: int) -> dict[str, Any]:
        """An entry of `per_question`."""
        hits = list(zip(self.ranking, self.distances.tolist(), self.right, strict=True))[:top_k]
        return {
            "id": self.asked.id,
            "question": self.asked.text,
            "verdict": self.verdict.kind,
            "evidence": self.verdict.evidence,
            "repair": self.verdict.repair,
            "first_rank": self.first_rank,
            "right_chunks": self.right_chunks,
            "metrics": self.scores,
            "hits": [
                {"rank": rank, "id": id, "distance": distance, "right": right}
                for rank, (id, distance, right) in enumerate(hits, start=1)
            ],
        }


@dataclass(frozen=True)
class Assessment:
    """What a question set shows of a collection."""

    collection: str
    metric: Space
    rows: int
    top_k: int
    model: str | None
    per_question: tuple[Assessed, ...]
    judged: tuple[Judged, ...]
    metrics: dict[str, Figure]
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    check: ModelCheck | None = None
    lexical: Lexical | None = None
    index_recall: float | None = None
    """The share of the exact top k that Chroma's own index returns; None where it was not asked."""

    @property
    def verdicts(self) -> dict[str, int]:
        """How many questions each verdict has; every verdict is there."""
        counts = Counter(one.verdict.kind for one in self.per_question)
        return {kind: counts[kind] for kind in REPAIRS}

    def hardest(self, most: int) -> list[int]:
        """The questions that a picture shows first, by their places: the first missed one; then the others, the
        furthest from being found first; those that no chunk answers after those that some chunk does, found ones last.
        """
        ranks = [one.first_rank for one in self.per_question]

        def hardness(question: int) -> tuple[int, int]:
            rank = ranks[question]
            if rank is None:
                return (1, 0) if self.per_question[question].scores is not None else (3, 0)
            return (0 if rank > self.top_k else 2, -rank)

        missed = [question for question, rank in enumerate(ranks) if rank is not None and rank > self.top_k]
        order = [*missed[:1], *sorted(range(len(ranks)), key=hardness)]
        return list(dict.fromkeys(order))[:most]

    def right(self) -> list[set[str]]:
        """For each question the ids of the chunks that are right."""
        found = {one.question: {id for id, grade in one.right.items() if grade > 0} for one in self.judged}
        return [found.get(one.asked.id, set()) for one in self.per_question]

    def to_json(self) -> dict[str, Any]:
        """What `evaluate --json` prints; `questions`, `metrics`, `verdicts`, `per_question`, `findings` stay."""
        return {
            "questions": len(self.per_question),
            "collection": self.collection,
            "rows": self.rows,
            "metric": self.metric,
            "model": self.model,
            "top_k": self.top_k,
            "metrics": {name: figure.to_json() for name, figure in self.metrics.items()},
            "verdicts": self.verdicts,
            "per_question": [one.to_json(self.top_k) for one in self.per_question],
            "findings": [finding.to_json() for finding in self.findings],
            "lexical": None if self.lexical is None else self.lexical.to_json(),
            "index_recall": self.index_recall,
            "warnings": list(self.warnings),
        }
