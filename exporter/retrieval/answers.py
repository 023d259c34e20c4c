"""Does a chunk hold the answer?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from exporter.errors import QueryError, UsageError
from exporter.records import Answer, Bool

FUZZY = 90.0
"""How alike, of 100, the best part of a chunk has to be for the answer, where nothing else is asked for."""

Prepare = Callable[[str], str]
Holds = Callable[[str], bool]


def normalize(text: str) -> str:
    """Unicode NFKC, case-folded, every run of white space one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def without_accents(text: str) -> str:
    """The same text, its letters bare."""
    taken_apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(one for one in taken_apart if not unicodedata.combining(one)))


def _as_it_is(text: str) -> str:
    return text


def _bare(text: str) -> str:
    return normalize(without_accents(text))


def _contains(answer: str) -> Holds:
    return lambda text: answer in text


def _regex(pattern: str) -> Holds:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise QueryError(f"the answer {pattern!r} is not a regular expression: {error}") from None
    return lambda text: compiled.search(text) is not None


def _fuzzy(answer: str, threshold: float) -> Holds:
    """By the best part of the chunk that is as long as the answer (rapidfuzz's partial ratio)."""
    try:
        from rapidfuzz.fuzz import partial_ratio, ratio
    except ImportError:
        raise UsageError("--answer-match fuzzy needs rapidfuzz: pip install 'chroma-projector[evaluate]'") from None

    def holds(text: str) -> bool:
        # of a shorter chunk the partial ratio would look for the chunk in the answer
        alike = partial_ratio if len(text) >= len(answer) else ratio
        return bool(alike(answer, text, score_cutoff=threshold) >= threshold)

    return holds


MATCHES: Mapping[str, bool] = MappingProxyType({"normalized": True, "literal": False, "regex": False, "fuzzy": True})
"""Ways to look for an answer, and whether chunks and answers are normalized first."""


@dataclass(frozen=True)
class Matcher:
    """Tells whether a text holds an answer. `prepare` is done to a text once, however many matchers share it."""

    prepare: Prepare
    holds: Holds

    def __call__(self, text: str) -> bool:
        """Does it hold one?"""
        return self.holds(self.prepare(text))


def match_any(
    answers: Sequence[Answer], how: str = "normalized", *, accents: bool = True, threshold: float = FUZZY
) -> Matcher:
    """Tells whether a text holds any of the answers, of one that is a tuple all parts; no answers: never.

    Without `accents` letters match whatever accents they bear. `threshold`, 0 to 100, is for `fuzzy`.
    Raises QueryError for an answer that is blank (it would be in every chunk) or not a regular expression.
    """
    normalized = MATCHES[how]
    prepare = (normalize if accents else _bare) if normalized else (_as_it_is if accents else without_accents)
    groups: list[list[Holds]] = []
    for answer in answers:
        group = []
        for part in (answer,) if isinstance(answer, str) else answer:
            wanted = without_accents(part) if how == "regex" and not accents else part
            wanted = wanted if how == "regex" else prepare(wanted)
            if not wanted.strip():
                raise QueryError("a blank answer would be found in every chunk: leave --answer away, or give its words")
            group.append(
                _regex(wanted) if how == "regex" else _fuzzy(wanted, threshold) if how == "fuzzy" else _contains(wanted)
            )
        groups.append(group)
    if len(groups) == 1 and len(groups[0]) == 1:
        return Matcher(prepare, groups[0][0])
    return Matcher(prepare, lambda text: any(all(part(text) for part in group) for group in groups))


def holding(texts: Sequence[str | None], matchers: Sequence[Matcher | None]) -> Bool:
    """(q, n): the text holds an answer to the question. None for a matcher or a text: it doesn't."""
    held = np.zeros((len(matchers), len(texts)), bool)
    there = [row for row, text in enumerate(texts) if text is not None]
    prepared: dict[Prepare, list[str]] = {}
    for question, matcher in enumerate(matchers):
        if matcher is None:
            continue
        if matcher.prepare not in prepared:
            prepared[matcher.prepare] = [matcher.prepare(str(texts[row])) for row in there]
        holds = matcher.holds
        held[question, there] = [holds(text) for text in prepared[matcher.prepare]]
    return held
