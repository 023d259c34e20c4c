"""The main job: a collection and questions in, a run of the Projector out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from exporter import engines
from exporter.embedding import models
from exporter.embedding.cache import users_cache
from exporter.embedding.check import ModelCheck
from exporter.engines import Engine, Local
from exporter.errors import ModelError, OutputError, QueryError, UsageError
from exporter.records import (
    Batch,
    Collection,
    Float32,
    Int64,
    ManyScores,
    Notice,
    Progress,
    Question,
    Scores,
    Space,
    no_notice,
    no_progress,
)
from exporter.retrieval.answers import Matcher
from exporter.retrieval.sample import sample
from exporter.retrieval.scan import question_distance, scan, survey
from exporter.runs import folder, publish
from exporter.runs.metadata import FIXED_COLUMNS, Table, table
from exporter.runs.points import Points, arrange
from exporter.runs.questions import questions_table
from exporter.runs.readme import README, readme
from exporter.runs.redaction import own_columns
from exporter.runs.verify import structural_faults
from exporter.runs.views import MOST_ENTRIES
from exporter.sharing.parquet import POINTS, points_table
from exporter.sharing.picture import Panel, draw_run, panels, save
from exporter.sources import Rows
from exporter.sources.paging import ClientSource, PagedRows
from exporter.workflows.assessment import Assessment
from exporter.workflows.boards import of_a_set, of_questions
from exporter.workflows.checks import CHECKED_FOR_ONE, embed_again
from exporter.workflows.collections import find_collection
from exporter.workflows.facts import Seen, facts_of
from exporter.workflows.partial_read import FAR, PartRead, read_part, reads_a_part
from exporter.workflows.pictures import OTHER_VIEWS, Pictures, draw_pictures
from exporter.workflows.question_set import judge_set, load_set
from exporter.workflows.redact import redact, what_leaves
from exporter.workflows.request import ExportRequest, default_name, read_vectors, retrieved_ids
from exporter.workflows.run import Run, open_run
from exporter.workflows.spread import score_spread

NOTHING_LEFT = "the filter leaves no chunk of the collection: loosen --where or --where-document"
_READ_ONCE = 20_000
"""So many rows, all of them shown, are read once and kept; of more the vectors would be in memory twice, and only a
server's are."""
HARDEST = 20
"""Questions of a set that have bookmarks of their own, at most."""


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
    return export_and_assess(request, progress, notice)[0]


def export_and_assess(
    request: ExportRequest, progress: Progress = no_progress, notice: Notice = no_notice
) -> tuple[Run, Assessment | None]:
    """The run, and of a question set what `evaluate` says of it."""
    name, contents, found = _gather(request, progress, notice)
    progress("writing", 0, None)
    with publish.stage(request.logdir, name, overwrite=request.overwrite) as staging:
        fill(request, staging, contents)
        del contents  # TensorBoard's own reader, which is asked next, has the vectors in memory once more
        publish_whole(staging)
    return open_run(request.logdir / name), found


def fill(request: ExportRequest, staging: publish.Staging, contents: folder.Contents) -> None:
    """Write the files of a run, not to be seen yet."""
    folder.fill(
        staging.folder,
        contents,
        now=time.time(),
        tensor_format=request.tensor_format,
        vectors_tsv=request.tsv,
        mark=staging.mark,
    )


def publish_whole(staging: publish.Staging) -> None:
    """Let it be seen. Raises OutputError, and publishes nothing, when it would not open."""
    if faults := structural_faults(staging.folder, staging.mark):
        raise OutputError(f"the run would not open, so it is not published: {'; '.join(faults)}")
    staging.publish()


