"""The main job: a collection and questions in, a run of the Projector out."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from exporter.embedding import models
from exporter.embedding.check import ModelCheck, compare
from exporter.errors import ModelError, OutputError, QueryError, UsageError
from exporter.records import Batch, Collection, Float32, Int64, Progress, Question, Scores, Space, no_progress
from exporter.retrieval.answers import MATCHES, Matcher, match_any
from exporter.retrieval.distance import METRICS
from exporter.retrieval.sample import sample
from exporter.retrieval.scan import question_distance, scan
from exporter.runs import folder, publish
from exporter.runs.metadata import table
from exporter.runs.points import CHUNK, Points, arrange
from exporter.runs.readme import readme
from exporter.runs.verify import ROWS_SHOWN, structural_faults
from exporter.sharing.picture import save
from exporter.sources import NO_ACCESS, Access, Filter, Rows, open_source
from exporter.workflows.collections import choose
from exporter.workflows.pictures import DARTBOARD, MAP, OpenOn, Pictures, Projection, draw_pictures
from exporter.workflows.plot import draw_run
from exporter.workflows.run import Run, open_run

CHECKED = 16
"""How many stored chunks are embedded again to see whether the model is the collection's."""

DISTANCES = {
    "l2": "Euclidean: the L2 norm of the difference (Chroma's own l2 is its square; the order is the same)",
    "cosine": "1 - cosine",
    "ip": "1 - dot product",
}


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """All that can be asked of an export; the command line's options bear the same names.

    `source`: a Chroma directory, a server's address, a chromadb `Collection` or a LangChain `Chroma`. `access`: what a
    server wants to know. `model`: `auto`, a sentence-transformers name or path, or a LangChain `Embeddings`. `columns`:
    the collection's own metadata keys to show, None for all. Raises UsageError where the options don't fit together.
    """

    source: Any
    questions: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    collection: str | None = None
    access: Access = NO_ACCESS
    answer_match: str = "normalized"
    top_k: int = 10
    metric: Space | Literal["auto"] = "auto"
    where: Filter | None = None
    where_document: Filter | None = None
    model: str | models.Encoder = "auto"
    strict_model: bool = False
    question_vector: Path | None = None
    max_points: int = 20_000
    seed: int = 0
    projection: Projection = "auto"
    open_on: OpenOn = "question"
    sprites: bool = True
    lines: bool = True
    logdir: Path = Path("logs")
    run: str | None = None
    overwrite: bool = False
    tensor_format: folder.TensorFormat = "bytes"
    tsv: bool = True
    columns: tuple[str, ...] | None = None
    text_length: int = 300

    def __post_init__(self) -> None:
        if not self.questions and self.question_vector is None:
            raise UsageError('nothing is asked: give a question, as in --question "How do I ...?"')
        if any(not question.strip() for question in self.questions):
            raise UsageError("a question is blank: give its words by --question")
        if len(self.answers) > 1 and 1 < len(self.questions) != len(self.answers):
            raise UsageError(
                f"{len(self.answers)} answers for {len(self.questions)} questions: give one for all, or one for each"
            )
        if self.answer_match not in MATCHES or self.metric not in ("auto", *METRICS):
            raise UsageError(f"unknown answer match {self.answer_match!r} or metric {self.metric!r}")
        if self.top_k < 1 or self.max_points < 2 or self.text_length < 0:
            raise UsageError("--top-k must be at least 1, --max-points 2, --text-length 0")
        if self.max_points > ROWS_SHOWN:
            raise UsageError(f"--max-points {self.max_points}: the Projector loads {ROWS_SHOWN:,} rows at most")
        if self.run is not None and not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._ -]*", self.run):
            raise UsageError(f"--run {self.run!r}: a run's name has letters, digits, '.', '_', '-' and spaces only")

    def answers_to(self, question: int) -> tuple[str, ...]:
        """One question: any of the answers. Several: each its own, or one answer for all."""
        paired = len(self.questions) > 1 and len(self.answers) > 1
        return (self.answers[question],) if paired else self.answers


