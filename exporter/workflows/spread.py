"""A server's chunks, scored by all workers of an engine: each fetches its share from the server itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from exporter.engines import Engine
from exporter.records import Collection, Int64, Progress, Scores
from exporter.retrieval.scan import Part, Query, combine, score
from exporter.sources import Access
from exporter.sources.paging import PagedRows, marks_of

PAGES = 5
"""Pages that a worker is given at once."""


def score_spread(
    engine: Engine,
    source: Any,
    access: Access,
    collection: Collection,
    query: Query,
    rows: PagedRows,
    page: int,
    progress: Progress,
) -> Scores:
    """What `scan` makes of all rows, to the last bit: a distance is computed of one chunk and one question, wherever.

    `source` and `access` name the server, `page` how many rows it gives at once. Raises `Changed`.
    """
    ids, share = rows.ids, PAGES * page
    shares = (ids[first : first + share] for first in range(0, len(ids), share))
    parts: list[Part] = []
    done = 0
    for found, marks in engine.each(partial(_scorer, source, access, collection, query), map(list, shares)):
        rows.note(done, marks)
        parts += found
        done += len(marks)
        progress("reading", done, len(ids))
    rows.check()
    return combine(parts, query.metric)


def _scorer(
    source: Any,
    access: Access,
    collection: Collection,
    query: Query,
) -> Callable[[list[str]], tuple[list[Part], Int64]]:
    """A worker's own connection."""
    from exporter.sources.server import Server

    fetcher = Server(source, access).fetcher(collection)

    def score_share(ids: list[str]) -> tuple[list[Part], Int64]:
        batches = list(fetcher.batches(ids, texts=query.has_answers, metadatas=False))
        parts = [score(batch, query) for batch in batches]
        return parts, np.concatenate([marks_of(batch) for batch in batches])

    return score_share
