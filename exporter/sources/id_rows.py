"""Which row has an id, without keeping the ids."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from exporter.records import Int64
from exporter.sources.changes import Changed

SALTS = ("", "#", "##")


class IdRows:
    """The row of each of n ids, as they come, by a hash of 64 bits: 16 bytes a row, as much again while built.

    The hash is Python's own of text, whose key differs from process to process. `pages` begins a pass over the ids;
    where two have the same hash, another pass is made with another hash. Raises `Changed` for an id that comes twice:
    its pages were read at different times.
    """

    def __init__(self, pages: Callable[[], Iterable[Sequence[str]]]) -> None:
        for self._salt in SALTS:
            hashes = array("q")
            for page in pages():
                hashes.frombytes(self._hashed(page).tobytes())
            found = np.frombuffer(hashes, np.int64)
            self._order = np.argsort(found)
            self._hashes = found[self._order]
            if not (np.diff(self._hashes) == 0).any():
                return
        raise Changed

    def of(self, ids: Sequence[str]) -> Int64:
        """The row of each id, (m,); -1 of those that are none of them.

        Of an id that is none of them, the chance to be taken for one is n in 2^64.
        """
        if not len(self._hashes):
            return np.full(len(ids), -1, np.int64)
        hashes = self._hashed(ids)
        found = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return np.where(self._hashes[found] == hashes, self._order[found], -1)

    def _hashed(self, ids: Sequence[str]) -> Int64:
        return np.fromiter((hash_of(self._salt + name) for name in ids), np.int64, len(ids))


hash_of: Callable[[str], int] = hash
