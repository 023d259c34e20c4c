"""A question asked in the open page: one more run beside the one that is shown, on the same map.

What is known of that run answers most of it: which chunks are shown, where they are on its map, by which model and
metric. The chunks are ranked over the source, where that can be reached; else over the vectors that the run holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from exporter.embedding import models
from exporter.embedding.check import ModelCheck
from exporter.embedding.encoders import Encoder, is_cached
from exporter.errors import ExporterError, ModelError, OutputError, UsageError
from exporter.layouts.placed import HOW, placed
from exporter.records import (
    Batch,
    Collection,
    Float32,
    Float64,
    Int64,
    MetadataValue,
    Progress,
    Question,
    Scores,
    Space,
)
from exporter.retrieval.answers import FUZZY
from exporter.retrieval.distance import rough_distances
from exporter.retrieval.scan import question_distance, scan
from exporter.runs import folder, manifest, publish
from exporter.runs.metadata import (
    FIXED_COLUMNS,
    LINES,
    MISSING_NUMBER,
    MISSING_TEXT,
    read_as_the_page_does,
    table,
    text_cell,
)
from exporter.runs.points import Points, arrange
from exporter.runs.verify import ROWS_SHOWN, read_shown, read_tensor
from exporter.sources import NO_ACCESS, Access, Rows, Source, open_source
from exporter.workflows.collections import choose
from exporter.workflows.export import check_model, contents_of, fill, publish_whole
from exporter.workflows.facts import Seen, facts_of, without_the_way
from exporter.workflows.pictures import FLAT, MAP, Laid, draw_pictures
from exporter.workflows.request import ExportRequest
from exporter.workflows.run import Run, open_run

TEXT_LENGTH = 300
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
class Base:
    """The run on whose map a question is placed: its n chunks, without its questions.

    `cells` are their ids as metadata.tsv shows them; `vectors` (n, d); `places` (n, 3) and `flat` (n, 2) on the map,
    None where the run has none.
    """

    run: Run
    cells: Sequence[str]
    vectors: Float32
    places: Float64 | None
    flat: Float64 | None

    @property
    def text_length(self) -> int:
        """At how many characters its cells were cut."""
        return int(self.run.facts.get("asked_with", {}).get("text_length", TEXT_LENGTH))

    @cached_property
    def _rows(self) -> Mapping[str, int]:
        return {cell: row for row, cell in enumerate(self.cells)}

    def row_of(self, chunk: str) -> int:
        """Where a chunk is among its own; -1 when it is not. A cell seldom differs from the id that it shows."""
        row = self._rows.get(chunk)
        return self._rows.get(text_cell(chunk, self.text_length), -1) if row is None else row


@dataclass(frozen=True)
class Ground:
    """What is ranked: a collection at its source, found at `place`, or the chunks of the run (`source` None), and why
    those.
    """

    collection: Collection
    source: Source | None
    why: str = ""
    place: Any = None


def read_base(path: Path) -> Base:
    """Read a run as a base. Raises OutputError when it is none of ours, or its files are not all there, UsageError for
    two runs on one map.
    """
    run = open_run(path)
    if "comparison" in run.facts:
        raise UsageError(f"{run.name} shows two runs on one map: ask in one of them")
    names, rows = _table(run)
    chunk = np.array([row[names.index("is_question")] != "true" for row in rows])
    column = names.index("id")
    cells = [row[column] for row, is_chunk in zip(rows, chunk, strict=True) if is_chunk]
    entry = next((entry for entry in run.facts["tensors"] if entry["kind"] == MAP), None)
    flat_file, places, flat = run.facts.get("flat_map"), None, None
    try:
        if entry is not None and flat_file:
            places = read_tensor(run.path, entry["file"], tuple(entry["shape"]))[chunk].astype(np.float64)
            flat = read_tensor(run.path, flat_file, (len(chunk), 2))[chunk].astype(np.float64)
        return Base(run, cells, _vectors(run)[chunk], places, flat)
    except (OSError, ValueError) as error:
        raise OutputError(f"the files of {path} can't be read ({error}): export the run again") from error


def find_ground(base: Base, allowed: Allowed) -> Ground:
    """Where this run's collection is, as it is now. What can't be reached is no error: the run has its vectors."""
    facts, spec = base.run.facts["source"], None
    try:
        if not facts.get("reading", {"whole": True})["whole"]:
            raise UsageError("only a sample of this collection was read, and this question is ranked in that")
        spec = allowed.source if allowed.source is not None else _found_beside(base.run)
        if spec is None:
            raise UsageError(f"where {facts['location']} is isn't known here (--source says it)")
        source = open_source(spec, allowed.access)
        return Ground(choose(source, facts["collection"], facts["database"]), source, place=spec)
    except ExporterError as error:
        return _without_source(base, error, spec)


def _without_source(base: Base, error: ExporterError, place: Any) -> Ground:
    (why,) = without_the_way([str(error)], place, base.run.facts["source"]["location"])
    return Ground(_recorded(base), None, why)


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
    tabulate = partial(table, columns=request.columns, text_length=request.text_length, lines=request.lines)
    progress("drawing", 0, None)
    pictures = draw_pictures(
        seen.points,
        [asked],
        seen.scores,
        top_k=request.top_k,
        seed=request.seed,
        projection=request.projection,
        open_on=request.open_on,
        sprites=request.sprites,
        tabulate=tabulate,
        progress=progress,
        laid=_lay(base, seen.points, seen.scores.metric),
    )
    location = base.run.facts["source"]["location"] if ground.source is None else ground.source.location
    check = _base_check(base)
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
        fill(request, staging, contents_of(request, tabulate(seen.points), pictures, facts, picture=False))
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
    chunks = _chunks(base)
    scores = _scan([chunks], asked, request)
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

    scores = _scan(noted(rows.batches(texts=bool(asked.answers))), asked, request)
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
    return _seen(scores, positions, rows.take(positions), rows.rule, asked, request)


def _seen(
    scores: Scores, positions: Int64, shown: Iterable[Batch], rule: str, asked: Question, request: ExportRequest
) -> Seen:
    own = np.array([question_distance(asked.vector, scores.metric)])
    return Seen(scores, positions, arrange(shown, positions, [asked], scores, own, request.top_k), rule)


def _scan(batches: Iterable[Batch], asked: Question, request: ExportRequest) -> Scores:
    metric = request.metric
    if metric == "auto":
        raise UsageError("the run doesn't say its metric: export it again")
    return scan(batches, [asked], request.matchers(), metric)


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


def _found_beside(run: Run) -> Path | None:
    """The directory beside the log directory from which the run was made, where it still is."""
    way = run.facts["source"].get("from_logdir")
    place = None if way is None else run.path.parent / way
    if place is None:
        return None
    project = run.path.parent.absolute().parent.resolve()
    return place if place.exists() and place.resolve().is_relative_to(project) else None


def _recorded(base: Base) -> Collection:
    """The collection as the run knows it; its rows are those of the run."""
    facts = base.run.facts["source"]
    return Collection(
        name=facts["collection"],
        rows=len(base.cells),
        dimension=base.vectors.shape[1],
        space=facts["space"],
        space_from=facts["space_from"],
        database=facts["database"],
    )


def _chunks(base: Base) -> Batch:
    """The run's own chunks, as far as metadata.tsv tells of them: texts as they were cut."""
    names, rows = _table(base.run)
    kept = [row for row in rows if row[names.index("is_question")] != "true"]
    original = {column: key for key, column in base.run.facts["renamed"].items()}
    own = [name for name in names if name not in FIXED_COLUMNS and name != LINES]
    columns = {name: _values([row[names.index(name)] for row in kept]) for name in ("source", "page", "text", *own)}
    metadatas = [
        {
            original.get(name, name): value
            for name in ("source", "page", *own)
            if (value := columns[name][row]) is not None
        }
        for row in range(len(kept))
    ]
    texts = [None if text is None else str(text) for text in columns["text"]]
    return Batch(list(base.cells), base.vectors, texts, metadatas)


