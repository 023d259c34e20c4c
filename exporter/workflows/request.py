"""What can be asked of an export."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from exporter.bounded import LARGEST
from exporter.embedding.encoders import Encoder
from exporter.engines import EngineName, check_engine
from exporter.errors import QueryError, UsageError
from exporter.evaluation.question_sets import QuestionSet
from exporter.records import Answer, Collection, Space
from exporter.retrieval.answers import FUZZY, MATCHES, Matcher, match_any
from exporter.retrieval.distance import METRICS
from exporter.runs.folder import TensorFormat
from exporter.runs.redaction import Redaction
from exporter.runs.verify import ROWS_SHOWN
from exporter.sharing.parquet import check_installed
from exporter.sources import NO_ACCESS, Access, Filter, is_server
from exporter.workflows.pictures import OpenOn, Projection

Read = Literal["auto", "whole", "sample"]
"""What of a server is read; auto: a part of it, when it holds far more than is shown."""

_LONGEST_NAME = 120


@dataclass(frozen=True, kw_only=True)
class RankingRequest:
    """How a collection is to be ranked; the command line's options bear the same names.

    `source`: a Chroma directory, a server's address, a chromadb `Collection` or a LangChain `Chroma`. `access`: what a
    server wants to know. `model`: as `embedding.load_model` takes it. `cache`: take the vectors of texts that the same
    model has embedded before. `question_vector`: a file with the questions' vectors. `index`: ask Chroma's own index
    what it loses of a set; `words`: rank the set by plain words, too. Raises UsageError where the
    options don't fit together.
    """

    source: Any
    collection: str | None = None
    access: Access = NO_ACCESS
    answer_match: str = "normalized"
    ignore_accents: bool = False
    fuzzy_threshold: float = FUZZY
    top_k: int = 10
    metric: Space | Literal["auto"] = "auto"
    where: Filter | None = None
    where_document: Filter | None = None
    model: str | Encoder = "auto"
    base_url: str | None = None
    cache: bool = True
    question_vector: Path | None = None
    index: bool = True
    words: bool = True

    def __post_init__(self) -> None:
        if self.answer_match not in MATCHES or self.metric not in ("auto", *METRICS):
            raise UsageError(f"unknown answer match {self.answer_match!r} or metric {self.metric!r}")
        if not 0 < self.fuzzy_threshold <= 100:
            raise UsageError(f"--fuzzy-threshold {self.fuzzy_threshold:g}: it is above 0, and 100 at most")
        if self.top_k < 1:
            raise UsageError("--top-k must be at least 1")

    def metric_of(self, collection: Collection) -> Space:
        """What distances are by: the collection's own metric, unless another one was asked for."""
        return collection.space if self.metric == "auto" else self.metric

    def matchers_of(self, asked: QuestionSet) -> list[Matcher | None]:
        """What finds an answer to each question of a set in a text; None where it has none.

        Raises QueryError for an answer that is no regular expression, with the line where it stands.
        """
        found: list[Matcher | None] = []
        for one in asked.questions:
            try:
                found.append(self.matcher(one.answers) if one.answers else None)
            except QueryError as error:
                raise QueryError(f"{one.where}: {error}") from None
        return found

    def matcher(self, answers: Sequence[Answer]) -> Matcher:
        """What finds any of these answers. Raises QueryError for one that is no regular expression."""
        return match_any(answers, self.answer_match, accents=not self.ignore_accents, threshold=self.fuzzy_threshold)