def _gather(
    request: ExportRequest, progress: Progress, notice: Notice
) -> tuple[str, folder.Contents, Assessment | None]:
    """The run's name and all that goes into it."""
    asked = None if request.question_set is None else load_set(request.question_set, request.qrels)
    matchers = request.matchers() if asked is None else request.matchers_of(asked)
    source, collection = find_collection(request, notice)
    name = request.run or default_name(collection.name, request.questions if asked is None else [request.set_name])
    publish.check_target(request.logdir, name, overwrite=request.overwrite)
    metric = request.metric_of(collection)
    found: Assessment | None = None
    if asked is None:
        questions, model = _embed_questions(request, collection, progress, notice)
        select = partial(_score_and_select, request, questions, matchers, metric, progress)
        if reads_a_part(source, request, collection):
            select = partial(_read_a_part, request, questions, matchers, metric, progress, source, collection)
    else:
        found, vectors, model = judge_set(asked, matchers, request, source, collection, progress, notice)
        questions = [Question(one.text, vectors[i], one.answers) for i, one in enumerate(asked.questions)]
        select = partial(_survey_and_select, request, questions, found, metric, progress)
    with engines.engine(request.engine, request.ray_address, request.workers) as engine:
        if isinstance(source, ClientSource) and not isinstance(engine, Local):
            select = partial(
                _spread_and_select, request, questions, matchers, metric, progress, source, collection, engine
            )
        seen = source.read(collection, select, where=request.where, where_document=request.where_document)
    points = seen.points
    check = found.check if found is not None else None if model is None else check_model(model, points, progress)
    if check is not None and check.warning and request.strict_model:
        raise ModelError(f"{check.warning}; name the right one by --model")
    tabulate = partial(table, columns=request.columns, text_length=request.text_length, lines=request.lines)
    with ThreadPoolExecutor(1) as beside:  # cells are Python's work, pictures numpy's
        rows = beside.submit(tabulate, points)
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
    facts = facts_of(request, source.location, collection, questions, model, check, seen, pictures, found)
    facts["warnings"] += not_there(request.columns, rows.result())
    contents = contents_of(request, rows.result(), pictures, facts)
    boards = None if found is None else of_a_set(contents.facts, found)
    if request.dashboards and isinstance(seen.scores, Scores):
        boards = of_questions(contents.facts, seen.scores)
    if request.redaction:
        notice(f"{request.logdir / name} will hold {what_leaves(contents.facts, contents.table)}")
    return name, replace(contents, boards=None if boards is None else replace(boards, name=name)), found


def not_there(columns: Sequence[str] | None, rows: Table) -> list[str]:
    """A warning of names in `--columns` that are no key of a chunk that is shown: of a sample, another may have it."""
    shown = {*FIXED_COLUMNS, *rows.names, *rows.renamed}
    missing = [name for name in dict.fromkeys(columns or ()) if name not in shown]
    if not missing:
        return []
    own = sorted({*own_columns(rows.names), *rows.not_shown})
    has = f"there are {', '.join(own)}" if own else "they have none"
    return [f"--columns: no chunk that is shown has a key {', '.join(missing)}: {has}"]


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
        model = models.load_model(request.model, collection, request.base_url, users_cache() if request.cache else None)
        if model.host:
            notice(f"the question, and up to {CHECKED_FOR_ONE} chunks to check the model, are sent to {model.host}")
        progress("embedding the question", 0, None)
        vectors, name = model.embed_questions(texts), f"the model {model.name}"
    models.fit(vectors, collection, name)
    return [Question(text, vectors[i], request.answers_to(i)) for i, text in enumerate(texts)], model


def _score_and_select(
    request: ExportRequest,
    questions: Sequence[Question],
    matchers: Sequence[Matcher | None],
    metric: Space,
    progress: Progress,
    rows: Rows,
) -> Seen:
    if rows.count == 0:
        raise QueryError(NOTHING_LEFT)
    places = dict.fromkeys(one for ids in request.retrieved for one in ids)
    shown_whole = rows.count + len(questions) <= request.max_points
    once = shown_whole and (rows.count <= _READ_ONCE or isinstance(rows, PagedRows))
    batches = rows.batches(texts=once or any(question.answers for question in questions), metadatas=once)
    kept = list(_counted(batches, rows.count, progress)) if once else None
    read = _counted(batches, rows.count, progress) if kept is None else kept
    scores = scan(_found(read, places), questions, matchers, metric)
    return _select(request, questions, scores, rows, places, kept)


def _spread_and_select(
    request: ExportRequest,
    questions: Sequence[Question],
    matchers: Sequence[Matcher | None],
    metric: Space,
    progress: Progress,
    source: ClientSource,
    collection: Collection,
    engine: Engine,
    rows: Rows,
) -> Seen:
    """The same where an engine's workers score the chunks."""
    if not isinstance(rows, PagedRows) or rows.count == 0:
        raise QueryError(NOTHING_LEFT)
    named = (request.source, request.access, collection)
    scores = score_spread(engine, *named, questions, matchers, metric, rows, source.page, progress)
    places: dict[str, int | None] = dict.fromkeys(one for ids in request.retrieved for one in ids)
    places.update((one, position) for position, one in enumerate(rows.ids if places else ()) if one in places)
    return _select(request, questions, scores, rows, places)