@dataclass(frozen=True)
class _Seen:
    """What one reading of the collection gave: scores of all of it, and the chunks that are shown."""

    scores: Scores
    positions: Int64
    shown: Batch
    rule: str


def export(
    source: Any,
    *,
    question: str | Sequence[str] = (),
    answer: str | Sequence[str] = (),
    progress: Progress = no_progress,
    **options: Any,
) -> Run:
    """Export a run and return it; `options` are the fields of `ExportRequest`.

    Raises an ExporterError, whose text says what is wrong and what to do; nothing is written then.
    """
    for name in ("logdir", "question_vector"):
        if options.get(name) is not None:
            options[name] = Path(options[name])
    request = ExportRequest(source=source, questions=_several(question), answers=_several(answer), **options)
    return write_export(request, progress)


def write_export(request: ExportRequest, progress: Progress = no_progress) -> Run:
    """Carry out a request."""
    matchers = [match_any(request.answers_to(i), request.answer_match) for i in range(max(1, len(request.questions)))]
    source = open_source(request.source, request.access)
    collection = choose(source.collections(), request.collection, request.access.database, source.location)
    name = request.run or default_name(collection.name, request.questions)
    publish.check_target(request.logdir, name, overwrite=request.overwrite)
    questions, model = _embed_questions(request, collection, progress)
    metric: Space = collection.space if request.metric == "auto" else request.metric
    seen = source.read(
        collection,
        partial(_score_and_select, request, questions, matchers, metric, progress),
        where=request.where,
        where_document=request.where_document,
    )
    check = None if model is None else _check_model(model, seen.shown, progress)
    if check is not None and check.warning and request.strict_model:
        raise ModelError(f"{check.warning}; name the right one by --model")
    own = np.array([question_distance(question.vector, metric) for question in questions])
    points = arrange(seen.shown, seen.positions, questions, seen.scores, own, request.top_k)
    pictures = draw_pictures(
        points,
        questions,
        seen.scores,
        top_k=request.top_k,
        seed=request.seed,
        projection=request.projection,
        open_on=request.open_on,
        sprites=request.sprites,
        progress=progress,
    )
    facts = _facts(request, source.location, collection, questions, model, check, seen, points)
    facts["layouts"] = list(pictures.layouts)
    facts["focus"] = pictures.focus
    facts["drawn"] = {
        name: [[row, *glyph] for row, glyph in enumerate(drawn) if glyph.role != CHUNK]
        for name, drawn in ((DARTBOARD, pictures.around_glyphs), (MAP, pictures.map_glyphs))
    }
    return _write(request, name, points, pictures, facts, progress)


def default_name(collection: str, questions: Sequence[str]) -> str:
    """`<collection>-<slug of the first question>`, at most 60 of `[a-z0-9._-]`; with a hash where letters were lost."""
    text = questions[0] if questions else "question-vector"
    whole = f"{collection}-{text}"
    folded = unicodedata.normalize("NFKD", whole.casefold())
    base = "".join(character for character in folded if not unicodedata.combining(character))
    slug = re.sub(r"[^a-z0-9._]+", "-", base).strip("-.")
    lost = any(character.isalnum() and not character.isascii() for character in base)
    if lost or len(slug) > 60:
        slug = f"{slug[:53].rstrip('-.')}-{hashlib.sha256(whole.encode('utf-8', 'replace')).hexdigest()[:6]}"
    return slug.lstrip("-")


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _embed_questions(
    request: ExportRequest, collection: Collection, progress: Progress
) -> tuple[list[Question], models.Model | None]:
    model = None
    if request.question_vector is not None:
        texts = request.questions or (f"the vector in {request.question_vector.name}",)
        vectors, name = read_vectors(request.question_vector), f"the vector in {request.question_vector}"
        if len(vectors) != len(texts):
            raise UsageError(f"{request.question_vector} holds {len(vectors)} vectors for {len(texts)} questions")
    else:
        texts = request.questions
        progress("loading the model", 0, None)
        model = models.load_model(request.model, collection)
        progress("embedding the question", 0, None)
        vectors, name = model.embed_questions(texts), f"the model {model.name}"
    models.fit(vectors, collection, name)
    return [Question(text, vectors[i], request.answers_to(i)) for i, text in enumerate(texts)], model


