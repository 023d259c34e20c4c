"""Which chunks are right for whom, and which answers lie across the borders of chunks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np

from exporter.evaluation.question_sets import Asked, Target
from exporter.records import Batch, Bool, Float64, Int64, Metadata, source_of

LONGEST_OVERLAP = 2000
"""Characters of one chunk's end that may be the next one's start."""
MOST_IN_A_ROW = 8
"""Chunks that an answer may lie across."""
PLACES = ("start_index", "chunk_index")
"""Where splitters say where in its document, or page, a chunk begins: LangChain's name, and a usual one."""


class Finder(Protocol):
    """What finds an answer in a text: `prepare` is done once to a text, however many questions ask of it."""

    @property
    def prepare(self) -> Callable[[str], str]:
        """The text as `holds` wants it."""

    @property
    def holds(self) -> Callable[[str], bool]:
        """Does a prepared text hold an answer?"""


def words_decide(one: Asked) -> bool:
    """Do the answers' words say which chunks are right? Ids beat them, sources and pages don't."""
    return bool(one.answers) and not any(target.id is not None for target in one.relevant)


@dataclass
class Right:
    """Which chunks are right for whom, gathered batch by batch.

    A chunk is right when its id is listed. Of a listed source or page every chunk is, or, where answers are given too,
    every chunk that holds one. Without a list, every chunk that holds an answer.
    """

    asked: Sequence[Asked]
    positions: list[list[int]] = field(init=False)
    grades: list[list[int]] = field(init=False)
    met: set[tuple[int, Target]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.positions = [[] for _ in self.asked]
        self.grades = [[] for _ in self.asked]
        self._by_id: dict[str, list[tuple[int, Target]]] = {}
        self._by_source: dict[str, list[tuple[int, Target]]] = {}
        for question, one in enumerate(self.asked):
            for target in one.relevant:
                table, key = (self._by_id, target.id) if target.id is not None else (self._by_source, target.source)
                table.setdefault(str(key), []).append((question, target))
        self._everywhere = np.array([not one.relevant for one in self.asked], bool)

    def add(self, batch: Batch, held: Bool, first: int) -> tuple[Int64, Int64]:
        """The right pairs (question, row of the batch) of a batch that starts at position `first`.

        `held` (q, n): the chunk holds an answer to the question; of questions whose words don't decide it is not read.
        """
        graded: dict[tuple[int, int], int] = {}
        for row, id in enumerate(batch.ids):
            for question, target in self._by_id.get(id, ()):
                graded[question, row] = target.grade
                self.met.add((question, target))
        if self._by_source:
            for row, metadata in enumerate(batch.metadatas):
                source = source_of(metadata)
                for question, target in self._by_source.get(source, ()) if source is not None else ():
                    if target.page is not None and not same_page((metadata or {}).get("page"), target.page):
                        continue
                    self.met.add((question, target))
                    if not words_decide(self.asked[question]) or held[question, row]:
                        graded.setdefault((question, row), target.grade)
        for question, row in np.argwhere(held & self._everywhere[:, None]).tolist():
            graded[question, row] = 1
        pairs = sorted(graded)
        for question, row in pairs:
            self.positions[question].append(first + row)
            self.grades[question].append(graded[question, row])
        right = [pair for pair in pairs if graded[pair] > 0]
        table = np.array(right, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def graded(self, question: int) -> Iterator[tuple[int, int]]:
        """Position and grade of each chunk that was judged for it; grade 0 is wrong."""
        return zip(self.positions[question], self.grades[question], strict=True)

    def grade(self, question: int, position: int) -> int:
        """The grade of a chunk that was judged for it."""
        return self.grades[question][bisect_left(self.positions[question], position)]

    def right_positions(self, question: int) -> list[int]:
        """The positions of its right chunks."""
        return [position for position, grade in self.graded(question) if grade > 0]

    def count(self, question: int) -> int:
        """How many chunks are right for it."""
        return sum(grade > 0 for grade in self.grades[question])

    def unmet(self, question: int) -> list[Target]:
        """What it lists that is of no chunk."""
        return [target for target in self.asked[question].relevant if (question, target) not in self.met]


def same_page(stored: object, wanted: str) -> bool:
    """Is it this page? As numbers where both are: a CSV gives 3, a data frame 3.0."""
    if stored is None:
        return False
    number, other = _number(stored), _number(wanted)
    return number == other if number is not None and other is not None else str(stored) == wanted


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


@dataclass
class Documents:
    """Which chunk follows which in its document, gathered batch by batch; chunks of no known source follow none.

    By page and place where every chunk of the source says them, else as they are stored. 24 bytes a chunk.
    """

    def __post_init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._sources: list[Int64] = []
        self._keys: list[Float64] = []

    def add(self, metadatas: Sequence[Metadata | None]) -> None:
        """The next chunks."""
        sources = [source_of(metadata) for metadata in metadatas]
        codes = [-1 if source is None else self._codes.setdefault(source, len(self._codes)) for source in sources]
        self._sources.append(np.array(codes, np.int64))
        self._keys.append(np.array([_place(metadata or {}) for metadata in metadatas], np.float64).reshape(-1, 2))

    def in_order(self) -> Mapping[str, Int64]:
        """For each source the positions of its chunks, in the order of the document."""
        if not self._codes:
            return {}
        sources, keys = np.concatenate(self._sources), np.concatenate(self._keys)
        groups = np.argsort(sources, kind="stable")
        edges = np.searchsorted(sources[groups], np.arange(len(self._codes) + 1))
        found = {}
        for name, code in self._codes.items():
            places = groups[edges[code] : edges[code + 1]]
            known = np.asarray(np.isfinite(keys[places]).all(axis=0))
            page, place = (keys[places, column] if known[column] else np.zeros(len(places)) for column in (0, 1))
            found[name] = places[np.lexsort((place, page))]  # which is stable: of equals the stored order
        return found


def _place(metadata: Metadata) -> tuple[float, float]:
    """Its page, and where in it it begins; NaN where that is not said."""
    place = next((metadata[key] for key in PLACES if key in metadata), None)
    found = (_number(value) for value in (metadata.get("page"), place))
    page, begin = (float("nan") if number is None else number for number in found)
    return page, begin


def joined(*texts: str) -> list[str]:
    """What chunks in a row may have been before the cuts, each reading once: their overlaps once; with a space at the
    cuts, since splitters drop the white space there; as they are. All three, as an overlap of a letter or two may be
    chance.
    """
    without = texts[0]
    for end, start in pairwise(texts):
        without += start[_overlap(end, start) :]
    return list(dict.fromkeys([without, " ".join(texts), "".join(texts)]))


def _overlap(end: str, start: str) -> int:
    """The length of the longest end of the one that is the other's start."""
    end, start = end[-LONGEST_OVERLAP:], start[:LONGEST_OVERLAP]
    seed = start[:8]
    place = end.find(seed) if len(seed) == 8 else -1
    while place >= 0:
        if start.startswith(end[place:]):
            return len(end) - place
        place = end.find(seed, place + 1)
    return next((length for length in range(min(7, len(end), len(start)), 0, -1) if end[-length:] == start[:length]), 0)


class Borders:
    """Looks for answers that no chunk holds across the borders of chunks, batch by batch in stored order.

    `found`: for each question the ids of the first chunk and the last that hold an answer between them. `held`: how
    many chunks hold one alone, which is so only where ids, which beat words, say otherwise. Texts wait until those
    before them in their document came, so of a collection stored document by document hardly any does.
    """

    def __init__(self, missing: Mapping[int, tuple[Asked, Finder]], documents: Mapping[str, Int64]) -> None:
        self.found: dict[int, tuple[str, str]] = {}
        self.held: dict[int, int] = dict.fromkeys(missing, 0)
        self._missing = dict(missing)
        self._longest = {question: _longest(one) for question, (one, _) in missing.items()}
        self._sources = {
            question: {target.source for target in one.relevant if target.source}
            for question, (one, _) in missing.items()
        }
        self._by_id = [question for question, (one, _) in missing.items() if not words_decide(one)]
        self._documents = documents
        self._source_of = np.full(1 + max(map(np.max, documents.values()), default=-1), -1)
        self._names = list(documents)
        for code, positions in enumerate(documents.values()):
            self._source_of[positions] = code
        self._next = dict.fromkeys(self._names, 0)
        self._waiting: dict[int, tuple[str, str]] = {}
        self._rows: dict[str, list[tuple[str, str]]] = {name: [] for name in self._names}

    def add(self, batch: Batch, first: int) -> None:
        """A batch that starts at position `first`, with its texts."""
        for position, (id, text) in enumerate(zip(batch.ids, batch.texts, strict=True), start=first):
            for question in self._holding([text], self._by_id) if text and self._by_id else ():
                self.held[question] += 1
            code = self._source_of[position] if position < len(self._source_of) else -1
            if code < 0:
                continue
            name = self._names[code]
            order = self._documents[name]
            self._waiting[position] = (id, text or "")
            while self._next[name] < len(order) and (ready := self._waiting.pop(int(order[self._next[name]]), None)):
                self._next[name] += 1
                if ready[1]:
                    self._read(name, ready)

    def _read(self, name: str, chunk: tuple[str, str]) -> None:
        """The next chunk of a document: with the one before it, and with more where those between are short."""
        row = self._rows[name]
        row.append(chunk)
        wanted = [
            question
            for question in self._missing
            if question not in self.found and (not self._sources[question] or name in self._sources[question])
        ]
        between = 0
        for count in range(2, min(len(row), MOST_IN_A_ROW) + 1):
            if count > 2:
                between += len(row[1 - count][1])
                wanted = [question for question in wanted if self._longest[question] >= between]
            wanted = [question for question in wanted if question not in self.found]
            if not wanted:
                break
            self._look(row[-count:], wanted)
        del row[: max(0, len(row) - MOST_IN_A_ROW)]

    def _look(self, chunks: Sequence[tuple[str, str]], wanted: Sequence[int]) -> None:
        for question in self._holding(joined(*(text for _, text in chunks)), wanted):
            self.found[question] = (chunks[0][0], chunks[-1][0])

    def _holding(self, texts: Sequence[str], questions: Sequence[int]) -> Iterator[int]:
        """Those questions to which one of the texts holds an answer."""
        prepared: dict[Callable[[str], str], list[str]] = {}
        for question in questions:
            finder = self._missing[question][1]
            if finder.prepare not in prepared:
                prepared[finder.prepare] = [finder.prepare(text) for text in texts]
            if any(map(finder.holds, prepared[finder.prepare])):
                yield question


def _longest(one: Asked) -> int:
    """Characters of its longest answer; those of a pattern are a guess."""
    parts = [part for answer in one.answers for part in ((answer,) if isinstance(answer, str) else answer)]
    return max(map(len, parts), default=0)
