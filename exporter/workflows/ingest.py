"""From websites and files to a collection: only what is new is embedded, what is there stays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from exporter import engines
from exporter.embedding import models
from exporter.embedding.check import compare
from exporter.engines import Engine, Local
from exporter.errors import ModelError, NetworkError, UsageError
from exporter.ingestion import Outcome, Text, Unreadable
from exporter.ingestion.crawl import Website
from exporter.ingestion.files import read_files
from exporter.ingestion.split import SPLITTER, Chunk, Cutting
from exporter.ingestion.state import Journal
from exporter.ingestion.store import Stored
from exporter.records import (
    CHUNKING,
    INGEST_KEYS,
    Collection,
    Metadata,
    Notice,
    Progress,
    Scalar,
    no_notice,
    no_progress,
)
from exporter.sources import NO_ACCESS
from exporter.workflows.ingest_request import IngestRequest
from exporter.workflows.ingest_tally import Ingested, Tally
from exporter.workflows.ingest_target import VERSION, open_target
from exporter.workflows.ingest_work import Cut, Job, cutter, embed, embedder, failed, job_of, load_model, name_of

WINDOW = 512
"""Chunks that are embedded and stored together: enough to sort them by length, few enough to lose in a kill."""

CHECKED = 16
"""How many stored chunks of a foreign collection are embedded again, to see whether the model is the collection's."""

UNIT, SIZE, OVERLAP = CHUNKING.values()
USUAL: Mapping[str, tuple[int, int]] = MappingProxyType({"characters": (1000, 100), "tokens": (200, 20)})
"""Size and overlap of a chunk, by unit. 200 tokens are read whole by most models, 1000 characters of prose by many."""

PAGES, CHUNKS = "pages", "chunks"


def ingest(
    source: str | Path,
    *,
    url: str | Sequence[str] = (),
    files: str | Path | Sequence[str | Path] = (),
    progress: Progress = no_progress,
    notice: Notice = no_notice,
    **options: Any,
) -> Ingested:
    """Read websites and files into a collection of `source`; `options` are the fields of `IngestRequest`.

    Raises an ExporterError, whose text says what is wrong and what to do. What was stored until then stays.
    """
    urls = (url,) if isinstance(url, str) else tuple(url)
    paths = (files,) if isinstance(files, (str, Path)) else tuple(files)
    request = IngestRequest(source=source, urls=urls, files=tuple(map(Path, paths)), **options)
    return write_ingest(request, progress, notice)


def write_ingest(request: IngestRequest, progress: Progress = no_progress, notice: Notice = no_notice) -> Ingested:
    """Carry out a request. `notice` is told, beforehand, what leaves this machine."""
    with (
        open_target(request, notice) as target,
        engines.engine(request.engine, request.ray_address, request.workers) as engine,
    ):
        progress("loading the model", 0, None)
        model = load_model(request, target.collection, notice)
        cutting = _cutting(request, target.collection, model)
        facts = _facts(request, target.collection, model, cutting)
        tally = Tally(request, model.name, model.longest, target.base)
        with _journal(request, target.state) as journal, target.write(facts) as stored:
            if target.collection is not None and not target.is_own:
                _refuse_another_model(stored, model, target.collection)
            outcomes = _outcomes(request, journal, tally, progress)
            work = Work(request, target.collection, model, cutting)
            _store_all(_windows(_chunks(outcomes, work, engine, tally)), stored, work, engine, tally, progress)
            if not tally.chunks:
                raise NetworkError(tally.nothing())
            stale = tally.stale(stored.own())
            if request.prune:
                stored.remove(stale)
            if target.collection is not None and (target.is_own or not target.collection.rows):
                stored.describe_anew(facts)
    return tally.result(stale)


def _refuse_another_model(stored: Stored, model: models.Model, collection: Collection) -> None:
    texts, vectors = stored.sample(CHECKED)
    if texts:
        check = compare(np.asarray(vectors, np.float32), model.embed_chunks(texts))
        if not check.passed:
            raise ModelError(f"{collection.name}: {check.warning}; name the right one by --model")