def read_vectors(path: Path) -> Float32:
    """(q, d) float32 from a .npy file, or from JSON: a list of numbers, or a list of such lists."""
    try:
        loaded = np.load(path, allow_pickle=False) if path.suffix == ".npy" else json.loads(path.read_text("utf-8"))
        vectors = np.atleast_2d(np.asarray(loaded, dtype=np.float32))
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UsageError(
            f"--question-vector {path} can't be read as a .npy file or a JSON list of numbers: {error}"
        ) from None
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise UsageError(f"--question-vector {path} does not hold finite numbers, one vector a question")
    return vectors


def _score_and_select(
    request: ExportRequest,
    questions: Sequence[Question],
    matchers: Sequence[Matcher],
    metric: Space,
    progress: Progress,
    rows: Rows,
) -> _Seen:
    if rows.count == 0:
        raise QueryError("the filter leaves no chunk of the collection: loosen --where or --where-document")
    counted = _counted(rows.batches(texts=any(question.answers for question in questions)), rows.count, progress)
    scores = scan(counted, questions, matchers, metric)
    positions = sample(scores, top_k=request.top_k, max_points=request.max_points, seed=request.seed)
    return _Seen(scores, positions, _joined(rows.take(positions)), rows.rule)


def _counted(batches: Iterable[Batch], total: int, progress: Progress) -> Iterable[Batch]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        progress("reading", done, total)


def _joined(batches: Iterable[Batch]) -> Batch:
    every = list(batches)
    return Batch(
        ids=[chunk for batch in every for chunk in batch.ids],
        vectors=np.concatenate([batch.vectors for batch in every]),
        texts=[text for batch in every for text in batch.texts],
        metadatas=[metadata for batch in every for metadata in batch.metadatas],
    )


def _check_model(model: models.Model, shown: Batch, progress: Progress) -> ModelCheck | None:
    """Embed some of the stored texts again, evenly spread; None when no chunk has a text."""
    with_text = [row for row, text in enumerate(shown.texts) if text and text.strip()]
    if not with_text:
        return None
    rows = [with_text[i] for i in np.linspace(0, len(with_text) - 1, min(CHECKED, len(with_text))).astype(int)]
    progress("checking the model", 0, None)
    return compare(shown.vectors[rows], model.embed_chunks([str(shown.texts[row]) for row in rows]))


def _facts(
    request: ExportRequest,
    location: str,
    collection: Collection,
    questions: Sequence[Question],
    model: models.Model | None,
    check: ModelCheck | None,
    seen: _Seen,
    points: Points,
) -> dict[str, Any]:
    """What the manifest says; the keys of `Run.to_json` among them."""
    scores = seen.scores
    hidden = np.ones(scores.rows, bool)
    hidden[seen.positions] = False
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": {"chroma-projector": version("chroma-projector"), "python": platform.python_version()},
        "source": {
            "location": location,
            "collection": collection.name,
            "database": collection.database,
            "rows": collection.rows,
            "dimension": collection.dimension,
            "space": collection.space,
            "space_from": collection.space_from,
            "reading_rule": seen.rule,
            "where": request.where,
            "where_document": request.where_document,
            "rows_after_filter": scores.rows,
        },
        "model": {
            "name": model.name if model else None,
            "origin": model.origin if model else "the question's vector was given",
            "median_cosine": check.median_cosine if check else None,
            "chunks_checked": check.checked if check else 0,
            "chunks_fell_out": check.fell_out if check else 0,
        },
        "metric": scores.metric,
        "distance": DISTANCES[scores.metric],
        "top_k": request.top_k,
        "answer_match": request.answer_match,
        "seed": request.seed,
        "max_points": request.max_points,
        "points": len(points),
        "left_out": int(hidden.sum()),
        "left_out_with_answer": int((hidden & scores.holds_answer).sum()),
        "questions": [_answered(i, question, seen, points, request) for i, question in enumerate(questions)],
        "warnings": _warnings(collection, check, seen, model),
    }


