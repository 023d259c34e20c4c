"""A server that holds far more than is shown is not read whole: its index names the nearest chunks, its own search
those that hold the answer, a lot draws the others. What then is an estimate is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exporter.errors import ExporterError, UsageError
from exporter.records import Batch, Collection, Int64, Progress, Question, Scores
from exporter.retrieval.sample import Drawn, draw, estimated_ranks
from exporter.retrieval.scan import Query, scan
from exporter.sources import Filter
from exporter.sources.changes import Changed
from exporter.sources.paging import ClientSource, PagedRows
from exporter.workflows.request import ExportRequest

FAR = 10
"""So many times as many chunks as `max_points` are far more than is shown."""

NAMED = 1000
"""Chunks that the index is asked to name for a question: their ranks are counted, all others' estimated."""

SOUND = 0.9
"""The share of the nearest chunks that an index should name: with less, ranks among what it named are too small."""


@dataclass(frozen=True)
class PartRead:
    """Scores of the chunks that were read, which were `by_lot` and not by name, and what is to be told."""

    scores: Scores
    batches: Sequence[Batch]
    by_lot: int
    named: int
    counted: Sequence[int]
    """Up to which rank those of each question were counted, and not estimated."""
    index_share: float
    """About which share of the chunks as near as those named the index did name, for the question where it is least."""
    searched: bool
    """Whether the server named all chunks that hold an answer."""
    unsearched: tuple[str, ...] = ()
    """Why it did not."""

    def take(self, positions: Int64) -> list[Batch]:
        """The rows at these positions among those read, ascending."""
        starts = np.cumsum([0, *map(len, self.batches)])
        taken = []
        for start, batch in zip(starts.tolist(), self.batches, strict=False):
            rows = [p - start for p in positions.tolist() if start <= p < start + len(batch)]
            ids, texts, metadatas = (
                [cells[row] for row in rows] for cells in (batch.ids, batch.texts, batch.metadatas)
            )
            taken.append(Batch(ids, batch.vectors[rows], texts, metadatas))
        return taken

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "whole": False,
            "read": self.scores.rows,
            "named_by_index": self.named,
            "index_share": round(self.index_share, 3),
            "drawn": self.by_lot,
        }

    def warnings(self) -> list[str]:
        """What whoever reads the figures must know."""
        part = f"{self.scores.rows:,} of {self.scores.population:,} chunks were read, so some figures are estimates"
        found = [f"{part}: the manifest says which; --read whole reads all"]
        if self.index_share < SOUND:
            found.append(
                f"the server's index named only about {max(100 * self.index_share, 1):.0f} % of the chunks that are as "
                f"near as its {self.named:,}, by the draw: the top k may be far from the true one; --read whole ranks "
                "all"
            )
        return found

    def estimates(self) -> list[str]:
        """Which figures of the run are none of exact counting, a line each."""
        share, counted = 100 * self.index_share, min(self.counted)
        every = f"{self.scores.rows:,} of {self.scores.population:,} chunks were read"
        holding = (
            "chunks_with_answer and first_answer_rank: of the chunks that hold the answer all were found by the "
            "server's own search; a rank among them that is beyond those counted is estimated"
            if self.searched
            else "chunks_with_answer and first_answer_rank: only the chunks that were read were looked at, so there "
            "may be more of them, and nearer ones" + "".join(f" ({why})" for why in self.unsearched)
        )
        asked = bool(self.scores.answers.any()) or self.unsearched or self.searched
        return [
            f"rank up to {counted:,}: by the server's approximate index, which may have lost chunks that are nearer"
            f"; by the draw it named about {share:.0f} %",
            f"rank beyond {counted:,}, and so the radius in around_question: estimated from {self.by_lot:,} chunks "
            f"drawn by lot; {every}",
            *([holding] if asked else []),
            "trustworthiness, closeness, the map and its neighbourhoods: of the chunks that were read",
        ]


def reads_a_part(request: ExportRequest, rows: int) -> bool:
    """Of a server that holds so many rows, is only a part read? Not where all of them are shown anyway."""
    least = {"auto": FAR * request.max_points, "sample": request.max_points - len(request.questions)}
    return request.read in least and rows > least[request.read]


