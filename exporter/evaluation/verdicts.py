"""Why a question was missed: one verdict each, with what shows it and what would mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

FOUND: Final = "found"
RANKED_TOO_LOW: Final = "ranked_too_low"
IN_NO_CHUNK: Final = "in_no_chunk"
CUT_IN_TWO: Final = "cut_in_two"
HIDDEN_BY_FILTER: Final = "hidden_by_filter"
LOST_BY_INDEX: Final = "lost_by_index"
MODEL_DISAGREES: Final = "model_disagrees"
ANSWER_UNKNOWN: Final = "answer_unknown"

REPAIRS: Mapping[str, str] = MappingProxyType(
    {
        FOUND: "none: look at the prompt if the bot still answers wrongly",
        RANKED_TOO_LOW: "retrieval depth (a larger k), a re-ranker, or chunks that say what they are about",
        IN_NO_CHUNK: "the document is missing, or its text differs from the answer: ingest it, or mend the answer",
        CUT_IN_TWO: "chunking: a larger overlap, or cuts at the ends of sections",
        HIDDEN_BY_FILTER: "the filter, or the metadata that it looks at",
        LOST_BY_INDEX: "index settings: a higher hnsw ef_search, or build the index again with a higher M",
        MODEL_DISAGREES: "the model: embed the collection again by the one that embeds the questions",
        ANSWER_UNKNOWN: "say in the question set which words or chunks answer it",
    }
)
"""Every verdict, in the order in which reports list them, and what mends it."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a question.

    `asked`: it says what answers it. `right`: how many right chunks the ranking holds; `first_rank` and
    `first_distance` of the nearest of them, `last_distance` of the chunk at rank `top_k`. `lost`: Chroma's own query
    returns farther chunks in their place. `cosine`: of the first right chunk's stored vector and its text embedded
    again, None where that was not done; `median_cosine` of other chunks' that were. `alike`: a cosine that one model
    gives. `zero`: the first right chunk's vector is zeros. `hidden`: right chunks that the filter leaves out,
    `hidden_nearer` of them nearer than the first that it leaves, `hidden_distance` of the nearest. `halves`: ids of the
    chunks in which the answer begins and ends. `words`: chunks that hold an answer though no id is of a chunk.
    """

    asked: bool
    top_k: int
    rows: int
    right: int = 0
    first_rank: int | None = None
    first_distance: float | None = None
    last_distance: float | None = None
    lost: bool = False
    cosine: float | None = None
    median_cosine: float | None = None
    alike: float = 0.99
    zero: bool = False
    hidden: int = 0
    hidden_nearer: int = 0
    hidden_distance: float | None = None
    halves: tuple[str, str] | None = None
    words: int = 0


@dataclass(frozen=True)
class Verdict:
    """`kind` is one of `REPAIRS`; `evidence` one line of figures."""

    kind: str
    evidence: str

    @property
    def repair(self) -> str:
        """What would mend it."""
        return REPAIRS[self.kind]


def decide(seen: Evidence) -> Verdict:
    """The verdict: the first that holds, from what makes the others meaningless to what is left."""
    if not seen.asked:
        return Verdict(ANSWER_UNKNOWN, "the set says neither an answer nor a relevant chunk")
    rank = seen.first_rank
    if rank is None:
        return _nowhere(seen)
    if rank <= seen.top_k:
        if seen.lost:
            return Verdict(
                LOST_BY_INDEX,
                f"exact rank {rank:,}, but not among the {seen.top_k:,} that Chroma's own query returns, which are "
                "farther, or fewer",
            )
        return Verdict(FOUND, f"rank {rank:,} of {seen.rows:,}")
    if seen.cosine is not None and seen.cosine < seen.alike:
        return Verdict(
            MODEL_DISAGREES,
            f"rank {rank:,}; the right chunk embedded again has a cosine of {seen.cosine:.3f} with its stored vector "
            "(the same model gives 1.000)",
        )
    if seen.cosine is None and seen.median_cosine is not None and seen.median_cosine < seen.alike and not seen.zero:
        return Verdict(
            MODEL_DISAGREES,
            f"rank {rank:,}; the right chunk has no text to embed again, other chunks have a median cosine of "
            f"{seen.median_cosine:.3f} with their stored vectors (the same model gives 1.000)",
        )
    if _would_be_found(seen):
        return Verdict(
            HIDDEN_BY_FILTER,
            f"rank {rank:,} of {seen.rows:,}; {counted(seen.hidden_nearer, 'right chunk')} nearer, at "
            f"{seen.hidden_distance:.4f}, {'is' if seen.hidden_nearer == 1 else 'are'} hidden by the filter",
        )
    nearer = f"; the filter hides {seen.hidden_nearer:,} nearer" if seen.hidden_nearer else ""
    zero = "; its vector is all zeros" if seen.zero else ""
    return Verdict(RANKED_TOO_LOW, f"rank {rank:,} of {seen.rows:,}{_closer(seen)}{zero}{nearer}")


def _would_be_found(seen: Evidence) -> bool:
    """Is a right chunk that the filter hides nearer than the last that comes back?"""
    if seen.hidden_distance is None or seen.last_distance is None:
        return False
    return seen.hidden_distance < seen.last_distance


def _nowhere(seen: Evidence) -> Verdict:
    if seen.right:
        none = "it has no vector" if seen.right == 1 else "none of them has a vector"
        return Verdict(LOST_BY_INDEX, f"{counted(seen.right, 'right chunk')}, but {none}")
    if seen.hidden:
        none = "which the filter hides" if seen.hidden == 1 else "none of which the filter lets through"
        return Verdict(HIDDEN_BY_FILTER, f"{counted(seen.hidden, 'right chunk')}, {none}")
    if seen.words:
        return Verdict(
            IN_NO_CHUNK,
            f"its ids are of no chunk, but its words are in {seen.words:,} of {seen.rows:,}: were the ids made anew?",
        )
    if seen.halves is not None:
        return Verdict(CUT_IN_TWO, f"begins in {seen.halves[0]} and ends in {seen.halves[1]}")
    return Verdict(IN_NO_CHUNK, f"none of {seen.rows:,} chunks is right")


def counted(count: int, what: str) -> str:
    """`1 chunk`, `2 chunks`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _closer(seen: Evidence) -> str:
    """By how much the winners are nearer."""
    if seen.first_distance is None or seen.last_distance is None:
        return ""
    gap = seen.first_distance - seen.last_distance
    return f", at {seen.first_distance:.4f}; rank {seen.top_k} is nearer by {gap:.4f} ({seen.last_distance:.4f})"
