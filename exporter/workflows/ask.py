"""A question asked in the open page: one more run beside the one that is shown, on the same map.

What is known of that run answers most of it: which chunks are shown, where they are on its map, by which model and
metric. The chunks are ranked over the source, where that can be reached; else over the vectors that the run holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from exporter.embedding import models
from exporter.embedding.encoders import Encoder, is_cached
from exporter.errors import ExporterError, ModelError, UsageError
from exporter.layouts.placed import HOW, placed
from exporter.records import (
    Batch,
    Collection,
    Int64,
    Progress,
    Question,
    Scores,
    Space,
)
from exporter.retrieval.answers import FUZZY
from exporter.retrieval.distance import rough_distances
from exporter.retrieval.scan import Query, scan
from exporter.runs import publish
from exporter.runs.metadata import (
    FIXED_COLUMNS,
    LINES,
)
from exporter.runs.points import Points
from exporter.runs.verify import ROWS_SHOWN
from exporter.sources import NO_ACCESS, Access, Rows, Source, open_source
from exporter.workflows.base import Base
from exporter.workflows.checks import check_model
from exporter.workflows.collections import choose
from exporter.workflows.export import contents_of, draw, fill, publish_whole
from exporter.workflows.facts import facts_of, without_the_way
from exporter.workflows.pictures import FLAT, MAP, Laid
from exporter.workflows.ranking import Seen, shown_points
from exporter.workflows.request import ExportRequest
from exporter.workflows.run import Run, open_run

MORE_ANSWERS = 50
"""How many chunks that hold the answer are shown beside those on the map: the nearest."""


@dataclass(frozen=True)
class Allowed:
    """What whoever started the server has named; a manifest may come from anybody, so it may not name these.

    `model`: also one that asks another host, or runs code. `source`: where the collection is; `access`: what a server
    wants to know.
    """

    source: Any = None
    access: Access = NO_ACCESS
    model: str | Encoder | None = None
    base_url: str | None = None


@dataclass(frozen=True)
class Ground:
    """What is ranked: a collection at its source, found at `place`, or the chunks of the run (`source` None), and why
    those.
    """

    collection: Collection
    source: Source | None
    why: str = ""
    place: Any = None


def find_ground(base: Base, allowed: Allowed) -> Ground:
    """Where this run's collection is, as it is now. What can't be reached is no error: the run has its vectors."""
    facts, spec = base.run.facts["source"], None
    try:
        if not facts.get("reading", {"whole": True})["whole"]:
            raise UsageError("only a sample of this collection was read, and this question is ranked in that")
        spec = allowed.source if allowed.source is not None else base.source_beside()
        if spec is None:
            raise UsageError(f"where {facts['location']} is isn't known here (--source says it)")
        source = open_source(spec, allowed.access)
        return Ground(choose(source, facts["collection"], facts["database"]), source, place=spec)
    except ExporterError as error:
        return _without_source(base, error, spec)


def _without_source(base: Base, error: ExporterError, place: Any) -> Ground:
    (why,) = without_the_way([str(error)], place, base.run.facts["source"]["location"])
    return Ground(base.collection(), None, why)


def load_model(base: Base, ground: Ground, allowed: Allowed) -> models.Model:
    """The model of this run. Raises ModelError when it can't be loaded, or is one that only the user may name."""
    if allowed.model is not None:
        return models.load_model(allowed.model, ground.collection, allowed.base_url)
    given = base.run.facts.get("asked_with", {}).get("model")
    name = base.run.facts["model"]["name"] if given in ("auto", None) else given
    if ground.source is not None and given in ("auto", None):
        wanted = "auto"  # what the collection itself records
    elif name is None:
        raise ModelError("this run was exported with a vector, so its model isn't known: start the server with --model")
    elif not is_cached(wanted := str(name)):
        raise ModelError(f"this run's model is {name}: start the server with --model to use it here")
    model = models.load_model(wanted, ground.collection)
    if model.host is not None:
        raise ModelError(f"the question would be sent to {model.host}: start the server with --model to allow that")
    return model


def ask(
    base: Base,
    ground: Ground,
    model: models.Model,
    question: str,
    answer: str,
    *,
    logdir: Path,
    name: str,
    tag: Mapping[str, Any],
    progress: Progress,
) -> Run:
    """Ask, and publish the run `name`; `tag` goes into its manifest, under `asked`. Raises an ExporterError."""
    request = _request(base, question, answer, logdir, name)
    progress("embedding the question", 0, None)
    vectors = models.fit(model.embed_questions([question]), ground.collection, f"the model {model.name}")
    asked = Question(question, vectors[0], request.answers)
    progress("ranking", 0, None)
    seen, ground = _rank(base, ground, asked, request)
    progress("drawing", 0, None)
    pictures, rows = draw(request, seen, [asked], progress, _lay(base, seen.points, seen.scores.metric))
    location = base.run.facts["source"]["location"] if ground.source is None else ground.source.location
    check = base.check()
    if check is None and ground.source is not None:
        check = check_model(model, seen.points, progress)
    facts = facts_of(request, location, ground.collection, [asked], model, check, seen, pictures)
    facts["source"]["from_logdir"] = base.run.facts["source"].get("from_logdir")
    facts["asked_with"] = base.run.facts.get("asked_with") or facts["asked_with"]
    facts["asked"] = {**tag, "over": "run" if ground.source is None else "source"}
    if base.places is not None:
        facts["asked"]["placed"] = HOW
    if ground.source is None:
        facts["asked"]["why"] = ground.why
        facts["warnings"].append(
            f"ranked over the {len(base.cells):,} chunks of the run {base.run.name}, not over its source: {ground.why}"
        )
        if answer:
            facts["warnings"].append(
                f"answers were looked for in the first {base.text_length} characters of each chunk"
            )
    progress("writing", 0, None)
    with publish.stage(logdir, name) as staging:
        fill(request, staging, contents_of(request, rows, pictures, facts, picture=False))
        publish_whole(staging)
    return open_run(logdir / name)


