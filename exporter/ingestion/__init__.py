"""From websites and documents to a collection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.documents import Document


@dataclass(frozen=True)
class Text:
    """One thing that was read: a web page, or a file. Its documents, LangChain's, may be read only now, and may raise
    `Unreadable`; each carries `source` in its metadata. `path`: a file's, None for a page.
    """

    source: str
    documents: Iterable[Document]
    path: Path | None = None


@dataclass(frozen=True)
class Failed:
    """What could not be read, and why. `gone`: it is no longer there; `passing`: it may be read another time."""

    source: str
    why: str
    gone: bool = False
    passing: bool = False
    path: Path | None = None


@dataclass(frozen=True)
class LeftOut:
    """What was not to be read, and the kind of reason: these are only counted."""

    source: str
    why: str


Outcome = Text | Failed | LeftOut


class Unreadable(Exception):
    """A page or file that can't be used; `str(error)` says why. `gone` and `passing` as in `Failed`; `silent`: who was
    asked does not answer, or wants to be asked no more.
    """

    def __init__(self, why: str, *, gone: bool = False, passing: bool = False, silent: bool = False) -> None:
        super().__init__(why)
        self.gone, self.passing, self.silent = gone, passing, silent


def is_excluded(source: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern, in which `*` and nothing else stands for anything, is found anywhere in an address or path."""
    return any(re.search(re.escape(pattern).replace(r"\*", ".*"), source, re.DOTALL) for pattern in patterns)
