"""What a manifest says of an export: what was asked, of what, with what, and what came of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from exporter.embedding.check import ModelCheck
from exporter.embedding.models import Model
from exporter.records import CHUNKING, Collection, Int64, Question
from exporter.runs.points import CHUNK
from exporter.runs.sprites import Glyph
from exporter.sources import is_server
from exporter.workflows.assessment import Assessment
from exporter.workflows.pictures import Pictures
from exporter.workflows.ranking import Seen
from exporter.workflows.request import ExportRequest

DISTANCES = {
    "l2": "Euclidean: the L2 norm of the difference (Chroma's own l2 is its square; the order is the same)",
    "cosine": "1 - cosine",
    "ip": "1 - dot product",
}


def facts_of(
    request: ExportRequest,
    location: str,
    collection: Collection,
    questions: Sequence[Question],
    model: Model | None,
    check: ModelCheck | None,
    seen: Seen,
    pictures: Pictures,
    found: Assessment | None = None,
) -> dict[str, Any]:
    """What the manifest says; the keys of `Run.to_json` among them."""
    scores, points = seen.scores, seen.points
    row_of = {position: row for row, position in enumerate(points.position.tolist()) if position >= 0}
    hidden = np.ones(scores.rows, bool)
    hidden[seen.positions] = False
    answered = [_answered(i, question, seen, row_of, request) for i, question in enumerate(questions)]
    evaluated: dict[str, Any] = {}
    if found is not None:
        whole = found.to_json()
        whole["warnings"] = without_the_way(whole["warnings"], request.source, location)
        answered = [{**one, **_judged(judged)} for one, judged in zip(answered, whole.pop("per_question"), strict=True)]
        evaluated = {"evaluation": {"set": request.set_name, **whole}}
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
            "chunking": {
                name: collection.metadata[key] for name, key in CHUNKING.items() if key in collection.metadata
            },
            "reading_rule": seen.rule,
            "private_copy": seen.copied,
            "longest_lock_ms": None if seen.longest_lock is None else round(1000 * seen.longest_lock, 1),
            "where": request.where,
            "where_document": request.where_document,
            "rows_after_filter": scores.population,
            "reading": {"whole": True} if seen.part is None else seen.part.facts(),
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
        "left_out": int(hidden.sum()) + scores.population - scores.rows,
        "left_out_with_answer": int((hidden & scores.holds_answer).sum()),
        "questions": [
            {**one, "page_neighbours": share} for one, share in zip(answered, pictures.page_neighbours, strict=True)
        ],
        **evaluated,
        "estimates": [] if seen.part is None else seen.part.estimates(),
        "layouts": list(pictures.layouts),
        "focus": pictures.focus,
        "drawn": _drawn(pictures.glyphs),
        "warnings": [
            *_warnings(request, collection, check, seen, model, pictures),
            *without_the_way(found.warnings if found is not None else (), request.source, location),
        ],
    }


def without_the_way(texts: Sequence[str], source: Any, location: str) -> list[str]:
    """Texts that name a source as a run does, by its last part: a disk's layout is its owner's business."""
    if not isinstance(source, str | Path) or "://" in str(source):
        return list(texts)
    absolute, resolved = Path(source).expanduser().absolute(), Path(source).expanduser().resolve()
    return [text.replace(str(absolute), location).replace(str(resolved), location) for text in texts]


def asked_with(request: ExportRequest) -> dict[str, Any]:
    """What one needs to ask another question in the same way. Never a secret: an address in it has no user name."""
    parts = urlsplit(request.base_url or "")
    return {
        "model": request.model if isinstance(request.model, str) else None,
        "base_url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) or None,
        "ignore_accents": request.ignore_accents,
        "fuzzy_threshold": request.fuzzy_threshold,
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
    if not isinstance(request.source, str | Path) or is_server(request.source):
        return None
    project, source = request.logdir.absolute().parent.resolve(), Path(request.source).absolute().resolve()
    return os.path.relpath(source, request.logdir.resolve()) if source.is_relative_to(project) else None


def _drawn(glyphs: Sequence[Glyph]) -> list[list[Any]]:
    """Row, role and number of every glyph that is no plain chunk: what a picture of a stored run is drawn from."""
    return [[row, *glyph] for row, glyph in enumerate(glyphs) if glyph.role != CHUNK]


def _answered(
    index: int, question: Question, seen: Seen, row_of: Mapping[int, int], request: ExportRequest
) -> dict[str, Any]:
    scores, points = seen.scores, seen.points

    def hits_at(positions: Int64) -> list[dict[str, Any]]:
        ranked = scores.seen(index, positions)
        rows = [row_of[position] for position in positions.tolist()]
        return [
            {
                "rank": rank,
                "id": points.ids[row],
                "distance": distance,
                "source": points.sources[row],
                "page": points.page(row),
                "contains_answer": holds,
                "text": " ".join((points.texts[row] or "").split())[: request.text_length],
            }
            for row, rank, distance, holds in zip(
                rows, ranked.ranks.tolist(), ranked.distances.tolist(), ranked.answers.tolist(), strict=True
            )
        ]

    hits = hits_at(scores.top(index, request.top_k))
    returned: dict[str, Any] = {}
    if scores.returned:
        found = hits_at(scores.returned[index])
        returned = {"returned": found, "lost": lost_hits(hits, found)}
    first = scores.first_answer_rank(index)
    holding = scores.holding(index)
    return {
        "text": question.text,
        "answers": list(question.answers),
        "chunks_with_answer": holding,
        "first_answer_rank": first,
        "verdict": verdict(
            bool(question.answers),
            first,
            holding,
            scores.population,
            request.top_k,
            _looked_at(seen),
            _counted(seen, index),
        ),
        "hits": hits,
        **returned,
    }


def _judged(one: Mapping[str, Any]) -> dict[str, Any]:
    """What an evaluation adds to a question, under the names of `per_question` but for the verdict, which is a line."""
    kept = {key: one[key] for key in ("id", "evidence", "repair", "first_rank", "right_chunks", "metrics")}
    return {**kept, "kind": one["verdict"], "verdict": f"{one['verdict'].replace('_', ' ')}: {one['evidence']}"}


def _looked_at(seen: Seen) -> int | None:
    """How many chunks an answer was looked for in; None: in all."""
    return None if seen.part is None or seen.part.searched else seen.scores.rows


def _counted(seen: Seen, question: int) -> int:
    """Up to which rank those of a question were counted, and not estimated."""
    return seen.scores.rows if seen.part is None else seen.part.counted[question]


def verdict(
    asked: bool, first: int | None, holding: int, rows: int, top_k: int, read: int | None = None, counted: int = 2**31
) -> str:
    """In one line: where the answer is. `holding` chunks hold it, the `first` of them by rank; `read`: how many were
    looked at, where not all; ranks beyond `counted` are estimates.
    """
    if not asked:
        return "no answer was given, so whether one was retrieved is not known: --answer TEXT marks it"
    if first is None:
        of = f"the {rows:,}" if read is None else f"the {read:,} that were read, of {rows:,}"
        return f"no chunk holds the answer: it is in none of {of}"
    missed = f", missed by the top {top_k}" if first > top_k else ""
    held = f"{holding:,} hold it" if read is None else f"{holding:,} of the {read:,} that were read hold it"
    about = "about " if first > counted else ""
    return f"first chunk with the answer: rank {about}{first:,} of {rows:,}{missed} ({held})"


def lost_hits(hits: Sequence[Mapping[str, Any]], returned: Sequence[Mapping[str, Any]]) -> str:
    """In one line: which of the true top k an application did not return."""
    there = {hit["id"] for hit in returned}
    lost = [f"#{hit['rank']} {hit['id']}" for hit in hits if hit["id"] not in there]
    found = (
        f"the application returned {len(returned):,}, {len(hits) - len(lost)} of the true top {len(hits)} among them"
    )
    return f"{found}; it lost {', '.join(lost)}" if lost else found


def _warnings(
    request: ExportRequest,
    collection: Collection,
    check: ModelCheck | None,
    seen: Seen,
    model: Model | None,
    pictures: Pictures,
) -> list[str]:
    scores, found = seen.scores, list[str]()
    if seen.part is not None:
        found += seen.part.warnings()
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
    if pictures.layouts and pictures.layouts[-1]["made_by"] == "pca" and request.projection != "pca":
        found.append(f"{len(seen.points)} points are too few for UMAP: the map shows their principal axes")
    if seen.unknown:
        found.append(
            f"{len(seen.unknown)} ids of --retrieved are not among the chunks read: {', '.join(seen.unknown[:5])}"
        )
    if seen.points.vectors.shape[1] < 3:
        found.append(
            "vectors of fewer than three dimensions are padded with zeros, or the Projector would show nothing"
        )
    return found
