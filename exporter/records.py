"""What passes between rooms: frozen records. Arrays are checked at the door, and trusted inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Space: TypeAlias = Literal["l2", "cosine", "ip"]
"""The metric by which a collection's own retrieval ranks. Chroma's words."""

Scalar: TypeAlias = str | int | float | bool
MetadataValue: TypeAlias = Scalar | Sequence[Scalar]
Metadata: TypeAlias = Mapping[str, MetadataValue]

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = Float32 | Float64
Int64: TypeAlias = npt.NDArray[np.int64]
Bool: TypeAlias = npt.NDArray[np.bool_]

Answer: TypeAlias = str | tuple[str, ...]
"""Words, or a pattern, that a right chunk holds; a tuple: all of them, in the same chunk."""

SOURCE_KEYS = ("source", "file_path", "file_name", "url")
"""Where a chunk's source is looked for, in this order: LangChain writes `source`, LlamaIndex `file_path`."""


def source_of(metadata: Metadata | None) -> str | None:
    """Where a chunk comes from; None where its metadata does not say."""
    metadata = metadata or {}
    found = next((metadata[key] for key in SOURCE_KEYS if metadata.get(key) not in (None, "")), None)
    return None if found is None else str(found)


Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called as `progress(stage, done, total)`: what is being done, units done so far, units in all (None: unknown)."""


def no_progress(stage: str, done: int, total: int | None) -> None:
    """A `Progress` that reports to nobody."""


Notice: TypeAlias = Callable[[str], None]
"""Called with one line that the user should read."""


def no_notice(message: str) -> None:
    """A `Notice` that nobody reads."""


@dataclass(frozen=True)
class RecordedModel:
    """The embedding function that a collection records: Chroma's name for it, and its configuration."""

    name: str
    config: Mapping[str, object] = field(default_factory=dict)


INGESTED = "ingest"
"""The name of a `RecordedModel` that an ingest of ours recorded, in the collection's metadata."""

INGEST_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "model_name": "ingest:model",
        "base_url": "ingest:base_url",
        "query_prompt": "ingest:query_prompt",
        "document_prompt": "ingest:document_prompt",
    }
)
"""What of a model an ingest records, and the key of the collection's metadata under which it does."""

CHUNKING: Mapping[str, str] = MappingProxyType(
    {"unit": "ingest:chunk_unit", "size": "ingest:chunk_size", "overlap": "ingest:chunk_overlap"}
)
"""What of its chunks an ingest records, and the key of the collection's metadata under which it does."""


@dataclass(frozen=True)
class Collection:
    """One Chroma collection, as its source describes it.

    `rows` counts every record, whatever a filter leaves. `dimension` is None until something was added.
    `space_from` says where the metric was found: Chroma has written it in four places over the years.
    """

    name: str
    rows: int
    dimension: int | None
    space: Space
    space_from: str
    model: RecordedModel | None = None
    metadata: Metadata = field(default_factory=dict)
    database: str = "default_database"
    tenant: str = "default_tenant"


@dataclass(frozen=True)
class Batch:
    """Some chunks of a collection, in stored order.

    `vectors` is (n, d) float32 and row i belongs to `ids[i]`; where a source does not know a vector, its row is NaN.
    `texts` and `metadatas` are empty when they were not asked for, else one entry a row, None where there is none.
    """

    ids: Sequence[str]
    vectors: Float32
    texts: Sequence[str | None] = ()
    metadatas: Sequence[Metadata | None] = ()

    def __post_init__(self) -> None:
        rows = len(self.ids)
        if self.vectors.ndim != 2 or len(self.vectors) != rows or self.vectors.dtype != np.float32:
            raise ValueError(f"vectors of {rows} rows have shape {self.vectors.shape} and type {self.vectors.dtype}")
        for name in ("texts", "metadatas"):
            if len(getattr(self, name)) not in (0, rows):
                raise ValueError(f"{len(getattr(self, name))} {name} for {rows} rows")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Question:
    """A question, embedded by the collection's model. `vector` is (d,) float32; of the `answers` any will do."""

    text: str
    vector: Float32
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True)
class Ranked:
    """How one question sees m chunks: (m,) arrays of distances, of ranks among all, and of who holds an answer."""

    distances: Float64
    ranks: npt.NDArray[np.int32]
    answers: Bool


@dataclass(frozen=True)
class Standings:
    """Each of n chunks over all questions; (n,) arrays.

    `question` is the one that it is nearest to (the first of equals), `distance` how near, `rank` its place there among
    all chunks. `answer_to` is the question whose answer it holds at its best rank, `answer_rank`; -1: it holds none.
    """

    question: Int64
    distance: Float64
    rank: Int64
    answer_to: Int64
    answer_rank: Int64


