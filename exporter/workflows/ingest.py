"""From websites and files to a collection: only what is new is embedded, what is there stays."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
from exporter.ingestion import Failed, LeftOut, Outcome, Text, Unreadable
from exporter.ingestion.addresses import canonical
from exporter.ingestion.crawl import ENDLESS, MORE, NO_TEXT, SILENCE, Website
from exporter.ingestion.files import identity_of, is_gone, read_files
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


@dataclass(frozen=True)
class Ingested:
    """What an ingest did. `chunks` = `added` + `unchanged`; `gone` counts stale ones that stay without `--prune`."""

    collection: str
    pages: int
    failed: tuple[Failed, ...]
    left_out: Mapping[str, int]
    chunks: int
    added: int
    unchanged: int
    updated: int
    removed: int
    gone: int
    model: str
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        shown = {name: getattr(self, name) for name in ("collection", "pages", "chunks", "added", "unchanged")}
        shown |= {name: getattr(self, name) for name in ("updated", "removed", "gone", "model")}
        failed = [{"url": one.source, "why": one.why} for one in self.failed]
        return {**shown, "failed": failed, "left_out": dict(self.left_out), "warnings": list(self.warnings)}


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
        tally = Tally(longest=model.longest, base=target.base)
        with _journal(request, target.state) as journal, target.write(facts) as stored:
            if target.collection is not None and not target.is_own:
                _refuse_another_model(stored, model, target.collection)
            outcomes = _outcomes(request, journal, tally, progress)
            work = Work(request, target.collection, model, cutting)
            _store_all(_windows(_chunks(outcomes, work, engine, tally)), stored, work, engine, tally, progress)
            if not tally.chunks:
                raise NetworkError(_nothing(tally))
            stale = _stale(request, stored, tally)
            if request.prune:
                stored.remove(stale)
            if target.collection is not None and (target.is_own or not target.collection.rows):
                stored.describe_anew(facts)
    return _result(request, tally, model, stale)


@dataclass
class Tally:
    """What has come so far. `longest`: how many tokens the model reads, where that is known; `base`: where the paths
    of files are written from, as their names in `failed`, `met` and `read`.
    """

    longest: int | None = None
    base: Path = Path()
    pages: int = 0
    chunks: int = 0
    added: int = 0
    updated: int = 0
    too_long: int = 0
    failed: dict[str, Failed] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    met: set[str] = field(default_factory=set)
    """Sources that were begun: none is read twice."""
    read: set[str] = field(default_factory=set)
    """Sources that were read to their end: what is stored of them and has not come again is gone."""
    ids: set[str] = field(default_factory=set)
    sites: list[Website] = field(default_factory=list)
    unseen: int = 0
    """Chunks of these websites whose pages were not met, in a crawl that did not see all."""

    def name(self, outcome: Text | Failed) -> str:
        """An address; of a file one name, whatever way its path is written."""
        return outcome.source if outcome.path is None else identity_of(outcome.path, self.base)


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
        before = len(tally.met) + len(tally.failed)
        for outcome in site.outcomes():
            progress(PAGES, before + site.fetched, before + min(site.fetched + site.queued, request.max_pages))
            yield outcome
    before = len(tally.met) + len(tally.failed)
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
    new = (one for one in outcomes if _is_new(one, tally))
    if isinstance(engine, Local):
        for outcome in new:  # a long file is not read whole before its first chunks are stored
            if isinstance(outcome, Text):
                yield from _chunks_of(outcome, work.cutting, tally)
            else:
                _count(outcome, tally)
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
            _finish(outcome, cut.fault, tally, some=bool(cut.chunks))
        elif not isinstance(outcome, Text):
            _count(outcome, tally)


def _is_new(outcome: Outcome, tally: Tally) -> bool:
    """Whether it is not read already, by whatever way its path is written."""
    if not isinstance(outcome, Text):
        return True
    name = tally.name(outcome)
    if name in tally.met:
        return False
    tally.met.add(name)
    return True


def _count(outcome: Failed | LeftOut, tally: Tally) -> None:
    if isinstance(outcome, Failed):
        tally.failed[tally.name(outcome)] = outcome
    else:
        tally.left_out[outcome.why] += 1


def _chunks_of(text: Text, cutting: Cutting, tally: Tally) -> Iterator[Chunk]:
    some, fault = False, None
    try:
        for chunk in cutting.cut(text.source, text.documents, None if text.path is None else tally.name(text)):
            some = True
            yield chunk
    except Unreadable as error:
        fault = failed(text, error)
    _finish(text, fault, tally, some=some)


def _finish(text: Text, fault: Failed | None, tally: Tally, *, some: bool) -> None:
    name = tally.name(text)
    if fault is not None:
        tally.failed[name] = fault
        return
    tally.read.add(name)
    if some:
        tally.pages += 1
    else:
        tally.left_out[NO_TEXT] += 1


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


def _stale(request: IngestRequest, stored: Stored, tally: Tally) -> list[str]:
    """The chunks that an ingest stored and that are not in their source any more, as far as this run can tell.

    Where a page failed for now, or the walk was cut short, what was not met may still be there.
    """
    return [key for key, name in stored.own() if key not in tally.ids and _is_gone(name, request, tally)]


def _is_gone(name: str, request: IngestRequest, tally: Tally) -> bool:
    if name in tally.failed:
        return tally.failed[name].gone
    if name in tally.read:
        return True
    url = canonical(name) if "://" in name else None
    if url is None:
        return is_gone(name, tally.base, request.files)
    sites = [site for site in tally.sites if site.scope.holds(url)]
    if sites and all(site.complete for site in sites):
        return True
    tally.unseen += bool(sites)
    return False


# ---------------------------------------------------------------- telling


def _nothing(tally: Tally) -> str:
    if not tally.failed:
        return "nothing was stored: what was read holds no text"
    first = next(iter(tally.failed.values()))
    more = f" (and {len(tally.failed) - 1:,} more)" if len(tally.failed) > 1 else ""
    return f"nothing was stored: {first.source}: {first.why}{more}"


def _result(request: IngestRequest, tally: Tally, model: models.Model, stale: Sequence[str]) -> Ingested:
    warnings = []
    if tally.too_long:
        warnings.append(
            f"{tally.too_long:,} of {tally.added:,} new chunks are longer than the {tally.longest} tokens that "
            f"{model.name} reads: their ends are not in their vectors; a smaller --chunk-size, or --chunk-unit tokens"
        )
    cut = tally.left_out[MORE]
    if cut:
        warnings.append(f"{cut:,} pages that were found were not read: --max-pages {request.max_pages} was reached")
    if tally.left_out[SILENCE]:
        warnings.append(f"a website stopped answering: {tally.left_out[SILENCE]:,} pages that were found were not read")
    if tally.left_out[ENDLESS]:
        warnings.append(
            f"{tally.left_out[ENDLESS]:,} pages look as if they went on for ever, and were not read: a higher "
            "--max-pages may let more of them in"
        )
    if tally.unseen and request.prune:
        warnings.append(
            f"{tally.unseen:,} stored chunks stay, though their pages were not met: some pages of their website were "
            "not read, and may lead to them"
        )
    if stale and not request.prune:
        warnings.append(f"{len(stale):,} stored chunks are gone from their sources: --prune removes them")
    return Ingested(
        collection=request.collection,
        pages=tally.pages,
        failed=tuple(tally.failed.values()),
        left_out=dict(sorted(tally.left_out.items())),
        chunks=tally.chunks,
        added=tally.added,
        unchanged=tally.chunks - tally.added,
        updated=tally.updated,
        removed=len(stale) if request.prune else 0,
        gone=0 if request.prune else len(stale),
        model=model.name,
        warnings=tuple(warnings),
    )