def _answered(index: int, question: Question, seen: _Seen, points: Points, request: ExportRequest) -> dict[str, Any]:
    row_of = {position: row for row, position in enumerate(points.position.tolist()) if position >= 0}
    hits = []
    for rank, position in enumerate(seen.scores.top(index, request.top_k).tolist(), start=1):
        row = row_of[position]
        hits.append(
            {
                "rank": rank,
                "id": points.ids[row],
                "distance": float(seen.scores.distances[index, position]),
                "source": points.source(row),
                "page": points.page(row),
                "contains_answer": bool(seen.scores.answers[index, position]),
                "text": " ".join((points.texts[row] or "").split())[: request.text_length],
            }
        )
    first = seen.scores.first_answer_rank(index)
    holding = int(seen.scores.answers[index].sum())
    return {
        "text": question.text,
        "answers": list(question.answers),
        "chunks_with_answer": holding,
        "first_answer_rank": first,
        "verdict": verdict(bool(question.answers), first, holding, seen.scores.rows, request.top_k),
        "hits": hits,
    }


def verdict(asked: bool, first: int | None, holding: int, rows: int, top_k: int) -> str:
    """In one line: where the answer is. `holding` chunks hold it, the `first` of them by rank."""
    if not asked:
        return "no answer was given, so whether one was retrieved is not known: --answer TEXT marks it"
    if first is None:
        return f"no chunk holds the answer: it is in none of the {rows:,}"
    missed = f", missed by the top {top_k}" if first > top_k else ""
    return f"first chunk with the answer: rank {first:,} of {rows:,}{missed} ({holding:,} hold it)"


def _warnings(collection: Collection, check: ModelCheck | None, seen: _Seen, model: models.Model | None) -> list[str]:
    scores, found = seen.scores, []
    if check is not None and check.warning:
        found.append(check.warning)
    if model is not None and check is None:
        found.append("no chunk has a text, so whether the model is the collection's could not be checked")
    if scores.metric != collection.space:
        found.append(
            f"ranked by {scores.metric}, the collection retrieves by {collection.space}: ranks may differ from it"
        )
    if scores.zero_vectors:
        found.append(
            f"{scores.zero_vectors:,} chunks have a vector of zeros"
            + (", distance 1 by cosine" if scores.metric == "cosine" else "")
        )
    if scores.lost:
        names = ", ".join(scores.lost_ids) + (", ..." if scores.lost > len(scores.lost_ids) else "")
        found.append(f"{scores.lost:,} chunks have no vector in the index or the log, and are left out: {names}")
    if seen.shown.vectors.shape[1] < 3:
        found.append(
            "vectors of fewer than three dimensions are padded with zeros, or the Projector would show nothing"
        )
    return found


def _write(
    request: ExportRequest, name: str, points: Points, pictures: Pictures, facts: dict[str, Any], progress: Progress
) -> Run:
    progress("writing", 0, None)
    extras = {"README.txt": readme(facts).encode("utf-8", "replace")}
    if pictures.flat is not None:
        extras["picture.png"] = save(draw_run(facts, pictures), "png")
    contents = folder.Contents(
        vectors=points.vectors,
        tensors=pictures.tensors,
        table=table(points, columns=request.columns, text_length=request.text_length, lines=request.lines),
        facts=facts,
        flat=None if pictures.flat is None else pictures.flat.astype(np.float32),
        extras=extras,
    )
    with publish.stage(request.logdir, name, overwrite=request.overwrite) as staging:
        folder.fill(
            staging.folder,
            contents,
            now=time.time(),
            tensor_format=request.tensor_format,
            vectors_tsv=request.tsv,
        )
        if faults := structural_faults(staging.folder):
            raise OutputError(f"the run would not open, so it is not published: {'; '.join(faults)}")
        staging.publish()
    return open_run(request.logdir / name)
