"""What plain words find: BM25 over the same chunks, by bm25s, beside what the vectors find.

Words are weighed as Lucene does (k1 1.5, b 0.75), in small letters, without a stemmer or stop words, so no language is
assumed; a single letter is no word, and signs without spaces between them, as in Chinese, are one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.errors import UsageError
from exporter.records import Float32

METHOD = "bm25"


@dataclass(frozen=True)
class Lexical:
    """How plain words fare beside the vectors, at the same k. Ids of questions whose answer is known.

    `ranks`: by question, of its first right chunk by BM25; None when no right chunk has a word of it.
    """

    top_k: int
    ranks: dict[str, int | None]
    both: tuple[str, ...] = ()
    only_words: tuple[str, ...] = ()
    only_vectors: tuple[str, ...] = ()
    neither: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it, under `lexical`."""
        count = len(self.ranks)
        hits = len(self.both) + len(self.only_words)
        reciprocal = sum(1 / rank for rank in self.ranks.values() if rank is not None)
        return {
            "method": METHOD,
            "top_k": self.top_k,
            "hit": hits / count if count else None,
            "mrr": reciprocal / count if count else None,
            "both": list(self.both),
            "only_words": list(self.only_words),
            "only_vectors": list(self.only_vectors),
            "neither": list(self.neither),
            "ranks": self.ranks,
        }


@dataclass
class Words:
    """The chunks' words, as they are read: numbers of words, not texts. Raises UsageError without the library."""

    _numbers: dict[str, int] = field(default_factory=dict)
    _chunks: list[list[int]] = field(default_factory=list)

    def add(self, texts: Sequence[str | None]) -> None:
        """Chunks in stored order; one without a text has no words."""
        self._chunks += [
            [self._numbers.setdefault(word, len(self._numbers)) for word in chunk] for chunk in _words_of(texts)
        ]

    def first_ranks(self, questions: Sequence[str], right: Sequence[Collection[int]]) -> list[int | None]:
        """The rank of each question's first right chunk, of equals the first in stored order.

        `right`: positions of its right chunks. None where none of them shares a word with the question.
        """
        if not self._numbers:
            return [None] * len(questions)
        index = _library().BM25(dtype="float32")
        index.index((self._chunks, self._numbers), create_empty_token=False, show_progress=False)
        found: list[int | None] = []
        for words, positions in zip(_words_of(questions), right, strict=True):
            known = [self._numbers[word] for word in words if word in self._numbers]
            found.append(_first_rank(index.get_scores(known), positions) if known else None)
        return found


def beside(ids: Sequence[str], by_words: Sequence[int | None], by_vectors: Sequence[int | None], top_k: int) -> Lexical:
    """Which of the questions each of the two answers within `top_k`."""
    cases: dict[tuple[bool, bool], list[str]] = {}
    for id, words, vectors in zip(ids, by_words, by_vectors, strict=True):
        case = tuple(rank is not None and rank <= top_k for rank in (words, vectors))
        cases.setdefault((case[0], case[1]), []).append(id)
    return Lexical(
        top_k=top_k,
        ranks=dict(zip(ids, by_words, strict=True)),
        both=tuple(cases.get((True, True), ())),
        only_words=tuple(cases.get((True, False), ())),
        only_vectors=tuple(cases.get((False, True), ())),
        neither=tuple(cases.get((False, False), ())),
    )


def _first_rank(scores: Float32, positions: Collection[int]) -> int | None:
    places = np.array(sorted(positions), np.int64)
    if not len(places):
        return None
    best = places[np.argmax(scores[places])]
    if scores[best] <= 0:
        return None
    return int((scores > scores[best]).sum() + (scores[:best] == scores[best]).sum()) + 1


def _words_of(texts: Sequence[str | None]) -> list[list[str]]:
    found: list[list[str]] = _library().tokenize(
        [text or "" for text in texts], stopwords=None, return_ids=False, show_progress=False
    )
    return found


def _library() -> Any:
    try:
        import bm25s
    except ImportError:
        raise UsageError("evaluating needs bm25s: pip install 'chroma-projector[evaluate]'") from None
    return bm25s
