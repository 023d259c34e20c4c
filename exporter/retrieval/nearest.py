"""The nearest chunks of many questions: a matrix product in float32 nominates, the row kernel decides.

The product is quick and a little wrong. By how much is bounded, so a chunk that the bound can't rule out is nominated,
and its distance is computed by `retrieval.distance`, in float64, row by row: what is written is that, and so is the
order. Memory is bounded by a block of chunks and a block of scores, however many chunks there are.

Scores, smaller is nearer: l2 `|x|^2 - 2 q.x`, which is the squared distance less `|q|^2`; cosine and ip the distance
less 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from exporter.records import Batch, Bool, Float32, Float64, Int64, Nearest, Space
from exporter.retrieval.distance import lengths_of, pair_distances, unit
from exporter.retrieval.scan import NAMED, refuse_all_lost, without_vector

BLOCK = 16_384  # chunks
SCORES = 2**24  # in one block of questions by chunks: 64 MB
PAIRS = 2**22  # components of vectors that the row kernel gets at once, 32 MB in float64
CROWDED = 4  # nominees per question and place from which a partition of the block is cheaper than deciding on all
_ROUNDING = 2.0**-24
_HUGE = 1e18  # lengths whose squares and products float32 may not hold


@dataclass(frozen=True)
class _Questions:
    """Questions as the product wants them: (q, d) float32, and their lengths (q,) float64."""

    vectors: Float32
    metric: Space
    factors: Float32
    lengths: Float64

    @classmethod
    def of(cls, vectors: Float32, metric: Space) -> _Questions:
        lengths = lengths_of(vectors)
        factors = unit(vectors, lengths) if metric == "cosine" else vectors
        return cls(vectors, metric, -2 * factors if metric == "l2" else -factors, lengths)

    def scores_of(self, distances: Float64, questions: Int64 | slice = slice(None)) -> Float64:
        """The scores that have these distances, one a question."""
        if self.metric == "l2":
            return np.asarray(np.square(distances) - np.square(self.lengths[questions]))
        return np.asarray(distances - 1)

    def margins(self, block: _Block) -> Float64:
        """(q,): by how much a score of the product may differ from the row kernel's."""
        each = (self.vectors.shape[1] + 16) * _ROUNDING
        if self.metric == "cosine":
            return np.full(len(self.lengths), 2 * each)
        if self.metric == "ip":
            return np.asarray(each * self.lengths * block.longest + 1e-15)  # 1 - dot is rounded, too
        return np.asarray(each * np.square(self.lengths + block.longest) + 1e-30)


@dataclass(frozen=True)
class _Block:
    """Chunks as the product wants them. `vectors` (b, d) as they are, `positions` (b,) in the collection."""

    vectors: Float32
    positions: Int64
    factors: Float32
    offsets: Float32 | None
    longest: float

    @classmethod
    def of(cls, vectors: Float32, positions: Int64, metric: Space) -> _Block:
        lengths = lengths_of(vectors)
        longest = float(lengths.max(initial=0))
        if metric == "cosine":
            return cls(vectors, positions, unit(vectors, lengths), None, longest)
        offsets = np.square(np.minimum(lengths, _HUGE)).astype(np.float32) if metric == "l2" else None
        return cls(vectors, positions, vectors, offsets, longest)


class Ranker:
    """Keeps the `depth` nearest chunks of each question, of all the batches that it is given, in stored order."""

    def __init__(self, questions: Float32, metric: Space, depth: int) -> None:
        self._questions = _Questions.of(questions, metric)
        self._depth = depth
        self._positions = np.full((len(questions), depth), -1, np.int64)
        self._distances = np.full((len(questions), depth), np.inf)
        self._found = np.zeros(len(questions), np.int64)
        self._limits = np.full(len(questions), np.inf)
        self._blocks = _Blocks(metric)

    def add(self, batch: Batch) -> None:
        """Rank a batch too. Raises RowsError for a vector that holds NaN or infinity among its numbers."""
        for block in self._blocks.add(batch):
            self._rank(block)

    def nearest(self) -> Nearest:
        """What came out. Raises RowsError when no chunk has a vector."""
        for block in self._blocks.rest():
            self._rank(block)
        blocks = self._blocks
        refuse_all_lost(blocks.lost, blocks.rows)
        depth = int(self._found.max(initial=0))
        return Nearest(
            positions=self._positions[:, :depth],
            distances=self._distances[:, :depth],
            rows=blocks.rows,
            zero_vectors=blocks.zero_vectors,
            lost=blocks.lost,
            lost_ids=tuple(blocks.lost_ids),
        )

    def _rank(self, block: _Block) -> None:
        margins = self._questions.margins(block)
        for group, scores in _scores(self._questions, block):
            limits = self._limits[group]
            if not np.isfinite(limits).all():
                limits = np.minimum(limits, self._best_of(scores, margins[group]))
            nominated = _within(scores, limits)
            if np.count_nonzero(nominated) > CROWDED * self._depth * len(scores):
                nominated = _within(scores, np.minimum(limits, self._best_of(scores, margins[group])))
            rows, chunks = np.nonzero(nominated)
            found = _decide(self._questions, block, rows + group.start, chunks)
            edges = np.searchsorted(rows, np.arange(len(scores) + 1)).tolist()
            for row, (first, end) in enumerate(pairwise(edges)):
                if first < end:
                    self._merge(group.start + row, block.positions[chunks[first:end]], found[first:end])
            last = self._distances[group, self._depth - 1]
            full = np.isfinite(last)
            self._limits[group] = np.where(
                full, self._questions.scores_of(np.where(full, last, 0), group) + margins[group], np.inf
            )

    def _best_of(self, scores: Float32, margins: Float64) -> Float64:
        """(g,): what no chunk among the nearest of this block can exceed."""
        if scores.shape[1] <= self._depth:
            return np.full(len(scores), np.inf)
        return np.partition(scores, self._depth - 1, axis=1)[:, self._depth - 1] + 2 * margins

    def _merge(self, question: int, positions: Int64, distances: Float64) -> None:
        """The new ones come later in the collection, so a stable sort leaves ties in stored order."""
        had = int(self._found[question])
        every = np.concatenate([self._distances[question, :had], distances])
        order = np.argsort(every, kind="stable")[: self._depth]
        self._distances[question, : len(order)] = every[order]
        self._positions[question, : len(order)] = np.concatenate([self._positions[question, :had], positions])[order]
        self._found[question] = len(order)


