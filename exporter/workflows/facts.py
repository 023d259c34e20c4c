"""What a manifest says of an export: what was asked, of what, with what, and what came of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from exporter.embedding.check import ModelCheck
from exporter.embedding.models import Model
from exporter.records import Batch, Collection, Int64, Question, Scores
from exporter.runs.points import CHUNK, Points
from exporter.runs.sprites import Glyph
from exporter.workflows.pictures import DARTBOARD, MAP, Pictures
from exporter.workflows.request import ExportRequest

DISTANCES = {
    "l2": "Euclidean: the L2 norm of the difference (Chroma's own l2 is its square; the order is the same)",
    "cosine": "1 - cosine",
    "ip": "1 - dot product",
}


@dataclass(frozen=True)
class Seen:
    """What one reading of the collection gave: scores of all of it, and the chunks that are shown."""

    scores: Scores
    positions: Int64
    shown: Batch
    rule: str


def facts_of(
    request: ExportRequest,
    location: str,
    collection: Collection,
    questions: Sequence[Question],
    model: Model | None,
    check: ModelCheck | None,
    seen: Seen,
    points: Points,
    pictures: Pictures,
) -> dict[str, Any]:
    """What the manifest says; the keys of `Run.to_json` among them."""
    scores = seen.scores
    hidden = np.ones(scores.rows, bool)
    hidden[seen.positions] = False
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": {"chroma-projector": version("chroma-projector"), "python": platform.python_version()},
        "source": {
            "location": location,
            "collection": collection.name,
            "database": collection.database,
            "rows": collection.rows,
            "dimension": collection.dimension,
            "space": collection.space,
            "space_from": collection.space_from,
            "reading_rule": seen.rule,
            "where": request.where,
            "where_document": request.where_document,
            "rows_after_filter": scores.rows,
            "from_logdir": _from_logdir(request),
        },
        "model": {
            "name": model.name if model else None,
            "origin": model.origin if model else "the question's vector was given",
            "median_cosine": check.median_cosine if check else None,
            "chunks_checked": check.checked if check else 0,
            "chunks_fell_out": check.fell_out if check else 0,
        },
        "metric": scores.metric,
        "distance": DISTANCES[scores.metric],
        "top_k": request.top_k,
        "answer_match": request.answer_match,
        "seed": request.seed,
        "max_points": request.max_points,
        "asked_with": asked_with(request),
        "points": len(points),
        "left_out": int(hidden.sum()),
        "left_out_with_answer": int((hidden & scores.holds_answer).sum()),
        "questions": [
            {
                **_answered(i, question, seen, points, request),
                "page_neighbours": pictures.page_neighbours[i],
            }
            for i, question in enumerate(questions)
        ],
        "layouts": list(pictures.layouts),
        "focus": pictures.focus,
        "drawn": {DARTBOARD: _drawn(pictures.around_glyphs), MAP: _drawn(pictures.map_glyphs)},
        "warnings": _warnings(collection, check, seen, model),
    }


def asked_with(request: ExportRequest) -> dict[str, Any]:
    """What one needs to ask another question in the same way. Never a secret: an address in it has no user name."""
    parts = urlsplit(request.base_url or "")
    return {
        "model": request.model if isinstance(request.model, str) else None,
        "base_url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) or None,
        "columns": None if request.columns is None else list(request.columns),
        "text_length": request.text_length,
        "sprites": request.sprites,
        "lines": request.lines,
        "open_on": request.open_on,
        "projection": request.projection,
    }


def _from_logdir(request: ExportRequest) -> str | None:
    """The way from the log directory to a directory beside it, so that another question finds it again.

    None for a source that is farther away: a run that is passed on must not say how its maker's disk is laid out.
    """
    if not isinstance(request.source, str | Path) or str(request.source).startswith(("http://", "https://")):
        return None
    project, source = request.logdir.absolute().parent.resolve(), Path(request.source).absolute().resolve()
    return os.path.relpath(source, request.logdir.resolve()) if source.is_relative_to(project) else None


def _drawn(glyphs: Sequence[Glyph]) -> list[list[Any]]:
    """Row, role and number of every glyph that is no plain chunk: what a picture of a stored run is drawn from."""
    return [[row, *glyph] for row, glyph in enumerate(glyphs) if glyph.role != CHUNK]


def _answered(index: int, question: Question, seen: Seen, points: Points, request: ExportRequest) -> dict[str, Any]:
    row_of = {position: row for row, position in enumerate(points.position.tolist()) if position >= 0}
    hits = []
    for rank, position in enumerate(seen.scores.top(index, request.top_k).tolist(), start=1):
        row = row_of[position]
        hits.append(
            {
                "rank": rank,
                "id": points.ids[row],
                "distance": float(seen.scores.distances[index, position]),
                "source": points.source(row),
                "page": points.page(row),
                "contains_answer": bool(seen.scores.answers[index, position]),
                "text": " ".join((points.texts[row] or "").split())[: request.text_length],
            }
        )
    first = seen.scores.first_answer_rank(index)
    holding = int(seen.scores.answers[index].sum())
    return {
        "text": question.text,
        "answers": list(question.answers),
        "chunks_with_answer": holding,
        "first_answer_rank": first,
        "verdict": verdict(bool(question.answers), first, holding, seen.scores.rows, request.top_k),
        "hits": hits,
    }


def verdict(asked: bool, first: int | None, holding: int, rows: int, top_k: int) -> str:
    """In one line: where the answer is. `holding` chunks hold it, the `first` of them by rank."""
    if not asked:
        return "no answer was given, so whether one was retrieved is not known: --answer TEXT marks it"
    if first is None:
        return f"no chunk holds the answer: it is in none of the {rows:,}"
    missed = f", missed by the top {top_k}" if first > top_k else ""
    return f"first chunk with the answer: rank {first:,} of {rows:,}{missed} ({holding:,} hold it)"


def _warnings(collection: Collection, check: ModelCheck | None, seen: Seen, model: Model | None) -> list[str]:
    scores, found = seen.scores, []
    if check is not None and check.warning:
        found.append(check.warning)
    if model is not None and check is None:
        found.append("no chunk has a text, so whether the model is the collection's could not be checked")
    if scores.metric != collection.space:
        found.append(
            f"ranked by {scores.metric}, the collection retrieves by {collection.space}: ranks may differ from it"
        )
    if scores.zero_vectors:
        found.append(
            f"{scores.zero_vectors:,} chunks have a vector of zeros"
            + (", distance 1 by cosine" if scores.metric == "cosine" else "")
        )
    if scores.lost:
        names = ", ".join(scores.lost_ids) + (", ..." if scores.lost > len(scores.lost_ids) else "")
        found.append(f"{scores.lost:,} chunks have no vector in the index or the log, and are left out: {names}")
    if seen.shown.vectors.shape[1] < 3:
        found.append(
            "vectors of fewer than three dimensions are padded with zeros, or the Projector would show nothing"
        )
    return found
