"""From websites and documents to a collection."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.documents import Document


@dataclass(frozen=True)
class Text:
    """One thing that was read: a web page, or a file. Its documents, LangChain's, may be read only now, and may raise
    `Unreadable`; each carries `source` in its metadata.
    """

    source: str
    documents: Iterable[Document]


@dataclass(frozen=True)
class Failed:
    """What could not be read, and why. `gone`: it is no longer there; `passing`: it may be read another time."""

    source: str
    why: str
    gone: bool = False
    passing: bool = False


@dataclass(frozen=True)
class LeftOut:
    """What was not to be read, and the kind of reason: these are only counted."""

    source: str
    why: str


Outcome = Text | Failed | LeftOut


class Unreadable(Exception):
    """A page or file that can't be used; `str(error)` says why. `gone` and `passing` as in `Failed`."""

    def __init__(self, why: str, *, gone: bool = False, passing: bool = False) -> None:
        super().__init__(why)
        self.gone, self.passing = gone, passing


def is_excluded(source: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern, in which `*` stands for anything, is found anywhere in an address or a path."""
    return any(fnmatch.fnmatchcase(source, f"*{pattern}*") for pattern in patterns)
