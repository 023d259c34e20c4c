"""Why a question was missed: one verdict each, with what shows it and what would mend it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

LONGEST_OVERLAP = 2000
"""Characters of one chunk's end that may be the next one's start."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a question.

    `asked`: it says what answers it. `right`: how many right chunks the ranking holds; `first_rank` and
    `first_distance` of the nearest of them, `last_distance` of the chunk at rank `top_k`. `by_index`: how many of the
    right chunks Chroma's own query brings back among `top_k`; None when it was not asked. `cosine`: of the first
    right chunk's stored vector and its text embedded again; `alike`: that is one model's. `hidden`: right chunks that
    the filter leaves out. `halves`: ids of the two chunks that hold the answer between them.
    """

    asked: bool
    top_k: int
    rows: int
    right: int = 0
    first_rank: int | None = None
    first_distance: float | None = None
    last_distance: float | None = None
    by_index: int | None = None
    cosine: float | None = None
    alike: bool = True
    hidden: int = 0
    halves: tuple[str, str] | None = None


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
        if seen.by_index == 0:
            return Verdict(
                LOST_BY_INDEX, f"exact rank {rank:,}, but not among the {seen.top_k} that Chroma's own query returns"
            )
        return Verdict(FOUND, f"rank {rank:,} of {seen.rows:,}")
    if not seen.alike:
        return Verdict(
            MODEL_DISAGREES,
            f"rank {rank:,}; the right chunk embedded again has a cosine of {seen.cosine:.3f} with its stored vector "
            "(the same model gives 1.000)",
        )
    return Verdict(RANKED_TOO_LOW, f"rank {rank:,} of {seen.rows:,}{_closer(seen)}")


def _nowhere(seen: Evidence) -> Verdict:
    if seen.hidden:
        return Verdict(HIDDEN_BY_FILTER, f"{seen.hidden:,} right chunks, none of which the filter lets through")
    if seen.halves is not None:
        return Verdict(CUT_IN_TWO, f"begins in {seen.halves[0]} and ends in {seen.halves[1]}")
    return Verdict(IN_NO_CHUNK, f"none of {seen.rows:,} chunks is right")


def _closer(seen: Evidence) -> str:
    """By how much the winners are nearer."""
    if seen.first_distance is None or seen.last_distance is None:
        return ""
    gap = seen.first_distance - seen.last_distance
    return f", at {seen.first_distance:.4f}; rank {seen.top_k} is nearer by {gap:.4f} ({seen.last_distance:.4f})"


def joined(end: str, start: str) -> list[str]:
    """What two chunks in a row may have been before the cut, their overlap once.

    Splitters drop the white space at a cut, so without an overlap both readings are given.
    """
    overlap = _overlap(end, start)
    return [end + start[overlap:]] if overlap else [f"{end} {start}", end + start]


def holds_across(end: str, start: str, holds: Callable[[str], bool]) -> bool:
    """Do the two chunks hold between them what neither holds alone?"""
    return not holds(end) and not holds(start) and any(holds(text) for text in joined(end, start))


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