@dataclass(frozen=True)
class Scores:
    """How q questions see the n chunks of a collection, in stored order; always of the whole collection.

    `distances` (q, n) float64 by `metric`; `ranks` (q, n) int32, 1 = nearest, ties in stored order;
    `answers` (q, n) bool: the chunk holds an answer to that question; `zero_vectors`: how many chunks have length 0.
    `lost` counts chunks of which the source knows no vector: they rank last, at infinity; `lost_ids` names a few.
    `returned` holds, for each question, the positions of what an application returned for it, in its order; empty where
    nobody told. Where only some chunks of the collection were read, these are the n, `ranks` are among all `of` them.
    """

    metric: Space
    distances: Float64
    ranks: npt.NDArray[np.int32]
    answers: Bool
    zero_vectors: int = 0
    lost: int = 0
    lost_ids: tuple[str, ...] = ()
    returned: Sequence[Int64] = ()
    of: int | None = None

    def __post_init__(self) -> None:
        if not self.distances.shape == self.ranks.shape == self.answers.shape or self.distances.ndim != 2:
            raise ValueError(f"shapes {self.distances.shape}, {self.ranks.shape} and {self.answers.shape} differ")

    @property
    def rows(self) -> int:
        """How many chunks were ranked."""
        return int(self.distances.shape[1])

    @property
    def population(self) -> int:
        """How many chunks there are, read or not."""
        return self.rows if self.of is None else self.of

    @property
    def questions(self) -> int:
        """How many there are."""
        return len(self.distances)

    @property
    def drawn(self) -> Sequence[int]:
        """The questions of which `whole` is known: all."""
        return range(self.questions)

    @cached_property
    def standings(self) -> Standings:
        """Each chunk over all questions."""
        nearest = np.argmin(self.distances, axis=0).astype(np.int64)
        every = np.arange(self.rows)
        among_answers = np.where(self.answers, self.ranks, np.iinfo(np.int32).max)
        held = self.holds_answer
        return Standings(
            question=nearest,
            distance=self.distances[nearest, every],
            rank=self.ranks[nearest, every].astype(np.int64),
            answer_to=np.where(held, among_answers.argmin(axis=0), -1).astype(np.int64),
            answer_rank=np.where(held, among_answers.min(axis=0), -1).astype(np.int64),
        )

    @property
    def holds_answer(self) -> Bool:
        """(n,): the chunk holds an answer to any question."""
        return np.asarray(self.answers.any(axis=0))

    def top(self, question: int, k: int) -> Int64:
        """The positions of a question's k nearest chunks, nearest first; fewer where there are fewer."""
        order = np.argsort(self.ranks[question], kind="stable")[: min(k, self.rows - self.lost)]
        return order.astype(np.int64)

    def retrieved(self, question: int, k: int) -> Int64:
        """The positions of what was retrieved for a question: what the application returned, else the top k."""
        return self.returned[question] if self.returned else self.top(question, k)

    def first_answer_rank(self, question: int) -> int | None:
        """The best rank of a chunk that holds an answer to this question; None when none does."""
        held = self.ranks[question][self.answers[question] & np.isfinite(self.distances[question])]
        return int(held.min()) if len(held) else None

    def holding(self, question: int) -> int:
        """How many chunks hold an answer to this question."""
        return int(self.answers[question].sum())

    def seen(self, question: int, positions: Int64) -> Ranked:
        """How it sees some chunks; (m,) arrays."""
        return Ranked(*(table[question][positions] for table in (self.distances, self.ranks, self.answers)))

    def whole(self, question: int) -> Ranked:
        """How it sees every chunk; (n,) arrays."""
        return Ranked(self.distances[question], self.ranks[question], self.answers[question])


@dataclass(frozen=True)
class ManyScores:
    """What is kept of many questions' `Scores`, whose tables would not fit: per chunk the `standings`, per question the
    top k, the first right chunk's rank and how many are right; and all of the few questions that are `drawn`.
    """

    metric: Space
    rows: int
    standings: Standings
    holds_answer: Bool
    tops: Sequence[Int64]
    tops_seen: Sequence[Ranked]
    first_ranks: Sequence[int | None]
    right: Sequence[int]
    wholes: Mapping[int, Ranked]
    zero_vectors: int = 0
    lost: int = 0
    lost_ids: tuple[str, ...] = ()
    returned: Sequence[Int64] = ()

    @property
    def population(self) -> int:
        """How many chunks there are: of a set all are read."""
        return self.rows

    @property
    def questions(self) -> int:
        """How many there are."""
        return len(self.tops)

    @property
    def drawn(self) -> Sequence[int]:
        """The questions of which `whole` is known."""
        return tuple(self.wholes)

    def top(self, question: int, k: int) -> Int64:
        """The positions of a question's nearest chunks, at most k and as many as were kept."""
        return self.tops[question][:k]

    def retrieved(self, question: int, k: int) -> Int64:
        """The same."""
        return self.top(question, k)

    def first_answer_rank(self, question: int) -> int | None:
        """The best rank of a right chunk; None when there is none."""
        return self.first_ranks[question]

    def holding(self, question: int) -> int:
        """How many chunks are right for it."""
        return self.right[question]

    def seen(self, question: int, positions: Int64) -> Ranked:
        """How it sees some chunks of its top k; (m,) arrays."""
        place = {position: row for row, position in enumerate(self.tops[question].tolist())}
        rows = [place[position] for position in positions.tolist()]
        kept = self.tops_seen[question]
        return Ranked(kept.distances[rows], kept.ranks[rows], kept.answers[rows])

    def whole(self, question: int) -> Ranked:
        """How a question that is drawn sees every chunk; (n,) arrays."""
        return self.wholes[question]


@dataclass(frozen=True)
class Nearest:
    """The nearest chunks of q questions, nearest first, ties in stored order: of many questions no more is kept.

    `positions` (q, m) int64 in the collection and `distances` (q, m) float64; -1 and infinity where there are fewer.
    `rows` chunks were ranked; `zero_vectors`, `lost` and `lost_ids` as in `Scores`.
    """

    positions: Int64
    distances: Float64
    rows: int
    zero_vectors: int = 0
    lost: int = 0
    lost_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.positions.shape != self.distances.shape or self.positions.ndim != 2:
            raise ValueError(f"shapes {self.positions.shape} and {self.distances.shape} differ")

    def top(self, question: int, k: int) -> Int64:
        """The positions of a question's k nearest chunks, nearest first; fewer where there are fewer."""
        found = self.positions[question, :k]
        return np.asarray(found[found >= 0])
