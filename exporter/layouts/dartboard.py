"""The dartboard: the question in the middle, every chunk as far out as its rank says.

A map of neighbourhoods puts a question on top of its hits, where neither can be read. Here only the radius is meant;
the angle keeps chunks of one subject together.
"""

from __future__ import annotations

import numpy as np

from exporter.layouts.pca import principal_axes
from exporter.records import Float32, Float64, Int64

HITS = (0.15, 0.35)
"""Radii of rank 1 and rank k."""
OTHERS = (0.45, 1.0)
"""Radii just beyond rank k and of the last rank: an empty band lies between what was retrieved and what was not."""
CENTRED = 0.05
"""How far from the middle the page's own stretching of each axis may put the question, in half widths."""
FEWEST = 4
"""Fewer chunks can't surround a question."""


def dartboard(question: Float32, vectors: Float32, ranks: Int64, top_k: int, collection_size: int) -> Float64:
    """(d,) question, (m, d) chunks with their (m,) ranks in the collection -> (m, 3), the third column exactly 0.

    The question is at the origin. m is at least `FEWEST`. The radius follows the rank alone: `radii`. The angle is the
    order of the direction in the first two principal components of what is left of a chunk without its part along the
    question, spread evenly over the circle; the hits stand at equal steps in that order. Where so few rows leave the
    question off the middle of the page's axes, the outermost move to the ends of the axes.
    """
    k = min(top_k, collection_size)
    radius = radii(ranks, k, collection_size)
    around = _directions(question, vectors)
    angle = _evenly(around, len(ranks))
    hits = np.flatnonzero(ranks <= k)
    even = _evenly(np.argsort(angle[hits], kind="stable"), len(hits))
    turn = np.angle(np.mean(np.exp(1j * (angle[hits] - even)))) if len(hits) else 0.0
    angle[hits] = even + turn
    angle -= _tilt(radius, angle)
    if _off_centre(_placed(radius, angle)) > CENTRED:
        radius, angle = _balanced(radius, angle, ranks, k)
    return _placed(radius, angle)


def radii(ranks: Int64, k: int, n: int) -> Float64:
    """(m,) radii in (0, 1]: rising with the rank, evenly for the top k, with the logarithm beyond them."""
    hit = HITS[0] + (HITS[1] - HITS[0]) * (ranks - 1) / max(k - 1, 1)
    if n <= k:
        return np.asarray(hit)
    other = OTHERS[0] + (OTHERS[1] - OTHERS[0]) * np.log(np.maximum(ranks, k) / k) / np.log(n / k)
    return np.where(ranks <= k, hit, other)


def _directions(question: Float32, vectors: Float32) -> Int64:
    """The rows in the order of their direction around the question; stored order where directions are equal."""
    length = np.linalg.norm(question.astype(np.float64))
    unit = question.astype(np.float64) / length if length else np.zeros(len(question))
    residual = vectors - np.outer(vectors @ unit, unit)
    plane = principal_axes(residual, 2)
    return np.argsort(np.arctan2(plane[:, 1], plane[:, 0]), kind="stable")


def _evenly(order: Int64, count: int) -> Float64:
    """Equal steps of the whole circle, in this order."""
    angle = np.empty(count)
    angle[order] = np.linspace(-np.pi, np.pi, count, endpoint=False)
    return angle


def _placed(radius: Float64, angle: Float64) -> Float64:
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(len(radius))])


def _off_centre(places: Float64) -> float:
    """How far from the middle of its axis the origin is, on the worse axis; the page scales each axis to -1 .. 1."""
    low, high = np.minimum(places.min(axis=0), 0)[:2], np.maximum(places.max(axis=0), 0)[:2]
    width = high - low
    return float(np.max(np.abs(np.divide(high + low, width, out=np.ones(2), where=width > 0))))


def _tilt(radius: Float64, angle: Float64) -> float:
    """By which angle the page's PCA would turn these places: half that of the sum of their doubled directions."""
    return float(np.angle(np.sum(radius**2 * np.exp(2j * angle))) / 2)


def _balanced(radius: Float64, angle: Float64, ranks: Int64, k: int) -> tuple[Float64, Float64]:
    """Few rows: the four outermost hold the ends of the axes, in pairs of nearly one radius, the question between them.

    In a pair the inner one is drawn out to the outer one's radius, almost; or, where one was retrieved and the other
    was not, the outer one is drawn in to just beyond it. No two rows change their order. The others keep their
    directions but for a common turn, which leaves the axes where they are.
    """
    radius, angle = radius.copy(), angle.copy()
    ends = np.argsort(-ranks, kind="stable")[:4]
    for axis, (outer, inner) in enumerate((ends[:2], ends[2:])):
        if (ranks[outer] <= k) == (ranks[inner] <= k):
            radius[inner] = max(radius[inner], 0.95 * radius[outer])
        else:
            radius[outer] = min(radius[outer], 1.08 * radius[inner])
        angle[outer], angle[inner] = axis * np.pi / 2, (axis + 2) * np.pi / 2
    rest = np.setdiff1d(np.arange(len(ranks)), ends)
    hits = rest[ranks[rest] <= k]
    angle[hits[np.argsort(angle[hits], kind="stable")]] = _between_the_ends(len(hits))
    angle[rest] -= _tilt(radius[rest], angle[rest])
    return radius, angle


def _between_the_ends(count: int) -> Float64:
    """So many angles, even within each quarter of the circle, none on an axis."""
    quarters = np.array_split(np.arange(count), 4)
    steps = [np.arange(1, len(quarter) + 1) / (len(quarter) + 1) for quarter in quarters]
    return np.concatenate([(place - 2 + step) * np.pi / 2 for place, step in enumerate(steps)])
