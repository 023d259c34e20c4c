"""How the chunks of a collection are ranked for an export, and which of them are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from exporter import engines
from exporter.engines import Engine
from exporter.errors import UsageError
from exporter.records import Batch, Collection, Int64, ManyScores, Progress, Scores
from exporter.retrieval.sample import sample
from exporter.retrieval.scan import Query, question_distance, scan, survey
from exporter.runs.points import Points, arrange
from exporter.runs.views import MOST_ENTRIES
from exporter.sources import Rows, Source, is_server
from exporter.sources.paging import ClientSource, PagedRows
from exporter.workflows.assessment import Assessment
from exporter.workflows.collections import refuse_none
from exporter.workflows.partial_read import PartRead, read_part, reads_a_part
from exporter.workflows.pictures import OTHER_VIEWS
from exporter.workflows.request import ExportRequest
from exporter.workflows.spread import score_spread

_READ_ONCE = 20_000
"""So many rows, all of them shown, are read once and kept; of more the vectors would be in memory twice, and only a
server's are."""
HARDEST = 20
"""Questions of a set that have bookmarks of their own, at most."""


@dataclass(frozen=True)
class Seen:
    """What one reading of the collection gave: scores of all of it, and the rows that are shown."""

    scores: Scores | ManyScores
    positions: Int64
    points: Points
    rule: str
    unknown: Sequence[str] = ()
    """Ids that an application returned, and the collection has not."""
    longest_lock: float | None = None
    """Seconds for which a writer was kept waiting, at most."""
    copied: str | None = None
    """Why a private copy was read in the place of the source."""
    part: PartRead | None = None
    """What was read, where that was not all."""


@dataclass(frozen=True)
class Ranking:
    """Ranks a collection's chunks by a query, as a request wants them shown."""

    request: ExportRequest
    query: Query
    collection: Collection
    progress: Progress

    def read(self, source: Source, found: Assessment | None = None) -> Seen:
        """Read the collection, and rank it; `found` is what was found of a question set. Raises an ExporterError."""
        filters = {"where": self.request.where, "where_document": self.request.where_document}
        if found is not None:
            return source.read(self.collection, partial(self._for_a_set, found), **filters)
        if not isinstance(source, ClientSource) or not is_server(self.request.source):
            return source.read(self.collection, self._whole, **filters)
        with engines.engine(self.request.engine, self.request.ray_address, self.request.workers) as engine:
            how = partial(self._spread, engine) if self.request.engine == "ray" else self._from_a_client
            return source.read(self.collection, partial(how, source), **filters)

    def _whole(self, rows: Rows) -> Seen:
        """All chunks, in this process."""
        refuse_none(rows)
        places = self._returned_ids()
        shown_whole = rows.count + len(self.query.questions) <= self.request.max_points
        once = shown_whole and (rows.count <= _READ_ONCE or isinstance(rows, PagedRows))
        batches = rows.batches(texts=once or self.query.has_answers, metadatas=once)
        counted = _counted(batches, rows.count, self.progress)
        kept = list(counted) if once else None
        scores = scan(_found(counted if kept is None else kept, places), self.query)
        return self._select(scores, rows, places, kept)

    def _from_a_client(self, source: ClientSource, rows: PagedRows) -> Seen:
        """All chunks, or a part of them where a server holds far more than is shown, also after the filter."""
        if not reads_a_part(self.request, rows.count):
            return self._whole(rows)
        refuse_none(rows)
        places = self._returned_ids()
        part = read_part(self.request, self.query, source, self.collection, places, rows, self.progress)
        return self._select(part.scores, rows, places, part=part)

    def _spread(self, engine: Engine, source: ClientSource, rows: PagedRows) -> Seen:
        """All chunks, by the workers of an engine."""
        refuse_none(rows)
        named = (self.request.source, self.request.access, self.collection)
        scores = score_spread(engine, *named, self.query, rows, source.page, self.progress)
        places = self._returned_ids()
        places.update((one, position) for position, one in enumerate(rows.ids if places else ()) if one in places)
        return self._select(scores, rows, places)

    def _for_a_set(self, found: Assessment, rows: Rows) -> Seen:
        """All chunks, for a set. Pictures of their own have the hardest questions only, so many that their bookmarks
        fit.
        """
        questions = self.query.questions
        room = MOST_ENTRIES // min(self.request.max_points, rows.count + len(questions)) - OTHER_VIEWS
        scores = survey(
            lambda: _counted(rows.batches(), rows.count, self.progress),
            rows.count,
            questions,
            found.right(),
            self.query.metric,
            top_k=self.request.top_k,
            drawn=found.hardest(max(1, min(HARDEST, room))),
        )
        return self._select(scores, rows)

    def _returned_ids(self) -> dict[str, int | None]:
        """The ids that an application returned, whose positions are not known yet."""
        return dict.fromkeys(one for ids in self.request.retrieved for one in ids)

    def _select(
        self,
        scores: Scores | ManyScores,
        rows: Rows,
        places: Mapping[str, int | None] = MappingProxyType({}),
        kept: Sequence[Batch] | None = None,
        part: PartRead | None = None,
    ) -> Seen:
        """`places` are those of the ids that an application returned, None where the collection has none."""
        unknown = [one for one, place in places.items() if place is None]
        if isinstance(scores, Scores) and places:
            scores = replace(scores, returned=_returned(self.request.retrieved, places, scores))
        request = self.request
        positions = sample(scores, top_k=request.top_k, max_points=request.max_points, seed=request.seed)
        if part is not None:
            shown: Iterable[Batch] = part.take(positions)
        else:
            shown = rows.take(positions) if kept is None or len(positions) < rows.count else kept
        points = shown_points(shown, positions, self.query, scores, request.top_k)
        return Seen(scores, positions, points, rows.rule, unknown, rows.longest_lock, rows.copied, part)


def shown_points(
    shown: Iterable[Batch], positions: Int64, query: Query, scores: Scores | ManyScores, top_k: int
) -> Points:
    """The rows that are shown, and the questions with how far each is from itself."""
    own = np.array([question_distance(question.vector, query.metric) for question in query.questions])
    return arrange(shown, positions, query.questions, scores, own, top_k)


def _found(batches: Iterable[Batch], places: dict[str, int | None]) -> Iterator[Batch]:
    """The batches; the positions of some ids are noted on the way."""
    done = 0
    for batch in batches:
        for one in places.keys() & batch.ids if places else ():
            places[one] = done + batch.ids.index(one)
        done += len(batch)
        yield batch


def _returned(
    retrieved: Sequence[Sequence[str]], places: Mapping[str, int | None], scores: Scores
) -> tuple[Int64, ...]:
    """The positions of what the application returned for each question; ids that nothing is known of are left out."""
    returned = []
    for ids in retrieved:
        known = [place for place in map(places.__getitem__, ids) if place is not None]
        found = np.array([place for place in known if np.isfinite(scores.distances[0, place])], np.int64)
        if not len(found):
            raise UsageError(
                f"none of the {len(ids)} ids of --retrieved is a chunk that was read: the first is {ids[0]!r}"
            )
        returned.append(found)
    return tuple(returned)


def _counted(batches: Iterable[Batch], total: int, progress: Progress) -> Iterator[Batch]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        progress("reading", done, total)
