"""A question set on disk, read, embedded and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.bounded import read_bounded
from exporter.embedding.models import Model
from exporter.errors import QueryError
from exporter.evaluation.question_sets import QuestionSet, from_records, read_qrels, read_questions
from exporter.records import Collection, Float32, Notice, Progress
from exporter.retrieval.answers import Matcher
from exporter.sources import Source
from exporter.workflows.assess import assess
from exporter.workflows.assessment import Assessment, Setting
from exporter.workflows.checks import CHECKED
from exporter.workflows.question_vectors import embed_questions
from exporter.workflows.request import RankingRequest


def load_set(questions: str | Path | Iterable[Mapping[str, Any]], qrels: str | Path | None = None) -> QuestionSet:
    """The set of a file, or of Python's objects. Raises QueryError for one that can't be read or understood."""
    if isinstance(questions, (str, Path)):
        asked = read_questions(Path(questions).name, _content(Path(questions), "--questions"))
    else:
        asked = from_records(questions)
    return asked if qrels is None else read_qrels(Path(qrels).name, _content(Path(qrels), "--qrels"), asked)


def _content(path: Path, option: str) -> bytes:
    try:
        return read_bounded(path)
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
) -> tuple[Assessment, Float32, Model | None]:
    """What becomes of each question; their (q, d) vectors, and the model that made them, None when a file did."""
    texts = [one.text for one in asked.questions]
    vectors, model = embed_questions(texts, request, collection, CHECKED + len(texts), progress, notice)
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
