"""Does a chunk hold the answer?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from exporter.errors import QueryError

Matcher = Callable[[str], bool]


def normalize(text: str) -> str:
    """Unicode NFKC, case-folded, every run of white space one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _literal(answer: str) -> Matcher:
    return lambda text: answer in text


def _normalized(answer: str) -> Matcher:
    wanted = normalize(answer)
    return lambda text: wanted in normalize(text)


def _regex(answer: str) -> Matcher:
    try:
        pattern = re.compile(answer)
    except re.error as error:
        raise QueryError(f"the answer {answer!r} is not a regular expression: {error}") from None
    return lambda text: pattern.search(text) is not None


MATCHES: Mapping[str, Callable[[str], Matcher]] = MappingProxyType(
    {"normalized": _normalized, "literal": _literal, "regex": _regex}
)


def match_any(answers: Sequence[str], how: str = "normalized") -> Matcher:
    """A function that tells whether a text holds any of the answers; no answers: never.

    Raises QueryError for an answer that is blank (it would be in every chunk) or not a regular expression.
    """
    for answer in answers:
        if not answer.strip():
            raise QueryError("a blank answer would be found in every chunk: leave --answer away, or give its words")
    matchers = [MATCHES[how](answer) for answer in answers]
    return lambda text: any(matches(text) for matches in matchers)
