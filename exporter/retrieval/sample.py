"""Which chunks are shown, when there are more than the picture takes; which are read, when there are far more."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from exporter.errors import UsageError
from exporter.records import Bool, Float64, Int64, ManyScores, Scores


def sample(scores: Scores | ManyScores, *, top_k: int, max_points: int, seed: int) -> Int64:
    """(m,) positions in stored order of the chunks to show, m at most `max_points` less the questions.

    Each question's top k always stay, and what an application returned; then the nearest chunks that hold an answer,
    then the nearest chunks up to half of `max_points`, and a seeded draw of what remains. "Nearest" is to the nearest
    question. Chunks without a vector are never shown. Raises UsageError when the top k alone don't fit.
    """
    questions = scores.questions
    room = max_points - questions
    nearest = scores.standings.distance
    usable = np.isfinite(nearest)
    by_distance = np.argsort(nearest, kind="stable")
    by_distance = by_distance[usable[by_distance]]
    shown = np.zeros(scores.rows, bool)
    for question in range(questions):
        shown[scores.top(question, top_k)] = True
        shown[scores.retrieved(question, top_k)] = True
    if shown.sum() > room:
        raise UsageError(
            f"--max-points {max_points} has no room for {questions} question(s) and their top {top_k}: "
            f"use --max-points {questions + int(shown.sum())} or more"
        )
    _fill(shown, by_distance[scores.holds_answer[by_distance]], room)
    _fill(shown, by_distance, min(room, max_points // 2))
    rest = np.flatnonzero(usable & ~shown)
    _fill(shown, np.random.default_rng(seed).permutation(rest), room)
    return np.flatnonzero(shown).astype(np.int64)


def _fill(shown: np.ndarray[tuple[int], np.dtype[np.bool_]], candidates: Int64, until: int) -> None:
    """Show the first candidates that are not shown yet, until there are `until` in all."""
    missing = until - int(shown.sum())
    if missing > 0:
        shown[candidates[~shown[candidates]][:missing]] = True


@dataclass(frozen=True)
class Drawn:
    """Ids in stored order, m of the `rows` that went by; (m,) `by_lot`: not asked for by name."""

    ids: Sequence[str]
    by_lot: Bool
    rows: int


def draw(pages: Iterable[Sequence[str]], wanted: Collection[str], room: int, seed: int) -> Drawn:
    """The `wanted` ids, as far as they come by, and of the others so many drawn by lot that there are `room` in all.

    A lot is a hash of seed and id, and the smallest win: so the draw does not depend on the order or the pages in which
    ids come, every id is as likely, and no more than a page is kept beside the winners.
    """
    key = hashlib.blake2b(str(seed).encode(), digest_size=32).digest()
    places: dict[str, int] = {}
    ids: list[str] = []
    lots, positions = np.empty(0, np.uint64), np.empty(0, np.int64)
    rows, limit = 0, np.uint64(2**64 - 1)
    for page in pages:
        own = [(row, one) for row, one in enumerate(page, rows) if one in wanted]
        places.update((one, row) for row, one in own)
        given = np.fromiter((_lot(one, key) for one in page), np.uint64, len(page))
        given[[row - rows for row, _ in own]] = limit
        won = np.flatnonzero(given < limit)
        ids += [page[row] for row in won.tolist()]
        lots, positions = np.concatenate([lots, given[won]]), np.concatenate([positions, won + rows])
        rows += len(page)
        if len(lots) > room:
            best = np.sort(np.argsort(lots, kind="stable")[:room])
            ids, lots, positions = [ids[one] for one in best.tolist()], lots[best], positions[best]
            limit = lots.max(initial=np.uint64(0))
    won = np.argsort(lots, kind="stable")[: max(room - len(places), 0)]
    chosen = [*((row, one, False) for one, row in places.items())]
    chosen += [(int(positions[one]), ids[one], True) for one in won.tolist()]
    chosen.sort()
    return Drawn([one for _, one, _ in chosen], np.array([by_lot for *_, by_lot in chosen], bool), rows)


def _lot(one: str, key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(one.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest())


@dataclass(frozen=True)
class Estimated:
    """(m,) ranks among all rows, ascending with the distance: counted up to the rank `counted`, estimated beyond.
    `unknown`: about how many chunks are nearer than the last that the index named, and were not named.
    """

    ranks: np.ndarray[tuple[int], np.dtype[np.int32]]
    counted: int
    unknown: float


def estimated_ranks(distances: Float64, known: Bool, by_lot: Bool, rows: int, top_k: int) -> Estimated:
    """Ranks among all `rows` of the m that were read, by their (m,) distances.

    `known` are the nearest that the index named, `by_lot` those that were drawn. Each drawn chunk stands for as many as
    were not asked for by name, divided among those drawn; its own rank is the middle of these. Up to the last known one
    ranks count what was read, unless one was drawn that is nearer, so that the index must have lost chunks: then only
    up to that, and those of the top k.
    """
    order = np.argsort(distances, kind="stable")
    last = distances[known].max(initial=-np.inf)
    drawn = int(by_lot.sum())
    each = np.where(by_lot, (rows - len(distances) + drawn) / max(drawn, 1), 1.0)
    nearer = ~known & (distances < last)
    first = distances[nearer & by_lot].min(initial=np.inf)
    counted = max(int((distances < first).sum()) if first < np.inf else int((distances <= last).sum()), top_k)
    weights = each[order]
    middle = np.floor(np.cumsum(weights) - (weights + 1) / 2 + 1e-6) + 1
    places = np.arange(1, len(distances) + 1)
    ranks = np.empty(len(distances), np.int32)
    ranks[order] = np.minimum(np.where(places > counted, middle, places), rows)
    return Estimated(ranks, counted, float(each[nearer].sum()))
