"""Judge a question set against a collection: ranks, right chunks, metrics, a verdict each, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from exporter.embedding.check import ALIKE, ModelCheck, compare, cosines_of
from exporter.embedding.models import Model
from exporter.errors import ExporterError, QueryError
from exporter.evaluation.findings import Finding, ModelFacts, Texts, find_all
from exporter.evaluation.metrics import DEPTH, Figure, Judged, score, summarise
from exporter.evaluation.question_sets import Asked, QuestionSet, Target
from exporter.evaluation.verdicts import ANSWER_UNKNOWN, REPAIRS, Evidence, Verdict, decide, holds_across
from exporter.records import Batch, Collection, Float32, Float64, Int64, Nearest, Progress, Space, source_of
from exporter.retrieval.answers import Matcher, holding, match_any
from exporter.retrieval.distance import pair_distances
from exporter.retrieval.nearest import Ranker, count_nearer
from exporter.sources import Filter, Rows, Source

CHECKED = 64
"""How many stored chunks are embedded again to see whether one model, this one, made the collection."""
MEASURED = 2000
"""How many texts are counted in the model's tokens."""


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
            "warnings": list(self.warnings),
        }


def matchers_of(asked: QuestionSet, how: str, accents: bool, threshold: float) -> list[Matcher | None]:
    """What tells a right text from others for each question; None where ids decide, or nothing does.

    Raises QueryError for an answer that is no regular expression, with the line where it stands.
    """
    found: list[Matcher | None] = []
    for one in asked.questions:
        try:
            by_text = one.answers and not any(target.id is not None for target in one.relevant)
            found.append(match_any(one.answers, how, accents=accents, threshold=threshold) if by_text else None)
        except QueryError as error:
            raise QueryError(f"{one.where}: {error}") from None
    return found


