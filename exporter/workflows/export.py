"""The main job: a collection and questions in, a run of the Projector out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from exporter.embedding import models
from exporter.embedding.check import ModelCheck, compare
from exporter.errors import ModelError, OutputError, QueryError, UsageError
from exporter.records import (
    Batch,
    Collection,
    Int64,
    Notice,
    Progress,
    Question,
    Scores,
    Space,
    no_notice,
    no_progress,
)
from exporter.retrieval.answers import Matcher, match_any
from exporter.retrieval.sample import sample
from exporter.retrieval.scan import question_distance, scan
from exporter.runs import folder, publish
from exporter.runs.metadata import Table, table
from exporter.runs.points import Points, arrange
from exporter.runs.readme import readme
from exporter.runs.verify import structural_faults
from exporter.sharing.picture import draw_run, panels, save
from exporter.sources import Rows, open_source, where
from exporter.workflows.collections import choose
from exporter.workflows.facts import Seen, facts_of
from exporter.workflows.pictures import Pictures, draw_pictures
from exporter.workflows.request import ExportRequest, default_name, read_vectors, retrieved_ids
from exporter.workflows.run import Run, open_run

CHECKED = 16
"""How many stored chunks are embedded again to see whether the model is the collection's."""


def export(
    source: Any,
    *,
    question: str | Sequence[str] | None = (),
    answer: str | Sequence[str] | None = (),
    progress: Progress = no_progress,
    notice: Notice = no_notice,
    **options: Any,
) -> Run:
    """Export a run and return it; `options` are the fields of `ExportRequest`; `notice` is told what leaves.

    Raises an ExporterError, whose text says what is wrong and what to do; nothing is written then.
    """
    for name in ("logdir", "question_vector"):
        if options.get(name) is not None:
            options[name] = Path(options[name])
    if options.get("retrieved") is not None:
        options["retrieved"] = retrieved_ids(options["retrieved"])
    request = ExportRequest(source=source, questions=_several(question), answers=_several(answer), **options)
    return write_export(request, progress, notice)


def write_export(request: ExportRequest, progress: Progress = no_progress, notice: Notice = no_notice) -> Run:
    """Carry out a request. `notice` is told, beforehand, what leaves this machine."""
    matchers = [match_any(request.answers_to(i), request.answer_match) for i in range(max(1, len(request.questions)))]
    where.parse(request.where, request.where_document)  # a bad filter is told before a model is loaded
    source = open_source(request.source, request.access)
    collection = choose(source.collections(), request.collection, request.access.database, source.location)
    name = request.run or default_name(collection.name, request.questions)
    publish.check_target(request.logdir, name, overwrite=request.overwrite)
    questions, model = _embed_questions(request, collection, progress, notice)
    metric: Space = collection.space if request.metric == "auto" else request.metric
    seen = source.read(
        collection,
        partial(_score_and_select, request, questions, matchers, metric, progress),
        where=request.where,
        where_document=request.where_document,
    )
    points = seen.points
    check = None if model is None else _check_model(model, points, progress)
    if check is not None and check.warning and request.strict_model:
        raise ModelError(f"{check.warning}; name the right one by --model")
    tabulate = partial(table, columns=request.columns, text_length=request.text_length, lines=request.lines)
    pictures = draw_pictures(
        points,
        questions,
        seen.scores,
        top_k=request.top_k,
        seed=request.seed,
        projection=request.projection,
        open_on=request.open_on,
        sprites=request.sprites,
        tabulate=tabulate,
        progress=progress,
    )
    facts = facts_of(request, source.location, collection, questions, model, check, seen, pictures)
    return _write(request, name, tabulate(points), pictures, facts, progress)


def _several(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _embed_questions(
    request: ExportRequest, collection: Collection, progress: Progress, notice: Notice
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
        model = models.load_model(request.model, collection, request.base_url)
        if model.host:
            notice(f"the question, and up to {CHECKED} chunks to check the model, are sent to {model.host}")
        progress("embedding the question", 0, None)
        vectors, name = model.embed_questions(texts), f"the model {model.name}"
    models.fit(vectors, collection, name)
    return [Question(text, vectors[i], request.answers_to(i)) for i, text in enumerate(texts)], model


def _score_and_select(
    request: ExportRequest,
    questions: Sequence[Question],
    matchers: Sequence[Matcher],
    metric: Space,
    progress: Progress,
    rows: Rows,
) -> Seen:
    if rows.count == 0:
        raise QueryError("the filter leaves no chunk of the collection: loosen --where or --where-document")
    places = dict.fromkeys(one for ids in request.retrieved for one in ids)
    batches = rows.batches(texts=any(question.answers for question in questions))
    scores = scan(_counted(_found(batches, places), rows.count, progress), questions, matchers, metric)
    scores = replace(scores, returned=_returned(request.retrieved, places, scores))
    positions = sample(scores, top_k=request.top_k, max_points=request.max_points, seed=request.seed)
    unknown = [one for one, place in places.items() if place is None]
    own = np.array([question_distance(question.vector, metric) for question in questions])
    points = arrange(rows.take(positions), positions, questions, scores, own, request.top_k)
    return Seen(scores, positions, points, rows.rule, unknown)


def _found(batches: Iterable[Batch], places: dict[str, int | None]) -> Iterator[Batch]:
    """The batches; the positions of some ids are noted on the way."""
    done = 0
    for batch in batches:
        for one in places.keys() & batch.ids if places else ():
            places[one] = done + batch.ids.index(one)
        done += len(batch)
        yield batch


def _returned(
    retrieved: Sequence[Sequence[str]], places: Mapping[str, int | None], scores: Scores
) -> tuple[Int64, ...]:
    """The positions of what the application returned for each question; ids that nothing is known of are left out."""
    returned = []
    for ids in retrieved:
        known = [place for place in map(places.__getitem__, ids) if place is not None]
        found = np.array([place for place in known if np.isfinite(scores.distances[0, place])], np.int64)
        if not len(found):
            raise UsageError(
                f"none of the {len(ids)} ids of --retrieved is a chunk that was read: the first is {ids[0]!r}"
            )
        returned.append(found)
    return tuple(returned)


def _counted(batches: Iterable[Batch], total: int, progress: Progress) -> Iterable[Batch]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        progress("reading", done, total)


def _check_model(model: models.Model, points: Points, progress: Progress) -> ModelCheck | None:
    """Embed some of the stored texts again, evenly spread; None when no chunk has a text."""
    chunks = np.flatnonzero(~points.is_question).tolist()
    with_text = [row for row in chunks if (points.texts[row] or "").strip()]
    if not with_text:
        return None
    rows = [with_text[i] for i in np.linspace(0, len(with_text) - 1, min(CHECKED, len(with_text))).astype(int)]
    progress("checking the model", 0, None)
    return compare(points.vectors[rows], model.embed_chunks([str(points.texts[row]) for row in rows]))


def _write(
    request: ExportRequest, name: str, rows: Table, pictures: Pictures, facts: dict[str, Any], progress: Progress
) -> Run:
    progress("writing", 0, None)
    about = readme(facts, sprites=request.sprites, lines=request.lines)
    extras = {"README.txt": about.encode("utf-8", "replace")}
    if pictures.flat is not None:
        halves = panels(pictures.around, pictures.flat, pictures.glyphs, pictures.layouts)
        extras["picture.png"] = save(draw_run(facts, halves), "png")
    contents = folder.Contents(
        tensors=pictures.tensors,
        table=rows,
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