# ---------------------------------------------------------------- how chunks are cut, and what is recorded


def _cutting(request: IngestRequest, collection: Collection | None, model: models.Model) -> Cutting:
    """Sizes as asked for, else as the collection records them, else the unit's usual ones.

    Raises UsageError when they differ from the record: then all chunks would be others, which only `--prune` may do.
    """
    recorded = {} if collection is None else collection.metadata
    unit = request.chunk_unit or recorded.get(UNIT, "characters")
    same_unit = unit == recorded.get(UNIT)
    usual = USUAL[str(unit)]
    size = request.chunk_size or (int(str(recorded[SIZE])) if same_unit else usual[0])
    overlap = request.chunk_overlap
    if overlap is None:
        overlap = int(str(recorded[OVERLAP])) if same_unit and request.chunk_size is None else min(usual[1], size // 4)
    if overlap >= size:
        raise UsageError(f"an overlap of {overlap} in chunks of {size} {unit}: give a smaller --chunk-overlap")
    if unit == "tokens" and model.count_tokens is None:
        raise UsageError(f"the tokens of {model.name} can't be counted here: give sizes in characters")
    if UNIT in recorded and not request.prune:
        was = (recorded[SIZE], recorded[OVERLAP], recorded[UNIT])
        if was != (size, overlap, unit):
            raise UsageError(
                f"the collection's chunks were cut to {was[0]} {was[2]} with an overlap of {was[1]}: leave the sizes "
                "away, or replace all chunks by --prune"
            )
    return Cutting(size, overlap, model.count_tokens if unit == "tokens" and model.count_tokens else len)


def _facts(
    request: IngestRequest, collection: Collection | None, model: models.Model, cutting: Cutting
) -> dict[str, Scalar]:
    """What is recorded of a collection, so that `export` and the next ingest use the same model and the same sizes."""
    given = {
        "model_name": models.recorded_name(model.name) if isinstance(request.model, str) else name_of(request.model),
        "base_url": request.base_url,
        "query_prompt": request.query_prompt,
        "document_prompt": request.document_prompt,
    }
    before = dict(collection.model.config) if collection and collection.model else {}
    wanted = {name: before.get(name) if value is None else value for name, value in given.items()}
    kept = {INGEST_KEYS[name]: str(value) for name, value in wanted.items() if value is not None}
    unit = "characters" if cutting.length is len else "tokens"
    sizes: dict[str, Scalar] = {SIZE: cutting.size, OVERLAP: cutting.overlap, UNIT: unit}
    return {VERSION: 1, **kept, "ingest:splitter": SPLITTER, **sizes}


# ---------------------------------------------------------------- reading


@contextmanager
def _journal(request: IngestRequest, state: Path) -> Iterator[Journal | None]:
    """What was read of websites; it stays when the ingest is interrupted."""
    if not request.urls:
        yield None
        return
    journal = Journal(state, {"urls": request.urls, **vars(request.rules)})
    finished = False
    try:
        yield journal
        finished = True
    except NetworkError:
        finished = True
        raise
    finally:
        journal.close(finished=finished)


def _outcomes(request: IngestRequest, journal: Journal | None, tally: Tally, progress: Progress) -> Iterator[Outcome]:
    for url in request.urls:
        site = Website(url, request.rules, kept=journal)
        tally.sites.append(site)
        before = tally.outcomes
        for outcome in site.outcomes():
            progress(PAGES, before + site.fetched, before + min(site.fetched + site.queued, request.max_pages))
            yield outcome
    before = tally.outcomes
    files = read_files(request.files, exclude=request.exclude, text_column=request.text_column)
    for count, outcome in enumerate(files, start=before + 1):
        progress(PAGES, count, None)
        yield outcome


@dataclass(frozen=True)
class Work:
    """What is done to every text, and by which model."""

    request: IngestRequest
    collection: Collection | None
    model: models.Model
    cutting: Cutting

    @property
    def sent(self) -> IngestRequest:
        """The request without its secrets, which workers don't need."""
        return replace(self.request, access=NO_ACCESS)

    def embedder(self, engine: Engine, report: Callable[[int], None]) -> Callable[[], Callable[[list[str]], Any]]:
        """Makes what embeds a window's new texts; here by the model that is loaded, and with a report."""
        if isinstance(engine, Local):
            return lambda: lambda texts: embed(texts, self.model, report) if texts else None
        return partial(embedder, self.sent, self.collection)

    def cutter(self) -> Callable[[], Callable[[Any], Cut | None]]:
        """Makes what reads and cuts elsewhere."""
        tokens = self.cutting.length is not len
        return partial(cutter, self.sent, self.collection, self.cutting.size, self.cutting.overlap, tokens=tokens)


def _chunks(outcomes: Iterable[Outcome], work: Work, engine: Engine, tally: Tally) -> Iterator[Chunk]:
    """The chunks of all that can be read; what can't is counted."""
    new = (one for one in outcomes if not isinstance(one, Text) or tally.begin(one))
    if isinstance(engine, Local):
        for outcome in new:  # a long file is not read whole before its first chunks are stored
            if isinstance(outcome, Text):
                yield from _chunks_of(outcome, work.cutting, tally)
            else:
                tally.count(outcome)
        return
    under_way: deque[Outcome] = deque()

    def jobs() -> Iterator[Job | Cut | None]:
        for outcome in new:
            under_way.append(outcome)
            yield job_of(outcome, tally.name(outcome)) if isinstance(outcome, Text) else None

    for cut in engine.each(work.cutter(), jobs()):
        outcome = under_way.popleft()
        if isinstance(outcome, Text) and cut is not None:
            yield from cut.chunks
            tally.finish(outcome, cut.fault, some=bool(cut.chunks))
        elif not isinstance(outcome, Text):
            tally.count(outcome)


def _chunks_of(text: Text, cutting: Cutting, tally: Tally) -> Iterator[Chunk]:
    some, fault = False, None
    try:
        for chunk in cutting.cut(text.source, text.documents, None if text.path is None else tally.name(text)):
            some = True
            yield chunk
    except Unreadable as error:
        fault = failed(text, error)
    tally.finish(text, fault, some=some)


def _windows(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    iterator = iter(chunks)
    while window := list(islice(iterator, WINDOW)):
        yield window


# ---------------------------------------------------------------- storing


@dataclass(frozen=True)
class _Window:
    """Chunks that are stored together: those that are `new`, and those whose metadata is not what is `known`."""

    chunks: list[Chunk]
    new: list[Chunk]
    moved: list[Chunk]
    known: Mapping[str, Metadata]

    @classmethod
    def of(cls, chunks: list[Chunk], stored: Stored) -> _Window:
        known = stored.known([chunk.id for chunk in chunks])
        new = [chunk for chunk in chunks if chunk.id not in known]
        moved = [chunk for chunk in chunks if chunk.id in known and known[chunk.id] != chunk.metadata]
        return cls(chunks, new, moved, known)


def _store_all(
    windows: Iterable[list[Chunk]], stored: Stored, work: Work, engine: Engine, tally: Tally, progress: Progress
) -> None:
    """Embed and store what is not there; what is there gets the metadata that it has now. Only this process writes."""
    under_way: deque[_Window] = deque()

    def texts() -> Iterator[list[str]]:
        for chunks in windows:
            under_way.append(_Window.of(chunks, stored))
            yield [chunk.text for chunk in under_way[-1].new]

    make = work.embedder(engine, lambda done: progress(CHUNKS, tally.chunks + done, None))
    for embedded in engine.each(make, texts()):
        window = under_way.popleft()
        if embedded is not None:
            tally.too_long += embedded.too_long
            stored.add(window.new, embedded.vectors)
        stored.update(window.moved, window.known)
        tally.ids.update(chunk.id for chunk in window.chunks)
        tally.chunks += len(window.chunks)
        tally.added += len(window.new)
        tally.updated += len(window.moved)
        progress(CHUNKS, tally.chunks, None)
