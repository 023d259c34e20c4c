"""Judge a question set against a collection: ranks, right chunks, metrics, a verdict each, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from exporter.embedding.check import ALIKE
from exporter.evaluation.findings import Finding, ModelFacts, Texts, find_all
from exporter.evaluation.lexical import Words, beside
from exporter.evaluation.metrics import DEPTH, Judged, nowhere, score, summarise
from exporter.evaluation.question_sets import Asked, QuestionSet, Target
from exporter.evaluation.relevance import Borders, Documents, Right, words_decide
from exporter.evaluation.verdicts import ANSWER_UNKNOWN, Evidence, Verdict, decide
from exporter.records import Batch, Float32, Float64, Int64, Nearest, Progress, Space, source_of
from exporter.retrieval.answers import Matcher, holding
from exporter.retrieval.distance import pair_distances
from exporter.retrieval.nearest import Ranker, count_nearer
from exporter.sources import Rows
from exporter.workflows.assessment import Assessed, Assessment, Setting
from exporter.workflows.checks import ask_the_index, cosines_again, is_lost, model_facts, rounding
from exporter.workflows.collections import refuse_none

MEASURED = 2000
"""How many texts are counted in the model's tokens."""


@dataclass(frozen=True)
class _Set:
    """The questions, what finds their answers, and their (q, d) vectors."""

    asked: Sequence[Asked]
    matchers: Sequence[Matcher | None]
    vectors: Float32

    @property
    def deciding(self) -> list[Matcher | None]:
        """The matchers of those whose words say what is right."""
        return [matcher if words_decide(one) else None for one, matcher in zip(self.asked, self.matchers, strict=True)]


@dataclass(frozen=True)
class _Elsewhere:
    """What is known of right chunks that the ranking has not, by question.

    `hidden`: grades of those that the filter hides; `away`: their distances. `unmet`: what is listed and is of no
    chunk. `halves`: the chunks in which an answer begins and ends; `words`: how many chunks hold one, whatever the ids
    say.
    """

    unmet: Mapping[int, list[Target]]
    halves: Mapping[int, tuple[str, str]]
    words: Mapping[int, int]
    hidden: Mapping[int, dict[str, int]] = field(default_factory=dict)
    away: Mapping[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    """What reading the collection gave. `first_rank` (q,) and `first_distance` of the nearest right chunk, 0 where
    there is none, `first_position` -1. `word_rank`: by BM25, of the first right chunk; None where that was not wanted.
    `sample` are some chunks, `sample_positions` where they stand.
    """

    ids: Sequence[str]
    sources: Sequence[str | None]
    nearest: Nearest
    right: Right
    texts: Texts
    first_position: Int64
    first_distance: Float64
    first_rank: Int64
    word_rank: Sequence[int | None] | None
    sample: Batch
    sample_positions: Int64
    elsewhere: _Elsewhere | None

    def graded(self, question: int) -> dict[str, int]:
        """The grades of the chunks that were judged for it, by id."""
        return {self.ids[position]: grade for position, grade in self.right.graded(question)}


def assess(
    asked: QuestionSet, matchers: Sequence[Matcher | None], vectors: Float32, setting: Setting, progress: Progress
) -> Assessment:
    """Judge every question, by the (q, d) `vectors` of their texts.

    Raises QueryError when the filter leaves no chunk, RowsError when no chunk has a vector.
    """
    questions = _Set(asked.questions, matchers, vectors)
    filters = {"where": setting.where, "where_document": setting.where_document}
    seen = setting.source.read(setting.collection, partial(_look, questions, setting, progress), **filters)
    elsewhere = seen.elsewhere or setting.source.read(
        setting.collection, partial(_look_behind, questions, setting.metric, seen, progress)
    )
    warnings = [*asked.warnings, *_unmet(elsewhere)]
    facts, check = model_facts(setting.model, seen.sample, progress)
    missed = set(seen.first_position[seen.first_rank > setting.top_k].tolist())
    cosines = cosines_again(setting.model, seen.sample, seen.sample_positions, missed, progress)
    lost, index_recall = _lost_by_index(vectors, setting, seen, progress, warnings)
    verdicts = [
        decide(_evidence(question, one, setting, seen, elsewhere, facts, cosines, question in lost))
        for question, one in enumerate(asked.questions)
    ]
    judged = [_judged(question, one, seen, elsewhere) for question, one in enumerate(asked.questions)]
    known = [question for question, verdict in enumerate(verdicts) if verdict.kind != ANSWER_UNKNOWN]
    progress("scoring", 0, None)
    scores = dict(zip(known, score([judged[question] for question in known], setting.top_k), strict=True))
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
        check=check,
        lexical=None
        if seen.word_rank is None
        else beside(
            [asked.questions[question].id for question in known],
            [seen.word_rank[question] for question in known],
            [judged[question].first_rank for question in known],
            setting.top_k,
        ),
        index_recall=index_recall,
    )


