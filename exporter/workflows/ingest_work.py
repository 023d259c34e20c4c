"""What an ingest does to many files and chunks, here or on the workers of an engine: reading, cutting, embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exporter.embedding import models
from exporter.embedding.encoders import MINILM, Encoder
from exporter.errors import ModelError
from exporter.ingestion import Failed, Text, Unreadable
from exporter.ingestion.files import read_files
from exporter.ingestion.split import Chunk, Cutting
from exporter.records import INGESTED, Collection, Float32, Notice, RecordedModel, no_notice
from exporter.workflows.ingest_request import IngestRequest

if TYPE_CHECKING:
    from langchain_core.documents import Document

CALL = 128
"""Chunks that the model is given at once: a bar that moves every few seconds, and still whole batches."""


# ---------------------------------------------------------------- the model


def load_model(request: IngestRequest, collection: Collection | None, notice: Notice) -> models.Model:
    """The model asked for; for `auto` the one that the collection records, in a new one the usual one.

    Raises ModelError when it can't be loaded, or is not the collection's.
    """
    device = None if request.device == "auto" else request.device
    settings = models.Settings(request.base_url, device, request.query_prompt, request.document_prompt)
    recorded = None if collection is None else collection.model
    if recorded is not None and recorded.name == INGESTED:
        model = _recorded_or_same(request, str(collection and collection.name), recorded, settings)
    elif collection is not None and collection.dimension is not None and request.model == "auto":
        model = models.load_model("auto", collection, request.base_url)
    else:
        model = models.named_model(MINILM if request.model == "auto" else request.model, settings)
    if model.host:
        notice(f"the texts are sent to {model.host}")
    if collection is not None and collection.dimension is not None:
        models.fit(model.embed_chunks(["?"]), collection, f"the model {model.name}")
    return model


def _recorded_or_same(
    request: IngestRequest, name: str, recorded: RecordedModel, settings: models.Settings
) -> models.Model:
    config = recorded.config
    for prompt in ("query_prompt", "document_prompt"):
        if getattr(settings, prompt) not in (None, config.get(prompt)):
            raise ModelError(f"the collection {name!r} was made with another {prompt}: name another --collection")
    if request.model == "auto":
        try:
            return models.recorded_by_ingest(recorded, settings)
        except ModelError as error:
            raise ModelError(f"the collection {name!r}: {error}") from error
    wanted = name_of(request.model)
    if not models.is_named(wanted, recorded):
        raise ModelError(
            f"the collection {name!r} was made with {config['model_name']}, not with {wanted}: leave --model away, or "
            "name another --collection"
        )
    return models.named_model(request.model, models.as_recorded(recorded, settings))


def name_of(model: str | Encoder) -> str:
    """As it was given, or where its class is."""
    return model if isinstance(model, str) else f"{type(model).__module__}:{type(model).__qualname__}"


# ---------------------------------------------------------------- embedding


@dataclass(frozen=True)
class Embedded:
    """(n, d) vectors of n texts; how many of these have more tokens than the model reads."""

    vectors: Float32
    too_long: int


def embed(texts: Sequence[str], model: models.Model, report: Callable[[int], None]) -> Embedded:
    """Embed texts, the short ones first, as a model fills a batch up to its longest text."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    parts = []
    for first in range(0, len(order), CALL):
        parts.append(model.embed_chunks([texts[row] for row in order[first : first + CALL]]))
        report(min(first + CALL, len(order)))
    longest = model.longest
    too_long = 0 if longest is None else sum(tokens > longest for tokens in model.tokens(texts))
    return Embedded(np.concatenate(parts)[np.argsort(order)], too_long)


def embedder(request: IngestRequest, collection: Collection | None) -> Callable[[list[str]], Embedded | None]:
    """A worker's own model."""
    model = load_model(request, collection, no_notice)
    return lambda texts: embed(texts, model, lambda done: None) if texts else None


# ---------------------------------------------------------------- reading and cutting


@dataclass(frozen=True)
class Job:
    """One thing to be read and cut: a file, or the `documents` of a page. `name`: a file's identity."""

    source: str
    path: Path | None
    name: str | None
    documents: Sequence[Document] = ()


@dataclass(frozen=True)
class Cut:
    """Its chunks, as far as they could be read, and why it could not be read to its end."""

    chunks: Sequence[Chunk]
    fault: Failed | None = None


def job_of(text: Text, name: str) -> Job | Cut:
    """What a worker is given; a file is read there. A page that can't be read is settled at once."""
    if text.path is not None:
        return Job(text.source, text.path.absolute(), name)
    try:
        return Job(text.source, None, None, list(text.documents))
    except Unreadable as error:
        return Cut((), failed(text, error))


def failed(text: Text, error: Unreadable) -> Failed:
    """The outcome of what could not be read."""
    return Failed(text.source, str(error), error.gone, error.passing, text.path)


def cutter(
    request: IngestRequest, collection: Collection | None, size: int, overlap: int, *, tokens: bool
) -> Callable[[Job | Cut | None], Cut | None]:
    """Cuts what it is given; what is settled comes back as it is. With `tokens` by a worker's own model."""
    count = load_model(request, collection, no_notice).count_tokens if tokens else None
    cutting = Cutting(size, overlap, count or len)

    def cut(job: Job | Cut | None) -> Cut | None:
        if not isinstance(job, Job):
            return job
        chunks: list[Chunk] = []
        text = Text(job.source, job.documents, job.path)
        try:
            for read in () if job.path is None else read_files([job.path], text_column=request.text_column):
                if isinstance(read, Text):
                    text = Text(job.source, read.documents, job.path)
            for chunk in cutting.cut(job.source, text.documents, job.name):
                chunks.append(chunk)
        except Unreadable as error:
            return Cut(chunks, failed(text, error))
        return Cut(chunks)

    return cut