@dataclass(frozen=True, kw_only=True)
class ExportRequest(RankingRequest):
    """All that can be asked of an export.

    `question_set`: a file, or Python's own objects with the names that a .jsonl has; `qrels` its judgements.
    `retrieved`: the ids that an application returned, in its order, for each question. `columns`: the collection's own
    metadata keys to show, None for all. `dashboards`: fill the other tabs for a question, too. `parquet`: with
    points.parquet. `text`: with the chunks' texts; `redact`: columns whose cells are left out; `anonymize_ids`: with
    others in the ids' place. `engine`: where a server's chunks are scored; `ray_address` and `workers` as
    `exporter.engines.engine` has them. Raises UsageError where the options don't fit together.
    """

    questions: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    all_answers: bool = False
    question_set: Any = None
    qrels: str | Path | None = None
    strict_model: bool = False
    retrieved: tuple[tuple[str, ...], ...] = ()
    max_points: int = 20_000
    read: Read = "auto"
    seed: int = 0
    projection: Projection = "auto"
    open_on: OpenOn = "question"
    sprites: bool = True
    lines: bool = True
    logdir: Path = Path("logs")
    run: str | None = None
    overwrite: bool = False
    tensor_format: TensorFormat = "bytes"
    tsv: bool = True
    columns: tuple[str, ...] | None = None
    text_length: int = 300
    dashboards: bool = False
    parquet: bool = False
    text: bool = True
    redact: tuple[str, ...] = ()
    anonymize_ids: bool = False
    engine: EngineName = "local"
    ray_address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.engine == "ray" and (not is_server(self.source) or self.question_set is not None):
            raise UsageError(
                "--engine ray is for a server's collection and one or some questions: a directory is read by this "
                "machine, a question set too"
            )
        if self.read == "sample" and (not is_server(self.source) or self.question_set is not None):
            raise UsageError(
                "--read sample is for one or some questions to a server: a directory, a live collection and a question "
                "set are read whole"
            )
        if self.engine == "ray" and self.read == "sample":
            raise UsageError("--engine ray reads all chunks: leave --read sample away")
        check_engine(self.engine, self.ray_address, self.workers)
        if self.question_set is not None and (self.questions or self.answers or self.retrieved):
            raise UsageError(
                "a question set brings its questions and answers with it: give --questions alone, without --question, "
                "--answer and --retrieved"
            )
        if self.question_set is None and self.qrels is not None:
            raise UsageError("--qrels judges the questions of a set: give that by --questions")
        if not self.questions and self.question_set is None and self.question_vector is None:
            raise UsageError('nothing is asked: give a question, as in --question "How do I ...?"')
        if any(not question.strip() for question in self.questions):
            raise UsageError("a question is blank: give its words by --question")
        if len(self.answers) > 1 and 1 < len(self.questions) != len(self.answers):
            raise UsageError(
                f"{len(self.answers)} answers for {len(self.questions)} questions: give one for all, or one for each"
            )
        if self.retrieved and len(self.retrieved) != max(1, len(self.questions)):
            raise UsageError(
                f"--retrieved holds {len(self.retrieved)} lists of ids for {len(self.questions)} questions: one each"
            )
        if self.max_points < 2 or self.text_length < 0:
            raise UsageError("--max-points must be at least 2, --text-length 0")
        if self.max_points > ROWS_SHOWN:
            raise UsageError(f"--max-points {self.max_points}: the Projector loads {ROWS_SHOWN:,} rows at most")
        if self.run is not None:
            checked_name(self.run)
        if self.projection == "none" and self.open_on == "map":
            raise UsageError("--open-on map needs a map: leave --projection none away")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: a seed is 0 or more")
        for name in ("columns", "redact"):
            if isinstance(getattr(self, name), str):
                raise UsageError(f"{name} must be a list of names, not the text {getattr(self, name)!r}")
        if self.parquet:
            check_installed()
        _ = self.redaction  # a column that can't be redacted is told before anything is read
        for name, known in (
            ("projection", Projection),
            ("open_on", OpenOn),
            ("tensor_format", TensorFormat),
            ("read", Read),
        ):
            if getattr(self, name) not in get_args(known):
                raise UsageError(f"unknown {name} {getattr(self, name)!r}: use one of {', '.join(get_args(known))}")
        if any(not text.isprintable() and "\ud800" <= max(text) <= "\udfff" for text in self.questions + self.answers):
            raise UsageError("a question or an answer is not valid UTF-8: type it again")

    def answers_to(self, question: int) -> tuple[Answer, ...]:
        """One question: any of the answers, or all of them. Several: each its own, or one answer for all."""
        paired = len(self.questions) > 1 and len(self.answers) > 1
        if self.all_answers and not paired and len(self.answers) > 1:
            return (self.answers,)
        return (self.answers[question],) if paired else self.answers

    @cached_property
    def redaction(self) -> Redaction:
        """What is taken out before anything is written; `columns` is left to the table. Raises UsageError."""
        return Redaction(text=not self.text, ids=self.anonymize_ids, cells=tuple(self.redact))

    @property
    def texts(self) -> tuple[str, ...]:
        """The questions' texts; where only a vector was given, a name for it."""
        if self.questions or self.question_vector is None:
            return self.questions
        return (f"the vector in {self.question_vector.name}",)

    @property
    def set_name(self) -> str:
        """What a run of the set is named after."""
        return Path(self.question_set).stem if isinstance(self.question_set, (str, Path)) else "questions"

    def matchers(self) -> list[Matcher]:
        """What finds the answers to each question."""
        return [self.matcher(self.answers_to(question)) for question in range(len(self.texts))]