def _values(cells: Sequence[str]) -> list[MetadataValue | None]:
    """Numbers where all cells are numbers, as the page takes them; None for what was missing."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return [None if cell == MISSING_TEXT else cell for cell in cells]
    return [
        None if cell == MISSING_NUMBER else int(number) if number.is_integer() else number
        for cell, number in zip(cells, numbers, strict=True)
    ]


def _table(run: Run) -> tuple[list[str], list[list[str]]]:
    try:
        with manifest.located(run.path, run.facts, folder.METADATA).open(encoding="utf-8") as file:
            names, rows = read_as_the_page_does(file)
            return names, list(rows)
    except (OSError, ValueError) as error:
        raise OutputError(f"{run.path / folder.METADATA} can't be read ({error}): export the run again") from error


def _vectors(run: Run) -> Float32:
    entry = next(entry for entry in run.facts["tensors"] if entry["kind"] == "vectors")
    vectors = read_shown(run.path, entry)
    return vectors[:, : run.facts["source"]["dimension"]]  # without the zeros that the Projector wants


def _base_check(base: Base) -> ModelCheck | None:
    """What comparing the model with the collection said when the base was exported."""
    facts = base.run.facts["model"]
    if facts["median_cosine"] is None:
        return None
    return ModelCheck(facts["chunks_checked"], facts["median_cosine"], facts["chunks_fell_out"])