def read_part(
    request: ExportRequest,
    query: Query,
    source: ClientSource,
    collection: Collection,
    places: dict[str, int | None],
    rows: PagedRows,
    progress: Progress,
) -> PartRead:
    """Read what the index names, what holds the answer, what `places` has keys for, and a draw of the others.

    The places are filled in. Raises `Changed`.
    """
    questions, metric = query.questions, query.metric
    room = request.max_points - len(questions)
    named = max(request.top_k, min(NAMED, room // (2 * len(questions)), source.page, rows.count))
    if metric != collection.space:
        raise UsageError(
            f"the server's index ranks by {collection.space}, so a part of the collection can't be ranked by {metric}: "
            "leave --metric away, or read all by --read whole"
        )
    progress("asking the server's index", 0, None)
    vectors = np.stack([question.vector for question in questions])
    filters = {"where": request.where, "where_document": request.where_document}
    hits = source.query(collection, vectors, min(named, rows.count), **filters)
    holding, unsearched = _search(request, questions, rows, progress)
    wanted = dict.fromkeys(one for ids in hits for one in ids) | dict.fromkeys(places)
    searched = all(complete for _, complete in holding)
    until = (len(wanted) + room) // 2  # the other half is for the lot, which all estimates are made from
    for ids, _ in holding:
        free = max(until - len(wanted), 0)
        searched &= len(set(ids) - wanted.keys()) <= free
        wanted |= dict.fromkeys(ids[:free] if free < len(ids) else ids)
    if len(wanted) > room:
        raise UsageError(
            f"--max-points {request.max_points} has no room for what the index named, and --retrieved: "
            f"use --max-points {len(wanted) + len(questions)} or more, or a smaller --top-k"
        )
    drawn = draw(_counted(rows, progress), wanted.keys(), room, request.seed)
    if {one for ids in hits for one in ids} - set(drawn.ids):
        raise Changed  # the index named what was not listed
    batches = []
    for batch in rows.named(drawn.ids):
        batches.append(batch)
        progress("reading", sum(map(len, batches)), len(drawn.ids))
    _settle(places, drawn)
    scores, counted, share = _estimated(scan(batches, query), hits, drawn, request.top_k)
    searched &= query.has_answers and not unsearched
    return PartRead(scores, batches, int(drawn.by_lot.sum()), named, counted, share, searched, unsearched)


def _estimated(
    scores: Scores, hits: Sequence[Sequence[str]], drawn: Drawn, top_k: int
) -> tuple[Scores, list[int], float]:
    """With ranks among all; up to which they were counted; and which share of the nearest the index named, for the
    question where it is least.
    """
    found, shares = [], []
    for question, ids in enumerate(hits):
        mine = set(ids)
        known = np.array([one in mine for one in drawn.ids], bool)
        one = estimated_ranks(scores.distances[question], known, drawn.by_lot, drawn.rows, top_k)
        found.append(one)
        shares.append(len(ids) / max(len(ids) + one.unknown, 1))
    ranked = replace(scores, ranks=np.stack([one.ranks for one in found]), of=drawn.rows)
    return ranked, [one.counted for one in found], min(shares)


def _settle(places: dict[str, int | None], drawn: Drawn) -> None:
    row_of = {one: row for row, one in enumerate(drawn.ids)} if places else {}
    places.update({one: row_of.get(one) for one in places})


def _counted(rows: PagedRows, progress: Progress) -> Iterator[list[str]]:
    done = 0
    for page in rows.id_pages():
        done += len(page)
        progress("listing", done, rows.count)
        yield page
    if done != rows.count:
        raise Changed


def _search(
    request: ExportRequest, questions: Sequence[Question], rows: PagedRows, progress: Progress
) -> tuple[list[tuple[list[str], bool]], tuple[str, ...]]:
    """The ids that the server's own search finds for each question with answers, and whether they are all; and why
    something could not be searched for.
    """
    found, why = [], []
    for question in questions:
        for answer in question.answers:
            wanted = search_of(answer, request.answer_match, accents=not request.ignore_accents)
            if wanted is None:
                why.append(f"a server can't search as --answer-match {request.answer_match} with these options does")
                continue
            progress("searching for the answer", 0, None)
            try:
                found.append(rows.matching(wanted))
            except ExporterError as error:
                why.append(f"the server could not search for the answer: {error}")
    return found, tuple(dict.fromkeys(why))


def search_of(answer: str | tuple[str, ...], how: str, *, accents: bool) -> Mapping[str, object] | None:
    """Chroma's filter for texts that hold an answer: every chunk that it leaves out holds none, but for spellings that
    only Unicode's normal form makes equal. None where there is no such filter.
    """
    if not accents or how == "fuzzy":
        return None
    parts: list[Filter] = []
    for part in (answer,) if isinstance(answer, str) else answer:
        if how == "literal":
            parts.append({"$contains": part})
        elif how == "regex":
            parts.append({"$regex": part})
        else:
            parts.append({"$regex": "(?i)" + r"\s+".join(map(re.escape, part.split()))})
    return parts[0] if len(parts) == 1 else {"$and": parts}