def checked_name(run: str) -> str:
    """The name, when a run may have it; the page puts it into addresses as it is. Raises UsageError."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._ -]*", run):
        raise UsageError(f"--run {run!r}: a run's name has letters, digits, '.', '_', '-' and spaces only")
    if len(run) > _LONGEST_NAME:
        raise UsageError(f"--run has {len(run)} characters: give {_LONGEST_NAME} at most")
    return run


def default_name(collection: str, questions: Sequence[str]) -> str:
    """`<collection>-<slug of the first question>`, at most 60 of `[a-z0-9._-]`; with a hash where letters were lost."""
    text = questions[0] if questions else "question-vector"
    whole = f"{collection}-{text}"
    folded = unicodedata.normalize("NFKD", whole.casefold())
    base = "".join(character for character in folded if not unicodedata.combining(character))
    slug = re.sub(r"[^a-z0-9._]+", "-", base).strip("-.")
    lost = re.search(
        r"[^a-z0-9\s._\-,;:!?'\"()/’…]", base
    )  # what two questions may differ by: 'C++', 'C#', other scripts
    if lost or len(slug) > 60:
        slug = f"{slug[:53].rstrip('-.')}-{hashlib.sha256(whole.encode('utf-8', 'replace')).hexdigest()[:6]}"
    return slug.lstrip("-")


def read_retrieved(text: str) -> tuple[tuple[str, ...], ...]:
    """`retrieved_ids` of a file: ids one a line, JSON, or JSON a line. Raises UsageError."""
    if len(text) > LARGEST:
        raise UsageError(f"--retrieved holds more than {LARGEST // 2**20} MB: give the ids that were returned")
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if text.lstrip()[:1] not in ("[", "{"):
        return retrieved_ids(lines)
    try:
        return retrieved_ids(json.loads(text))
    except (ValueError, RecursionError) as error:
        try:
            return retrieved_ids([json.loads(line) for line in lines])
        except (ValueError, RecursionError):
            raise UsageError(f"--retrieved begins like JSON and is none: {error}") from None


def retrieved_ids(found: Any) -> tuple[tuple[str, ...], ...]:
    """What an application returned: a list of ids, or of such lists, one a question.

    What has an `id`, as a LangChain `Document`, stands for it; what has `ids`, as the answer of Chroma's `query` or
    `get`, for all of them. Each id once, in order; blank ones aside. Raises UsageError for anything else.
    """
    if isinstance(found, Mapping):
        found = found.get("ids", [found])
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise UsageError(f"--retrieved holds {repr(found)[:80]} where a list of ids should be")
    found = list(found)
    if found and all(isinstance(one, list | tuple) or (isinstance(one, Mapping) and "ids" in one) for one in found):
        return tuple(ids for one in found for ids in retrieved_ids(one))
    return (_ids(found),)


def _ids(found: Sequence[Any]) -> tuple[str, ...]:
    ids: dict[str, None] = {}
    for one in found:
        name = one.get("id") if isinstance(one, Mapping) else getattr(one, "id", one)
        if not isinstance(name, str):
            raise UsageError(f"--retrieved holds {repr(one)[:80]} where an id should be: give texts, or what has an id")
        ids[name] = None
    ids.pop("", None)
    if not ids:
        raise UsageError("--retrieved holds no ids: give those that your application returned, one a line")
    return tuple(ids)