def count_nearer(
    batches: Iterable[Batch], questions: Float32, metric: Space, distances: Float64, positions: Int64
) -> Int64:
    """(q,): how many chunks are nearer to each question than the one at this distance and position; ties in stored
    order. A chunk's rank is one more.
    """
    asked = _Questions.of(questions, metric)
    nearer = np.zeros(len(questions), np.int64)
    scores_wanted = asked.scores_of(distances)
    for block in _blocks(batches, metric):
        margins = asked.margins(block)
        for group, scores in _scores(asked, block):
            wanted, margin = scores_wanted[group], margins[group]
            surely = scores < _down(wanted - margin)[:, None]
            perhaps = _within(scores, wanted + margin) & ~surely
            nearer[group] += np.count_nonzero(surely, axis=1)
            rows, chunks = np.nonzero(perhaps)
            rows = rows + group.start
            found = _decide(asked, block, rows, chunks)
            before = (found == distances[rows]) & (block.positions[chunks] < positions[rows])
            np.add.at(nearer, rows[(found < distances[rows]) | before], 1)
    return nearer


class _Blocks:
    """Batches of any size -> blocks of one size, without the chunks that have no vector, and what was counted."""

    def __init__(self, metric: Space) -> None:
        self.rows = self.lost = self.zero_vectors = 0
        self.lost_ids: list[str] = []
        self._metric = metric
        self._waiting: list[tuple[Float32, Int64]] = []

    def add(self, batch: Batch) -> Iterator[_Block]:
        missing = without_vector(batch)
        self.zero_vectors += int((~batch.vectors.any(axis=1)).sum())
        self.lost += int(missing.sum())
        self.lost_ids += [batch.ids[i] for i in np.flatnonzero(missing)[: NAMED - len(self.lost_ids)]]
        positions = np.arange(self.rows, self.rows + len(batch))
        self.rows += len(batch)
        self._waiting.append((batch.vectors[~missing], positions[~missing]))
        if sum(len(kept) for _, kept in self._waiting) >= BLOCK:
            yield from self.rest()

    def rest(self) -> Iterator[_Block]:
        """What waits for a full block."""
        waiting, self._waiting = self._waiting, []
        if any(len(kept) for _, kept in waiting):
            vectors = np.concatenate([vectors for vectors, _ in waiting])
            positions = np.concatenate([kept for _, kept in waiting])
            for start in range(0, len(vectors), BLOCK):
                part = slice(start, start + BLOCK)
                yield _Block.of(vectors[part], positions[part], self._metric)


def _blocks(batches: Iterable[Batch], metric: Space) -> Iterator[_Block]:
    blocks = _Blocks(metric)
    for batch in batches:
        yield from blocks.add(batch)
    yield from blocks.rest()


def _scores(questions: _Questions, block: _Block) -> Iterator[tuple[slice, Float32]]:
    """A group of questions, and its (g, b) scores; of lengths that float32 can't square all scores are equal, so that
    the row kernel decides on every chunk.
    """
    rows = max(1, SCORES // len(block.positions))
    safe = max(block.longest, float(questions.lengths.max(initial=0))) < _HUGE
    for start in range(0, len(questions.vectors), rows):
        group = slice(start, min(start + rows, len(questions.vectors)))
        if not safe:
            yield group, np.full((group.stop - start, len(block.positions)), np.nan, np.float32)
            continue
        scores = questions.factors[group] @ block.factors.T
        if block.offsets is not None:
            scores += block.offsets
        yield group, scores


def _within(scores: Float32, limits: Float64) -> Bool:
    """(g, b): not above the limit; what can't be compared is within."""
    return np.asarray(~(scores > -_down(-limits)[:, None]))


def _down(values: Float64) -> Float32:
    """The nearest float32 that is not above."""
    return np.nextafter(values.astype(np.float32), np.float32(-np.inf))


def _decide(questions: _Questions, block: _Block, rows: Int64, chunks: Int64) -> Float64:
    """(m,) the row kernel's distances of pairs of a question and a chunk of the block."""
    found = np.empty(len(rows))
    step = max(1, PAIRS // max(1, block.vectors.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        found[part] = pair_distances(block.vectors[chunks[part]], questions.vectors[rows[part]], questions.metric)
    return found
