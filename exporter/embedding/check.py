"""Were the stored vectors made by this model? Embed some chunks again, and compare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporter.records import Float32, Float64

ALIKE = 0.99
"""The cosine from which two embeddings of one text count as the same model's: batching, device and half precision
change the third decimal at most, another model gives less than 0.5 on average."""

NEARLY_ALL = 0.9
"""The share of chunks that fell out from which the model is another one; below it, the collection has two."""


@dataclass(frozen=True)
class ModelCheck:
    """What re-embedding said. `fell_out` counts the chunks whose cosine is below `ALIKE`."""

    checked: int
    median_cosine: float
    fell_out: int

    @property
    def passed(self) -> bool:
        """All chunks alike: one model made them, and it is this one."""
        return self.fell_out == 0

    @property
    def foreign(self) -> bool:
        """All chunks unlike, or nearly all: another model made them."""
        return self.fell_out >= NEARLY_ALL * self.checked

    @property
    def warning(self) -> str | None:
        """In one line, what is wrong; None when nothing is."""
        if self.passed:
            return None
        if self.foreign:
            return (
                f"the model is not the one that made this collection: {self.checked} chunks embedded again have a "
                f"median cosine of {self.median_cosine:.3f} with their stored vectors (the same model gives 1.000)"
            )
        return (
            f"{self.fell_out} of {self.checked} chunks embedded again don't match their stored vectors, the others do: "
            "perhaps two models in one collection, or texts that were changed after embedding"
        )


def cosines_of(stored: Float32, again: Float32) -> Float64:
    """(m,) cosines of (m, d) stored vectors and (m, d) new ones of the same texts; 0 where one has length 0."""
    left, right = stored.astype(np.float64), again.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray(np.divide((left * right).sum(axis=1), lengths, out=np.zeros(len(left)), where=lengths > 0))


def compare(stored: Float32, again: Float32) -> ModelCheck:
    """(m, d) stored vectors and (m, d) new ones of the same texts, m > 0; stored ones of length 0 say nothing of the
    model, so leave them out.
    """
    cosines = cosines_of(stored, again)
    return ModelCheck(len(cosines), float(np.median(cosines)), int((cosines < ALIKE).sum()))