def _look(asked: _Set, setting: Setting, progress: Progress, rows: Rows) -> _Seen:
    """One pass for ranks, right chunks and texts; one more for the ranks of right chunks far down, and one for answers
    across borders, where some are.
    """
    refuse_none(rows)
    ranker = Ranker(asked.vectors, setting.metric, max(DEPTH, setting.top_k))
    right, texts, documents, deciding = Right(asked.asked), Texts(), Documents(), asked.deciding
    words = Words() if setting.words else None
    ids: list[str] = []
    sources: list[str | None] = []
    known: dict[str | None, str | None] = {}  # one object a source, not one a chunk
    first_position, first_distance = np.full(len(asked.asked), -1, np.int64), np.full(len(asked.asked), np.inf)
    for batch in rows.batches(texts=True, metadatas=True):
        ranker.add(batch)
        questions, places = right.add(batch, holding(batch.texts, deciding), len(ids))
        away = pair_distances(batch.vectors[places], asked.vectors[questions], setting.metric)
        for question, place, distance in zip(questions.tolist(), places.tolist(), away.tolist(), strict=True):
            if distance < first_distance[question]:  # of equals the first in stored order; a lost vector is NaN
                first_distance[question], first_position[question] = distance, len(ids) + place
        for id, text in zip(batch.ids, batch.texts, strict=True):
            texts.add(id, text)
        documents.add(batch.metadatas)
        if words is not None:
            words.add(batch.texts)
        ids += batch.ids
        sources += [known.setdefault(source, source) for source in map(source_of, batch.metadatas)]
        progress("reading", len(ids), rows.count)
    word_rank = None
    if words is not None:
        progress("ranking by words", 0, None)
        right_places = [right.right_positions(question) for question in range(len(asked.asked))]
        word_rank = words.first_ranks([one.text for one in asked.asked], right_places)
    nearest = ranker.nearest()
    first_rank = _ranks(nearest, asked.vectors, setting.metric, first_position, first_distance, rows)
    wanted = set(np.linspace(0, len(ids) - 1, min(MEASURED, len(ids))).astype(int).tolist())
    wanted |= set(first_position[first_rank > setting.top_k].tolist())
    positions = np.array(sorted(wanted), np.int64)
    return _Seen(
        ids=ids,
        sources=sources,
        nearest=nearest,
        right=right,
        texts=texts,
        first_position=first_position,
        first_distance=first_distance,
        first_rank=first_rank,
        word_rank=word_rank,
        sample=_joined(rows.take(positions)),
        sample_positions=positions,
        elsewhere=None if setting.filtered else _across(asked, right, documents, rows, progress),
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


def _across(asked: _Set, right: Right, documents: Documents, rows: Rows, progress: Progress) -> _Elsewhere:
    """Of the whole collection: what is of no chunk, and answers across borders, of questions that no chunk answers."""
    missing = {
        question: (asked.asked[question], matcher)
        for question, matcher in enumerate(asked.matchers)
        if matcher is not None and not right.positions[question]
    }
    borders, done = Borders(missing, documents.in_order() if missing else {}), 0
    for batch in rows.batches(texts=True) if missing else ():
        borders.add(batch, done)
        done += len(batch)
        progress("looking for answers that were cut", done, rows.count)
    unmet = {question: right.unmet(question) for question in range(len(asked.asked))}
    return _Elsewhere(unmet, borders.found, borders.held)


def _look_behind(asked: _Set, metric: Space, seen: _Seen, progress: Progress, rows: Rows) -> _Elsewhere:
    """Without the filter: which right chunks it hides, of every question; and answers across borders."""
    right, documents, deciding, done = Right(asked.asked), Documents(), asked.deciding, 0
    visible = [seen.graded(question) for question in range(len(asked.asked))]
    hidden: list[dict[str, int]] = [{} for _ in asked.asked]
    away: list[list[float]] = [[] for _ in asked.asked]
    for batch in rows.batches(texts=True, metadatas=True):
        questions, places = right.add(batch, holding(batch.texts, deciding), done)
        distances = pair_distances(batch.vectors[places], asked.vectors[questions], metric)
        for question, place, distance in zip(questions.tolist(), places.tolist(), distances.tolist(), strict=True):
            if batch.ids[place] not in visible[question]:
                hidden[question][batch.ids[place]] = right.grade(question, done + place)
                away[question].append(distance)
        documents.add(batch.metadatas)
        done += len(batch)
        progress("looking behind the filter", done, rows.count)
    found = _across(asked, right, documents, rows, progress)
    return replace(found, hidden=dict(enumerate(hidden)), away=dict(enumerate(away)))


def _unmet(elsewhere: _Elsewhere) -> list[str]:
    """A warning of what is listed and is of no chunk."""
    unmet = [target for targets in elsewhere.unmet.values() for target in targets]
    if not unmet:
        return []
    examples = ", ".join(dict.fromkeys(str(target) for target in unmet[:3]))
    what = (
        "1 relevant id or source of the set is"
        if len(unmet) == 1
        else f"{len(unmet):,} relevant ids or sources of the set are"
    )
    return [f"{what} of no chunk ({examples})"]


def _lost_by_index(
    vectors: Float32, setting: Setting, seen: _Seen, progress: Progress, warnings: list[str]
) -> tuple[set[int], float | None]:
    """The questions whose right chunks are in the exact top k, and not in what Chroma's own query returns; and the
    share of the exact top k that it returns, over all questions, None where it can't say. Equals stand for each other.
    """
    top_k = min(setting.top_k, seen.nearest.rows - seen.nearest.lost)
    answers = ask_the_index(vectors, setting, top_k, progress, warnings)
    lost, shares = set(), []
    for question, returned in enumerate(answers or ()):
        positions, distances = seen.nearest.top(question, seen.nearest.rows), seen.nearest.distances[question].tolist()
        nearest = {seen.ids[position]: distance for position, distance in zip(positions, distances, strict=False)}
        right = {id for id, grade in seen.graded(question).items() if grade > 0}
        beyond = distances[len(positions) - 1]
        last = distances[top_k - 1]
        near = last + rounding(setting.metric, vectors[question], last)
        shares.append(sum(nearest.get(id, np.inf) <= near for id in returned) / top_k)
        if not 0 < seen.first_rank[question] <= setting.top_k:
            continue
        first = float(seen.first_distance[question])
        if is_lost(returned, right, nearest, beyond, first, rounding(setting.metric, vectors[question], first), top_k):
            lost.add(question)
    return lost, float(np.mean(shares)) if shares else None


def _evidence(
    question: int,
    one: Asked,
    setting: Setting,
    seen: _Seen,
    elsewhere: _Elsewhere,
    facts: ModelFacts,
    cosines: Mapping[int, float],
    lost: bool,
) -> Evidence:
    rank = int(seen.first_rank[question]) or None
    last = seen.nearest.distances[question, min(setting.top_k, seen.nearest.distances.shape[1]) - 1]
    first_distance = float(seen.first_distance[question])
    position = int(seen.first_position[question])
    behind = [distance for distance in elsewhere.away.get(question, ()) if np.isfinite(distance)]
    return Evidence(
        asked=bool(one.answers) or any(target.grade > 0 for target in one.relevant),
        top_k=setting.top_k,
        rows=seen.nearest.rows,
        right=seen.right.count(question),
        first_rank=rank,
        first_distance=first_distance if rank else None,
        last_distance=float(last),
        lost=lost,
        cosine=cosines.get(position),
        median_cosine=facts.median_cosine,
        alike=ALIKE,
        zero=bool(rank) and _is_zero(seen, position),
        hidden=len(elsewhere.hidden.get(question, ())),
        hidden_nearer=sum(distance < first_distance for distance in behind),
        hidden_distance=min(behind, default=None),
        halves=elsewhere.halves.get(question),
        words=elsewhere.words.get(question, 0),
    )


def _is_zero(seen: _Seen, position: int) -> bool:
    """Is its vector all zeros? Known of those that were missed, which are in the sample."""
    row = int(np.searchsorted(seen.sample_positions, position))
    there = row < len(seen.sample_positions) and seen.sample_positions[row] == position
    return there and not seen.sample.vectors[row].any()


def _judged(question: int, one: Asked, seen: _Seen, elsewhere: _Elsewhere) -> Judged:
    """What it ranks, and all that is right: also what the filter hides, and what is of no chunk."""
    gone = {
        target.id if target.id is not None else nowhere(str(target)): target.grade
        for target in elsewhere.unmet.get(question, ())
        if target.grade > 0
    }
    return Judged(
        question=one.id,
        ranking=[seen.ids[position] for position in seen.nearest.top(question, seen.nearest.positions.shape[1])],
        right={**gone, **elsewhere.hidden.get(question, {}), **seen.graded(question)},
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
        retrieved_sources=Counter(source for source in map(seen.sources.__getitem__, back) if source is not None),
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
