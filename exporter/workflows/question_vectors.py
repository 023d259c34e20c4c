"""The vectors of questions: out of a file, or made by the collection's model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from exporter.bounded import read_bounded
from exporter.embedding import models
from exporter.embedding.cache import users_cache
from exporter.errors import ModelError, UsageError
from exporter.records import Collection, Float32, Notice, Progress
from exporter.workflows.request import RankingRequest

EMBEDDED_AT_ONCE = 64


def embed_questions(
    texts: Sequence[str],
    request: RankingRequest,
    collection: Collection,
    checked: int,
    progress: Progress,
    notice: Notice,
) -> tuple[Float32, models.Model | None]:
    """(q, d) vectors of the texts, and the model that made them, None when a file did.

    `checked`: how many chunks that model will be given to check it, at most. Raises UsageError for a file that does not
    fit, ModelError for a model.
    """
    given = request.question_vector
    if given is not None:
        vectors = read_vectors(given)
        if len(vectors) != len(texts):
            raise UsageError(f"{given} holds {len(vectors)} vectors for {len(texts)} questions")
        return models.fit(vectors, collection, f"--question-vector {given}"), None
    progress("loading the model", 0, None)
    cache = users_cache() if request.cache else None
    model = models.load_model(request.model, collection, request.base_url, cache)
    if model.host:
        asking = "the question" if len(texts) == 1 else f"{len(texts):,} questions"
        notice(f"{asking}, and up to {checked:,} chunks to check the model, are sent to {model.host}")
    parts: list[Float32] = []
    for start in range(0, len(texts), EMBEDDED_AT_ONCE):
        progress("embedding the questions", start, len(texts))
        parts.append(model.embed_questions(texts[start : start + EMBEDDED_AT_ONCE]))
        if start == 0:
            models.fit(parts[0], collection, f"the model {model.name}")
    if len({part.shape[1] for part in parts}) > 1:
        raise ModelError(f"the model {model.name} gives vectors of several dimensions")
    return np.concatenate(parts), model


def read_vectors(path: Path) -> Float32:
    """(q, d) float32 from a .npy file, or from JSON: a list of numbers, or a list of such lists."""
    try:
        content = read_bounded(path)
        loaded = np.load(BytesIO(content), allow_pickle=False) if path.suffix == ".npy" else json.loads(content)
        with np.errstate(over="ignore"):
            vectors = np.atleast_2d(np.asarray(loaded, dtype=np.float32))
    except Exception as error:  # a damaged header of a .npy raises nearly anything
        why = " ".join(str(error).split())[:200]
        raise UsageError(
            f"--question-vector {path} can't be read as a .npy file or a JSON list of numbers: {why}"
        ) from None
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise UsageError(f"--question-vector {path} does not hold finite numbers, one vector a question")
    return vectors
