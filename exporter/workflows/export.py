"""The main job: a collection and questions in, a run of the Projector out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import ModelError, OutputError
from exporter.records import (
    Notice,
    Progress,
    Question,
    Scores,
    no_notice,
    no_progress,
)
from exporter.retrieval.scan import Query
from exporter.runs import folder, publish
from exporter.runs.metadata import FIXED_COLUMNS, Table, table
from exporter.runs.redaction import own_columns
from exporter.runs.verify import structural_faults
from exporter.sharing.parquet import POINTS
from exporter.sharing.picture import panels
from exporter.workflows.assessment import Assessment
from exporter.workflows.boards import of_a_set, of_questions
from exporter.workflows.checks import CHECKED_FOR_ONE, check_model
from exporter.workflows.collections import find_collection
from exporter.workflows.extras import extras_of, parquet_of
from exporter.workflows.facts import facts_of
from exporter.workflows.pictures import Laid, Pictures, draw_pictures
from exporter.workflows.question_set import judge_set, load_set
from exporter.workflows.question_vectors import embed_questions
from exporter.workflows.ranking import Ranking, Seen
from exporter.workflows.redact import redact, what_leaves
from exporter.workflows.request import ExportRequest, default_name, retrieved_ids
from exporter.workflows.run import Run, open_run


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
    found: Assessment | None = None
    if asked is None:
        given = [(text, request.answers_to(place)) for place, text in enumerate(request.texts)]
        vectors, model = embed_questions(request.texts, request, collection, CHECKED_FOR_ONE, progress, notice)
    else:
        given = [(one.text, one.answers) for one in asked.questions]
        found, vectors, model = judge_set(asked, matchers, request, source, collection, progress, notice)
    questions = [Question(text, vector, answers) for (text, answers), vector in zip(given, vectors, strict=True)]
    query = Query(questions, matchers, request.metric_of(collection))
    seen = Ranking(request, query, collection, progress).read(source, found)
    check = found.check if found is not None else check_model(model, seen.points, progress)
    if check is not None and check.warning and request.strict_model:
        raise ModelError(f"{check.warning}; name the right one by --model")
    pictures, rows = draw(request, seen, questions, progress)
    facts = facts_of(request, source.location, collection, questions, model, check, seen, pictures, found)
    facts["warnings"] += not_there(request.columns, rows)
    contents = contents_of(request, rows, pictures, facts)
    boards = None if found is None else of_a_set(contents.facts, found)
    if request.dashboards and isinstance(seen.scores, Scores):
        boards = of_questions(contents.facts, seen.scores)
    if request.redaction:
        notice(f"{request.logdir / name} will hold {what_leaves(contents.facts, contents.table)}")
    return name, replace(contents, boards=None if boards is None else replace(boards, name=name)), found


def draw(
    request: ExportRequest, seen: Seen, questions: Sequence[Question], progress: Progress, laid: Laid | None = None
) -> tuple[Pictures, Table]:
    """The pictures of the rows that are shown, with `laid` on that map, and their cells."""
    tabulate = partial(
        table,
        columns=request.columns,
        text_length=request.text_length,
        lines=request.lines,
        counted=() if seen.part is None else seen.part.counted,
    )
    with ThreadPoolExecutor(1) as beside:  # cells are Python's work, pictures numpy's
        rows = beside.submit(tabulate, seen.points)
        pictures = draw_pictures(
            seen.points,
            questions,
            seen.scores,
            top_k=request.top_k,
            seed=request.seed,
            projection=request.projection,
            open_on=request.open_on,
            sprites=request.sprites,
            tabulate=tabulate,
            progress=progress,
            laid=laid,
        )
    return pictures, rows.result()


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
        extras[POINTS] = parquet_of(table_left, tensors, flat)
    return folder.Contents(tensors=tensors, table=table_left, facts=facts, flat=flat, extras=extras)
