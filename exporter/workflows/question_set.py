"""A question set on disk, read, embedded and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.embedding import models
from exporter.embedding.cache import users_cache
from exporter.errors import ModelError, QueryError, UsageError
from exporter.evaluation.question_sets import QuestionSet, from_records, read_qrels, read_questions
from exporter.records import Collection, Float32, Notice, Progress
from exporter.retrieval.answers import Matcher
from exporter.sources import Source
from exporter.workflows.assess import assess
from exporter.workflows.assessment import Assessment, Setting
from exporter.workflows.checks import CHECKED
from exporter.workflows.request import RankingRequest, read_vectors

EMBEDDED_AT_ONCE = 64


def load_set(questions: str | Path | Iterable[Mapping[str, Any]], qrels: str | Path | None = None) -> QuestionSet:
    """The set of a file, or of Python's objects. Raises QueryError for one that can't be read or understood."""
    if isinstance(questions, (str, Path)):
        asked = read_questions(Path(questions).name, _content(Path(questions), "--questions"))
    else:
        asked = from_records(questions)
    return asked if qrels is None else read_qrels(Path(qrels).name, _content(Path(qrels), "--qrels"), asked)


def _content(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise QueryError(f"{option} {path} can't be read: {error.strerror or error}") from None


def judge_set(
    asked: QuestionSet,
    matchers: Sequence[Matcher | None],
    request: RankingRequest,
    source: Source,
    collection: Collection,
    progress: Progress,
    notice: Notice,
) -> tuple[Assessment, Float32, models.Model | None]:
    """What becomes of each question; their (q, d) vectors, and the model that made them, None when a file did."""
    vectors, model = _embed(asked, collection, request, progress, notice)
    setting = Setting(
        source,
        collection,
        request.metric_of(collection),
        model,
        request.top_k,
        request.where,
        request.where_document,
        request.index,
        request.words,
    )
    return assess(asked, matchers, vectors, setting, progress), vectors, model


def _embed(
    asked: QuestionSet, collection: Collection, request: RankingRequest, progress: Progress, notice: Notice
) -> tuple[Float32, models.Model | None]:
    texts, given = [one.text for one in asked.questions], request.question_vector
    if given is not None:
        vectors = read_vectors(given)
        if len(vectors) != len(texts):
            raise UsageError(f"{given} holds {len(vectors)} vectors for {len(texts)} questions")
        return models.fit(vectors, collection, f"the vectors in {given}"), None
    progress("loading the model", 0, None)
    cache = users_cache() if request.cache else None
    model = models.load_model(request.model, collection, request.base_url, cache)
    if model.host:
        most = CHECKED + len(texts)
        asking = "1 question" if len(texts) == 1 else f"{len(texts):,} questions"
        notice(f"{asking}, and up to {most:,} chunks to check the model, are sent to {model.host}")
    parts: list[Float32] = []
    for start in range(0, len(texts), EMBEDDED_AT_ONCE):
        progress("embedding the questions", start, len(texts))
        parts.append(model.embed_questions(texts[start : start + EMBEDDED_AT_ONCE]))
        if start == 0:
            models.fit(parts[0], collection, f"the model {model.name}")
    if len({part.shape[1] for part in parts}) > 1:
        raise ModelError(f"the model {model.name} gives vectors of several dimensions")
    return np.concatenate(parts), model
