"""One picture laid over another: turned, mirrored, scaled and moved, so that what both show comes to lie together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporter.records import Float64

FEWEST = 3
"""Points in common, below which any two pictures fit."""


@dataclass(frozen=True)
class Overlay:
    """How to lay a picture over another. `apart`: what is left of the shared points' spread, 0 where they coincide and
    1 where nothing fits; the `disparity` of scipy.spatial.procrustes.
    """

    centre: Float64
    turn: Float64
    scale: float
    onto: Float64
    apart: float

    def __call__(self, places: Float64) -> Float64:
        """(n, c) places of the one picture -> where they are in the other."""
        return np.asarray((places - self.centre) @ self.turn * self.scale + self.onto)


def overlay(onto: Float64, moving: Float64, *, scaled: bool = True) -> Overlay:
    """Lay `moving` (k, c) over `onto` (k, c), row on row: by orthogonal Procrustes, the least squares.

    Without `scaled` distances stay what they are. Where either has no spread at all, it is only moved.
    """
    from scipy.linalg import orthogonal_procrustes

    centres = onto.mean(axis=0), moving.mean(axis=0)
    still, moved = onto - centres[0], moving - centres[1]
    spread = np.square(still).sum(), np.square(moved).sum()
    if not spread[0] or not spread[1]:
        return Overlay(centres[1], np.eye(onto.shape[1]), 1.0, centres[0], 1.0)
    turn, common = orthogonal_procrustes(moved, still)
    return Overlay(
        centre=centres[1],
        turn=turn,
        scale=float(common / spread[1]) if scaled else 1.0,
        onto=centres[0],
        apart=float(max(0.0, 1 - common**2 / (spread[0] * spread[1]))),
    )