@dataclass
class _Right:
    """Which chunks are right for whom, gathered batch by batch.

    A chunk is right when its id is listed. Of a listed source or page every chunk is, or, where answers are given too,
    every chunk that holds one. Without a list, every chunk that holds an answer.
    """

    asked: Sequence[Asked]
    matchers: Sequence[Matcher | None]
    positions: list[list[int]] = field(init=False)
    grades: list[list[int]] = field(init=False)
    met: set[tuple[int, Target]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.positions = [[] for _ in self.asked]
        self.grades = [[] for _ in self.asked]
        self._by_id: dict[str, list[tuple[int, Target]]] = {}
        self._by_source: dict[str, list[tuple[int, Target]]] = {}
        for question, one in enumerate(self.asked):
            for target in one.relevant:
                table, key = (self._by_id, target.id) if target.id is not None else (self._by_source, target.source)
                table.setdefault(str(key), []).append((question, target))
        self._everywhere = np.array([not one.relevant for one in self.asked], bool)

    def add(self, batch: Batch, first: int) -> tuple[Int64, Int64]:
        """The right pairs (question, row of the batch) of a batch that starts at position `first`; grade 0 too."""
        held = holding(batch.texts, self.matchers)
        graded: dict[tuple[int, int], int] = {}
        for row, id in enumerate(batch.ids):
            for question, target in self._by_id.get(id, ()):
                graded[question, row] = target.grade
                self.met.add((question, target))
        if self._by_source:
            for row, metadata in enumerate(batch.metadatas):
                source = source_of(metadata)
                for question, target in self._by_source.get(source, ()) if source is not None else ():
                    if target.page is not None and str((metadata or {}).get("page")) != target.page:
                        continue
                    self.met.add((question, target))
                    if self.matchers[question] is None or held[question, row]:
                        graded.setdefault((question, row), target.grade)
        for question, row in np.argwhere(held & self._everywhere[:, None]).tolist():
            graded[question, row] = 1
        pairs = sorted(graded)
        for question, row in pairs:
            self.positions[question].append(first + row)
            self.grades[question].append(graded[question, row])
        right = [pair for pair in pairs if graded[pair] > 0]
        table = np.array(right, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def count(self, question: int) -> int:
        """How many chunks are right for it."""
        return sum(grade > 0 for grade in self.grades[question])

    def unmet(self) -> list[Target]:
        """What is listed and is of no chunk."""
        return [
            target
            for question, one in enumerate(self.asked)
            for target in one.relevant
            if (question, target) not in self.met
        ]


@dataclass(frozen=True)
class _Seen:
    """What reading the collection gave. `first_rank` (q,) and `first_distance` of the nearest right chunk, 0 where
    there is none, `first_position` -1. `sample` are some chunks, `sample_positions` where they stand.
    """

    ids: Sequence[str]
    sources: Sequence[str | None]
    nearest: Nearest
    right: _Right
    texts: Texts
    first_position: Int64
    first_distance: Float64
    first_rank: Int64
    sample: Batch
    sample_positions: Int64
    halves: dict[int, tuple[str, str]]


def assess(
    asked: QuestionSet, matchers: Sequence[Matcher | None], vectors: Float32, setting: Setting, progress: Progress
) -> Assessment:
    """Judge every question, by the (q, d) `vectors` of their texts.

    Raises QueryError when the filter leaves no chunk, RowsError when no chunk has a vector.
    """
    filters = {"where": setting.where, "where_document": setting.where_document}
    seen = setting.source.read(
        setting.collection, partial(_look, asked.questions, matchers, vectors, setting, progress), **filters
    )
    hidden, halves = _look_elsewhere(asked.questions, matchers, setting, seen, progress)
    warnings = list(asked.warnings)
    unmet = seen.right.unmet()
    if unmet:
        where = "no chunk that the filter leaves" if setting.filtered else "no chunk"
        examples = ", ".join(dict.fromkeys(str(target) for target in unmet[:3]))
        warnings.append(f"{len(unmet):,} relevant ids or sources of the set are of {where} ({examples})")
    facts, cosines = _check_model(setting, seen, progress)
    by_index = _ask_the_index(vectors, setting, seen, progress, warnings)
    verdicts = [
        decide(_evidence(question, one, setting, seen, facts, cosines, by_index, hidden, halves))
        for question, one in enumerate(asked.questions)
    ]
    judged = [_judged(question, one, seen) for question, one in enumerate(asked.questions)]
    known = [question for question, verdict in enumerate(verdicts) if verdict.kind != ANSWER_UNKNOWN]
    progress("scoring", 0, None)
    scores = dict(zip(known, score([judged[question] for question in known]), strict=True))
    return Assessment(
        collection=setting.collection.name,
        metric=setting.metric,
        rows=seen.nearest.rows,
        top_k=setting.top_k,
        model=None if setting.model is None else setting.model.name,
        per_question=tuple(
            _assessed(question, one, seen, judged[question], verdicts[question], scores.get(question))
            for question, one in enumerate(asked.questions)
        ),
        judged=tuple(judged[question] for question in known),
        metrics=summarise(list(scores.values()), [judged[question].first_rank for question in known]),
        findings=tuple(_findings(setting, seen, facts)),
        warnings=tuple(warnings),
        check=_check_of(facts),
    )


def _look(
    asked: Sequence[Asked],
    matchers: Sequence[Matcher | None],
    vectors: Float32,
    setting: Setting,
    progress: Progress,
    rows: Rows,
) -> _Seen:
    """One pass for ranks, right chunks and texts; one more for the ranks of right chunks far down, where some are."""
    if rows.count == 0:
        raise QueryError("the filter leaves no chunk of the collection: loosen --where or --where-document")
    ranker = Ranker(vectors, setting.metric, max(DEPTH, setting.top_k))
    right, texts = _Right(asked, matchers), Texts()
    ids: list[str] = []
    sources: list[str | None] = []
    known: dict[str | None, str | None] = {}  # one object a source, not one a chunk
    first_position, first_distance = np.full(len(asked), -1, np.int64), np.full(len(asked), np.inf)
    for batch in rows.batches(texts=True, metadatas=True):
        ranker.add(batch)
        questions, places = right.add(batch, len(ids))
        away = pair_distances(batch.vectors[places], vectors[questions], setting.metric)
        for question, place, distance in zip(questions.tolist(), places.tolist(), away.tolist(), strict=True):
            if distance < first_distance[question]:  # of equals the first in stored order; a lost vector is NaN
                first_distance[question], first_position[question] = distance, len(ids) + place
        for id, text in zip(batch.ids, batch.texts, strict=True):
            texts.add(id, text)
        ids += batch.ids
        sources += [known.setdefault(source, source) for source in map(source_of, batch.metadatas)]
        progress("reading", len(ids), rows.count)
    nearest = ranker.nearest()
    first_rank = _ranks(nearest, vectors, setting.metric, first_position, first_distance, rows)
    halves = {} if setting.filtered else _halves(asked, matchers, right, rows, progress)
    wanted = set(np.linspace(0, len(ids) - 1, min(MEASURED, len(ids))).astype(int).tolist())
    wanted |= set(first_position[first_rank > setting.top_k].tolist())
    positions = np.array(sorted(wanted), np.int64)
    sample = _joined(rows.take(positions))
    return _Seen(
        ids, sources, nearest, right, texts, first_position, first_distance, first_rank, sample, positions, halves
    )


def _ranks(
    nearest: Nearest, vectors: Float32, metric: Space, positions: Int64, distances: Float64, rows: Rows
) -> Int64:
    """(q,) the rank of each question's first right chunk among all; 0 where there is none."""
    ranks = np.zeros(len(vectors), np.int64)
    among = nearest.positions == np.where(positions < 0, -2, positions)[:, None]
    found = among.any(axis=1)
    ranks[found] = among[found].argmax(axis=1) + 1
    deep = np.flatnonzero((positions >= 0) & ~found)
    if len(deep):
        ranks[deep] = 1 + count_nearer(rows.batches(), vectors[deep], metric, distances[deep], positions[deep])
    return ranks


def _halves(
    asked: Sequence[Asked], matchers: Sequence[Matcher | None], right: _Right, rows: Rows, progress: Progress
) -> dict[int, tuple[str, str]]:
    """For questions that no chunk answers: the first two chunks in a row of one source that hold an answer together."""
    missing = {
        question: matcher
        for question, matcher in enumerate(matchers)
        if matcher is not None and not right.positions[question]
    }
    found: dict[int, tuple[str, str]] = {}
    last: dict[str | None, tuple[str, str]] = {}
    done = 0
    for batch in rows.batches(texts=True, metadatas=True) if missing else ():
        for id, text, metadata in zip(batch.ids, batch.texts, batch.metadatas, strict=True):
            source = source_of(metadata)
            if text and source in last:
                before, end = last[source]
                for question, matcher in list(missing.items()):
                    wanted = {target.source for target in asked[question].relevant}
                    if (not wanted or source in wanted) and holds_across(end, text, matcher):
                        found[question] = (before, id)
                        del missing[question]
            if text:
                last[source] = (id, text)
        done += len(batch)
        progress("looking for answers that were cut", done, rows.count)
    return found


def _look_elsewhere(
    asked: Sequence[Asked], matchers: Sequence[Matcher | None], setting: Setting, seen: _Seen, progress: Progress
) -> tuple[dict[int, int], dict[int, tuple[str, str]]]:
    """Without the filter: how many right chunks it hides, for questions to which it leaves none; and cut answers."""
    if not setting.filtered:
        return {}, seen.halves
    missing = [question for question, first in enumerate(seen.first_position.tolist()) if first < 0]
    missing = [question for question in missing if asked[question].answers or asked[question].relevant]
    if not missing:
        return {}, {}
    questions, their = [asked[question] for question in missing], [matchers[question] for question in missing]

    def look(rows: Rows) -> tuple[_Right, dict[int, tuple[str, str]]]:
        right, done = _Right(questions, their), 0
        for batch in rows.batches(texts=True, metadatas=True):
            right.add(batch, done)
            done += len(batch)
            progress("looking behind the filter", done, rows.count)
        return right, _halves(questions, their, right, rows, progress)

    right, halves = setting.source.read(setting.collection, look)
    counts = {question: right.count(place) for place, question in enumerate(missing)}
    return counts, {missing[place]: ids for place, ids in halves.items()}


def _check_model(setting: Setting, seen: _Seen, progress: Progress) -> tuple[ModelFacts, dict[int, float]]:
    """What embedding stored chunks again says: of some of all chunks, and of the right ones that were missed (cosine
    by position).
    """
    model, sample = setting.model, seen.sample
    if model is None:
        return ModelFacts(None), {}
    with_text = [row for row, text in enumerate(sample.texts) if text and text.strip()]
    if not with_text:
        return ModelFacts(model.name), {}
    cut = []
    if model.longest is not None:
        progress("counting tokens", 0, None)
        counts = model.tokens([str(sample.texts[row]) for row in with_text])
        cut = [row for row, count in zip(with_text, counts, strict=True) if count > model.longest]
    spread = [with_text[i] for i in np.linspace(0, len(with_text) - 1, min(CHECKED, len(with_text))).astype(int)]
    progress("checking the model", 0, None)
    check = compare(sample.vectors[spread], model.embed_chunks([str(sample.texts[row]) for row in spread]))
    same = check.median_cosine >= ALIKE
    facts = ModelFacts(
        name=model.name,
        checked=check.checked,
        median_cosine=check.median_cosine,
        fell_out=check.fell_out,
        same=same,
        cut=len(cut),
        measured=len(with_text),
        longest=model.longest,
        cut_examples=tuple(sample.ids[row] for row in cut[:3]),
    )
    missed = set(seen.first_position[seen.first_rank > setting.top_k].tolist())
    row_of = {position: row for row, position in enumerate(seen.sample_positions.tolist())}
    again = [row for row in (row_of[position] for position in sorted(missed)) if row in set(with_text)]
    if not same or not again:
        return facts, {}
    cosines = cosines_of(sample.vectors[again], model.embed_chunks([str(sample.texts[row]) for row in again]))
    return facts, {int(seen.sample_positions[row]): float(one) for row, one in zip(again, cosines, strict=True)}


def _ask_the_index(
    vectors: Float32, setting: Setting, seen: _Seen, progress: Progress, warnings: list[str]
) -> dict[int, set[str]]:
    """What Chroma's own query returns to the questions whose right chunks are in the exact top k."""
    found = np.flatnonzero((seen.first_rank > 0) & (seen.first_rank <= setting.top_k))
    if not setting.index or not len(found):
        return {}
    progress("asking Chroma's own index", 0, None)
    top_k = min(setting.top_k, seen.nearest.rows)
    try:
        answers = setting.source.query(
            setting.collection,
            vectors[found],
            top_k,
            where=setting.where,
            where_document=setting.where_document,
        )
    except ExporterError as error:
        warnings.append(f"Chroma's own index could not be asked, so what it loses is not known: {error}")
        return {}
    return {int(question): set(ids) for question, ids in zip(found, answers, strict=True)}


def _evidence(
    question: int,
    one: Asked,
    setting: Setting,
    seen: _Seen,
    facts: ModelFacts,
    cosines: dict[int, float],
    by_index: dict[int, set[str]],
    hidden: dict[int, int],
    halves: dict[int, tuple[str, str]],
) -> Evidence:
    rank = int(seen.first_rank[question]) or None
    right = {
        seen.ids[position]
        for position, grade in zip(seen.right.positions[question], seen.right.grades[question], strict=True)
        if grade > 0
    }
    last = seen.nearest.distances[question, min(setting.top_k, seen.nearest.distances.shape[1]) - 1]
    cosine = facts.median_cosine if not facts.same else cosines.get(int(seen.first_position[question]))
    return Evidence(
        asked=bool(one.answers) or any(target.grade > 0 for target in one.relevant),
        top_k=setting.top_k,
        rows=seen.nearest.rows,
        right=len(right),
        first_rank=rank,
        first_distance=float(seen.first_distance[question]) if rank else None,
        last_distance=float(last),
        by_index=len(right & by_index[question]) if question in by_index else None,
        cosine=cosine,
        alike=facts.same and (cosine is None or cosine >= ALIKE),
        hidden=hidden.get(question, 0),
        halves=halves.get(question),
    )


def _judged(question: int, one: Asked, seen: _Seen) -> Judged:
    graded = zip(seen.right.positions[question], seen.right.grades[question], strict=True)
    return Judged(
        question=one.id,
        ranking=[seen.ids[position] for position in seen.nearest.top(question, seen.nearest.positions.shape[1])],
        right={seen.ids[position]: grade for position, grade in graded},
        first_rank=int(seen.first_rank[question]) or None,
    )


def _assessed(
    question: int, one: Asked, seen: _Seen, judged: Judged, verdict: Verdict, scores: dict[str, float] | None
) -> Assessed:
    return Assessed(
        asked=one,
        ranking=tuple(judged.ranking),
        distances=seen.nearest.distances[question, : len(judged.ranking)],
        right=tuple(judged.right.get(id, 0) > 0 for id in judged.ranking),
        right_chunks=seen.right.count(question),
        first_rank=judged.first_rank,
        verdict=verdict,
        scores=scores,
    )


def _check_of(facts: ModelFacts) -> ModelCheck | None:
    if facts.median_cosine is None:
        return None
    return ModelCheck(facts.checked, facts.median_cosine, facts.fell_out)


def _findings(setting: Setting, seen: _Seen, facts: ModelFacts) -> list[Finding]:
    top = seen.nearest.positions[:, : setting.top_k]
    retrievals = np.bincount(top[top >= 0], minlength=seen.nearest.rows)
    back = np.flatnonzero(retrievals).tolist()
    return find_all(
        seen.texts,
        facts,
        zero_vectors=seen.nearest.zero_vectors,
        lost=seen.nearest.lost,
        retrievals=retrievals,
        retrieved_ids=[(position, seen.ids[position]) for position in back],
        questions=len(top),
        sources=Counter(source for source in seen.sources if source is not None),
        retrieved_sources=Counter(str(seen.sources[position]) for position in back),
        top_k=setting.top_k,
    )


def _joined(batches: Iterable[Batch]) -> Batch:
    every = list(batches)
    return Batch(
        ids=[chunk for batch in every for chunk in batch.ids],
        vectors=np.concatenate([batch.vectors for batch in every]),
        texts=[text for batch in every for text in batch.texts],
        metadatas=[metadata for batch in every for metadata in batch.metadatas],
    )