def _read_a_part(
    request: ExportRequest,
    questions: Sequence[Question],
    matchers: Sequence[Matcher | None],
    metric: Space,
    progress: Progress,
    source: ClientSource,
    collection: Collection,
    rows: Rows,
) -> Seen:
    """The same where the server holds far more than is shown, also after the filter."""
    if not isinstance(rows, PagedRows) or (request.read == "auto" and rows.count <= FAR * request.max_points):
        return _score_and_select(request, questions, matchers, metric, progress, rows)
    if rows.count == 0:
        raise QueryError(NOTHING_LEFT)
    places = dict.fromkeys(one for ids in request.retrieved for one in ids)
    part = read_part(request, questions, matchers, metric, source, collection, places, rows, progress)
    return _select(request, questions, part.scores, rows, places, part=part)


def _survey_and_select(
    request: ExportRequest,
    questions: Sequence[Question],
    found: Assessment,
    metric: Space,
    progress: Progress,
    rows: Rows,
) -> Seen:
    """The same for a set. Pictures of their own have the hardest questions only, so many that their bookmarks fit."""
    shown = min(request.max_points, rows.count + len(questions))
    room = MOST_ENTRIES // shown - OTHER_VIEWS
    scores = survey(
        lambda: _counted(rows.batches(), rows.count, progress),
        rows.count,
        questions,
        found.right(),
        metric,
        top_k=request.top_k,
        drawn=found.hardest(max(1, min(HARDEST, room))),
    )
    return _select(request, questions, scores, rows)


def _select(
    request: ExportRequest,
    questions: Sequence[Question],
    scores: Scores | ManyScores,
    rows: Rows,
    places: Mapping[str, int | None] = MappingProxyType({}),
    kept: Sequence[Batch] | None = None,
    part: PartRead | None = None,
) -> Seen:
    """`places` are those of the ids that an application returned, None where the collection has none."""
    unknown = [one for one, place in places.items() if place is None]
    if isinstance(scores, Scores) and places:
        scores = replace(scores, returned=_returned(request.retrieved, places, scores))
    positions = sample(scores, top_k=request.top_k, max_points=request.max_points, seed=request.seed)
    if part is not None:
        shown: Iterable[Batch] = part.take(positions)
    else:
        shown = rows.take(positions) if kept is None or len(positions) < rows.count else kept
    own = np.array([question_distance(question.vector, scores.metric) for question in questions])
    points = arrange(shown, positions, questions, scores, own, request.top_k)
    return Seen(scores, positions, points, rows.rule, unknown, rows.longest_lock, rows.copied, part)


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


def check_model(model: models.Model, points: Points, progress: Progress) -> ModelCheck | None:
    """Embed some of the stored texts again; None when no chunk has a text."""
    chunks = np.flatnonzero(~points.is_question)
    return embed_again(
        model, points.vectors[chunks], [points.texts[row] for row in chunks.tolist()], CHECKED_FOR_ONE, progress
    )


def contents_of(
    request: ExportRequest, rows: Table, pictures: Pictures, facts: dict[str, Any], *, picture: bool = True
) -> folder.Contents:
    """All files of a run; `picture`: with picture.png, where there is a map."""
    table_left, tensors, facts = redact(rows, pictures.tensors, facts, request.redaction)
    drawn = picture and pictures.flat is not None
    halves = panels(pictures.around, pictures.flat, pictures.glyphs, pictures.layouts) if drawn else None
    flat = None if pictures.flat is None else pictures.flat.astype(np.float32)
    extras = extras_of(facts, halves, sprites=request.sprites, lines=request.lines)
    if request.parquet:
        extras[POINTS] = points_of(table_left, tensors, flat)
    return folder.Contents(tensors=tensors, table=table_left, facts=facts, flat=flat, extras=extras)


def points_of(rows: Table, tensors: Sequence[folder.Tensor], flat: Float32 | None) -> bytes:
    """The content of points.parquet."""
    by_kind = {tensor.name.split()[-1]: tensor.values for tensor in tensors}
    return points_table(rows, by_kind["vectors"], by_kind.get("map"), flat)


def extras_of(
    facts: Mapping[str, Any], halves: Sequence[Panel] | None, *, sprites: bool, lines: bool
) -> dict[str, bytes]:
    """The files for people, by name, from what the manifest says; without `halves` no picture."""
    extras = {README: readme(facts, sprites=sprites, lines=lines).encode("utf-8", "replace")}
    if halves is not None:
        extras["picture.png"] = save(draw_run(facts, halves), "png")
    if "evaluation" in facts:
        extras["questions.tsv"] = b"".join(questions_table(facts["questions"]).to_tsv())
    return extras
