"""What is asked of a model and of Chroma's own index, to see whether they are to blame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from exporter.embedding.check import ModelCheck, compare, cosines_of
from exporter.embedding.models import Model
from exporter.errors import ExporterError
from exporter.evaluation.findings import ModelFacts
from exporter.records import Batch, Float32, Int64, Progress, Space
from exporter.runs.points import Points
from exporter.workflows.assessment import Setting

CHECKED = 64
"""How many stored chunks are embedded again for a set, to see whether one model, this one, made the collection."""
CHECKED_FOR_ONE = 16
"""The same for a single question."""


def usable(vectors: Float32, texts: Sequence[str | None]) -> list[int]:
    """The rows that embedding again says something of: with a text, and a vector that is known and not all zeros."""
    sound = np.asarray(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))
    return [row for row, text in enumerate(texts) if sound[row] and (text or "").strip()]


def embed_again(
    model: Model, vectors: Float32, texts: Sequence[str | None], most: int, progress: Progress
) -> ModelCheck | None:
    """Embed up to `most` of the stored texts again, evenly spread; None when none of the chunks can say anything."""
    rows = usable(vectors, texts)
    if not rows:
        return None
    spread = [rows[i] for i in np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]
    progress("checking the model", 0, None)
    return compare(vectors[spread], model.embed_chunks([str(texts[row]) for row in spread]))


def check_model(model: Model | None, points: Points, progress: Progress) -> ModelCheck | None:
    """What some of the shown chunks say of the model; None where there is none, or no chunk has a text."""
    if model is None:
        return None
    chunks = np.flatnonzero(~points.is_question)
    texts = [points.texts[row] for row in chunks.tolist()]
    return embed_again(model, points.vectors[chunks], texts, CHECKED_FOR_ONE, progress)


def model_facts(model: Model | None, sample: Batch, progress: Progress) -> tuple[ModelFacts, ModelCheck | None]:
    """What some chunks say of the model that embeds the questions."""
    if model is None:
        return ModelFacts(None), None
    check = embed_again(model, sample.vectors, sample.texts, CHECKED, progress)
    if check is None:
        return ModelFacts(model.name), None
    with_text = [row for row, text in enumerate(sample.texts) if (text or "").strip()]
    cut = []
    if model.longest is not None and not check.foreign:
        progress("counting tokens", 0, None)
        counts = model.tokens([str(sample.texts[row]) for row in with_text])
        cut = [row for row, count in zip(with_text, counts, strict=True) if count > model.longest]
    facts = ModelFacts(
        name=model.name,
        checked=check.checked,
        median_cosine=check.median_cosine,
        fell_out=check.fell_out,
        same=not check.foreign,
        cut=len(cut),
        measured=len(with_text),
        longest=model.longest,
        cut_examples=tuple(sample.ids[row] for row in cut[:3]),
    )
    return facts, check


def cosines_again(
    model: Model | None, sample: Batch, positions: Int64, wanted: set[int], progress: Progress
) -> dict[int, float]:
    """By position, the cosine of a stored vector and its text embedded again, of those `wanted` that can say anything.

    `positions` (m,): where the chunks of the sample stand in the collection.
    """
    rows = [row for row in usable(sample.vectors, sample.texts) if int(positions[row]) in wanted]
    if model is None or not rows:
        return {}
    progress("embedding missed chunks again", 0, None)
    found = cosines_of(sample.vectors[rows], model.embed_chunks([str(sample.texts[row]) for row in rows]))
    return {int(positions[row]): float(one) for row, one in zip(rows, found, strict=True)}


def ask_the_index(
    vectors: Float32, setting: Setting, top_k: int, progress: Progress, warnings: list[str]
) -> list[list[str]] | None:
    """The ids that Chroma's own query returns to each of (q, d) vectors; None where it can't say, with a warning."""
    if not setting.index or not len(vectors):
        return None
    if setting.metric != setting.collection.space:
        warnings.append(
            f"Chroma's own index ranks by {setting.collection.space}, so it was not asked what it loses by "
            f"{setting.metric}"
        )
        return None
    progress("asking Chroma's own index", 0, None)
    filters = {"where": setting.where, "where_document": setting.where_document}
    try:
        return setting.source.query(setting.collection, vectors, top_k, **filters)
    except ExporterError as error:
        warnings.append(f"Chroma's own index could not be asked, so what it loses is not known: {error}")
        return None


def is_lost(
    returned: Sequence[str],
    right: set[str],
    nearest: Mapping[str, float],
    beyond: float,
    first_distance: float,
    tolerance: float,
    top_k: int,
) -> bool:
    """Did the index lose the right chunk at this distance? Not when others at the same distance came in its place.

    `nearest` has the exact distances of the nearest chunks; all others are at `beyond` at least.
    """
    if right.intersection(returned):
        return False
    farther = (nearest.get(id, beyond) > first_distance + tolerance for id in returned)
    return len(returned) < top_k or any(farther)


def rounding(metric: Space, vector: Float32, distance: float) -> float:
    """By how much a distance may differ that Chroma's index computed in float32."""
    length = float(np.square(vector, dtype=np.float64).sum())
    scale = {"l2": distance, "cosine": 1.0, "ip": max(length, abs(1 - distance), 1.0)}[metric]
    return (len(vector) + 16) * 2.0**-24 * scale