def _request(base: Base, question: str, answer: str, logdir: Path, name: str) -> ExportRequest:
    facts = base.run.facts
    with_what = facts.get("asked_with", {})
    columns, redacted = with_what.get("columns"), facts.get("redacted")
    if redacted is not None:  # the collection may still have what was taken out of the run
        keys = {column: key for key, column in facts["renamed"].items()}
        own = [name for name in facts["columns"] if name not in FIXED_COLUMNS and name != LINES]
        columns = [keys.get(name, name) for name in own if name not in redacted["columns"]]
    return ExportRequest(
        source=None,
        questions=(question,),
        answers=(answer,) if answer else (),
        # typed into a page, it is words: a pattern can take for ever
        answer_match="normalized" if facts["answer_match"] == "regex" else facts["answer_match"],
        ignore_accents=with_what.get("ignore_accents", False),
        fuzzy_threshold=with_what.get("fuzzy_threshold", FUZZY),
        top_k=facts["top_k"],
        metric=facts["metric"],
        where=facts["source"]["where"],
        where_document=facts["source"]["where_document"],
        max_points=facts["max_points"],
        seed=facts["seed"],
        projection="none" if base.places is None else "auto",
        open_on=with_what.get("open_on", "question"),
        sprites=with_what.get("sprites", True),
        lines=with_what.get("lines", True),
        columns=None if columns is None else tuple(columns),
        text_length=base.text_length,
        text=not (redacted or {}).get("text", False),
        redact=tuple(name for name in ("source", "page") if name in (redacted or {}).get("columns", ())),
        logdir=logdir,
        run=name,
        tsv=False,
    )


def _rank(base: Base, ground: Ground, asked: Question, request: ExportRequest) -> tuple[Seen, Ground]:
    """Over the source; when that fails in the middle, over the run."""
    if ground.source is not None:
        try:
            seen = ground.source.read(
                ground.collection,
                partial(_score_on_the_map, base, asked, request),
                where=request.where,
                where_document=request.where_document,
            )
            return seen, ground
        except ExporterError as error:
            ground = _without_source(base, error, ground.place)
    chunks = base.chunks()
    scores = scan([chunks], _query(asked, request))
    return _seen(scores, np.arange(len(chunks)), [chunks], f"the run {base.run.name}", asked, request), ground


def _score_on_the_map(base: Base, asked: Question, request: ExportRequest, rows: Rows) -> Seen:
    """All chunks are ranked; shown are those on the map, the top k, and some that hold the answer.

    Raises UsageError when none of the run's chunks is there: it is another collection.
    """
    ids: list[str] = []

    def noted(batches: Iterable[Batch]) -> Iterable[Batch]:
        for batch in batches:
            ids.extend(batch.ids)
            yield batch

    scores = scan(noted(rows.batches(texts=bool(asked.answers))), _query(asked, request))
    at = base.row_of
    shown = np.array([at(chunk) >= 0 for chunk in ids])
    shown &= np.isfinite(scores.distances[0])
    if not shown.any():
        raise UsageError("it holds none of this run's chunks")
    shown[scores.top(0, request.top_k)] = True
    room = max(ROWS_SHOWN - 1 - int(shown.sum()), 0)
    answers = np.flatnonzero(scores.answers[0] & ~shown & np.isfinite(scores.distances[0]))
    shown[answers[np.argsort(scores.ranks[0][answers])][: min(room, MORE_ANSWERS)]] = True
    positions = np.flatnonzero(shown).astype(np.int64)
    seen = _seen(scores, positions, rows.take(positions), rows.rule, asked, request)
    return replace(seen, longest_lock=rows.longest_lock, copied=rows.copied)


def _seen(
    scores: Scores, positions: Int64, shown: Iterable[Batch], rule: str, asked: Question, request: ExportRequest
) -> Seen:
    query = _query(asked, request)
    return Seen(scores, positions, shown_points(shown, positions, query, scores, request.top_k), rule)


def _query(asked: Question, request: ExportRequest) -> Query:
    if request.metric == "auto":
        raise UsageError("the run doesn't say its metric: export it again")
    return Query([asked], request.matchers(), request.metric)


def _lay(base: Base, points: Points, metric: Space) -> Laid | None:
    """The base's map: each of its chunks where it was; what is new, the question too, placed among them."""
    if base.places is None or base.flat is None:
        return None
    chunk_ids = zip(points.ids, points.is_question.tolist(), strict=True)
    of_rows = np.array([-1 if is_question else base.row_of(chunk) for chunk, is_question in chunk_ids])
    places, flat = base.places[of_rows], base.flat[of_rows]
    new = np.flatnonzero(of_rows < 0)
    for row, away in zip(new.tolist(), rough_distances(base.vectors, points.vectors[new], metric), strict=True):
        places[row], flat[row] = placed(away, base.places), placed(away, base.flat)
    layouts = {layout["name"]: layout for layout in base.run.facts["layouts"]}
    trusted = layouts[MAP]["trustworthiness"], layouts.get(FLAT, {}).get("trustworthiness")
    return Laid(places, flat, layouts[MAP]["made_by"], trusted)
