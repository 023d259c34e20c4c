"""What is odd about a collection, or about what comes back from it: each with its figure, and what to do."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.records import Int64

NEAR_EMPTY = 20
"""Letters, without white space, below which a chunk says nearly nothing; a wide sign, as Chinese has, is a syllable or
a word, and counts as `WIDE` of them."""
WIDE = 3
HUB_SHARE = 0.5
"""Of the questions, from which a chunk that comes back for them is a hub; not below `HUB_QUESTIONS` of them."""
HUB_QUESTIONS = 10
EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """`kind` for programs, `text` for people: the fact with its figure, then what to do. `count` of `of` have it."""

    kind: str
    text: str
    count: int
    of: int
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {
            "kind": self.kind,
            "text": self.text,
            "count": self.count,
            "of": self.of,
            "examples": list(self.examples),
        }


@dataclass(frozen=True)
class ModelFacts:
    """What embedding `checked` stored chunks again said, `fell_out` of them unlike; `name` is None when the question's
    vector was given. `cut` of the `measured` texts are longer than the model reads, which is `longest` tokens.
    """

    name: str | None
    checked: int = 0
    median_cosine: float | None = None
    fell_out: int = 0
    same: bool = True
    cut: int = 0
    measured: int = 0
    longest: int | None = None
    cut_examples: tuple[str, ...] = ()


@dataclass
class Texts:
    """Adds up what the chunks' texts show; of each text a hash is kept, and the id of the first chunk that has it."""

    rows: int = 0
    near_empty: list[str] = field(default_factory=list)
    near_empty_count: int = 0
    duplicates: int = 0
    copies: list[tuple[str, str]] = field(default_factory=list)
    _seen: dict[bytes, int] = field(default_factory=dict)
    _first: list[str] = field(default_factory=list)

    def add(self, id: str, text: str | None) -> None:
        """One chunk more, in stored order."""
        self.rows += 1
        bare = "".join((text or "").split())
        if len(bare) < NEAR_EMPTY and _letters(bare) < NEAR_EMPTY:
            self.near_empty_count += 1
            if len(self.near_empty) < EXAMPLES:
                self.near_empty.append(id)
        if not bare:
            return
        key = hashlib.blake2b(bare.encode("utf-8", "replace"), digest_size=16).digest()
        if key in self._seen:
            self.duplicates += 1
            if len(self.copies) < EXAMPLES:
                self.copies.append((self._first[self._seen[key]], id))
        else:
            self._seen[key] = len(self._first)
            self._first.append(id)


def find_all(
    texts: Texts,
    model: ModelFacts,
    *,
    zero_vectors: int,
    lost: int,
    retrievals: Int64,
    retrieved_ids: Sequence[tuple[int, str]],
    questions: int,
    sources: Counter[str],
    retrieved_sources: Counter[str],
    top_k: int,
) -> list[Finding]:
    """All findings, the gravest first.

    `retrievals` (n,): for how many questions each chunk is in the top k; `retrieved_ids` names those above 0 by
    position. `sources` count the chunks of each source, `retrieved_sources` those that came back.
    """
    found = [*_of_model(model), *_of_chunks(texts, model, zero_vectors, lost)]
    rows = len(retrievals)
    names = dict(retrieved_ids)
    often = np.flatnonzero(retrievals >= HUB_SHARE * questions)
    hubs = often[np.argsort(-retrievals[often], kind="stable")].tolist()
    if questions >= HUB_QUESTIONS and hubs and rows > 2 * top_k:
        most = int(retrievals[hubs[0]])
        found.append(
            Finding(
                "hub_chunks",
                f"{_chunks(len(hubs), 'comes', 'come')} back for half of the questions or more, the first for {most:,} "
                f"of {questions:,}: look at what they say (menus, headers, legal notes), and leave them out",
                len(hubs),
                rows,
                tuple(names[place] for place in hubs[:EXAMPLES]),
            )
        )
    if len(sources) > 1 and len(retrieved_sources) == 1 and questions > 1:
        (only,) = retrieved_sources
        found.append(
            Finding(
                "one_source",
                f"all that came back is of one source of {len(sources):,}, {only}, which has "
                f"{100 * sources[only] / sources.total():.0f} % of the chunks: ask about the others, or see why "
                "they lose",
                1,
                len(sources),
                (only,),
            )
        )
    never = int((retrievals == 0).sum())
    if never and questions * top_k >= rows:  # fewer questions can't reach all
        found.append(
            Finding(
                "never_retrieved",
                f"{never:,} of {rows:,} chunks ({100 * never / rows:.0f} %) "
                + ("do not come back" if questions == 1 else f"come back for none of the {questions:,} questions"),
                never,
                rows,
            )
        )
    return found


def _chunks(count: int, one: str = "has", more: str = "have") -> str:
    return f"{count:,} chunk {one}" if count == 1 else f"{count:,} chunks {more}"


def _letters(bare: str) -> int:
    return sum(WIDE if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in bare)


def _of_model(model: ModelFacts) -> list[Finding]:
    if model.name is None:
        return [Finding("unverified_model", "the questions' vectors were given, so no model was checked", 0, 0)]
    if not model.checked:
        return [
            Finding("unverified_model", f"no chunk has a text, so whether {model.name} made them is not known", 0, 0)
        ]
    if not model.same:
        return [
            Finding(
                "wrong_model",
                f"{model.name} did not make this collection: {model.checked} chunks embedded again have a median "
                f"cosine of {model.median_cosine:.3f} with their stored vectors (the same model gives 1.000); name the "
                "right one by --model",
                model.fell_out,
                model.checked,
            )
        ]
    if model.fell_out:
        return [
            Finding(
                "two_models",
                f"{model.fell_out} of {model.checked} chunks embedded again don't match their stored vectors, the "
                "others do: two models in one collection, or texts changed after embedding; embed it again as a whole",
                model.fell_out,
                model.checked,
            )
        ]
    return []


def _of_chunks(texts: Texts, model: ModelFacts, zero_vectors: int, lost: int) -> list[Finding]:
    found = []
    rows = texts.rows
    if zero_vectors:
        found.append(
            Finding("zero_vectors", f"{_chunks(zero_vectors)} a vector of zeros: embed them again", zero_vectors, rows)
        )
    if lost:
        found.append(Finding("lost_vectors", f"{_chunks(lost)} no vector: none of these comes back", lost, rows))
    if model.cut:
        found.append(
            Finding(
                "cut_by_model",
                f"{model.cut:,} of {model.measured:,} chunks looked at are longer than the {model.longest} tokens that "
                f"{model.name} reads, so their ends were never embedded: cut smaller chunks",
                model.cut,
                model.measured,
                model.cut_examples,
            )
        )
    if texts.duplicates:
        found.append(
            Finding(
                "duplicates",
                f"{texts.duplicates:,} of {rows:,} chunks have the text of another, and take its place in the top k: "
                "store each text once",
                texts.duplicates,
                rows,
                tuple(f"{copy} = {first}" for first, copy in texts.copies),
            )
        )
    if texts.near_empty_count:
        found.append(
            Finding(
                "near_empty",
                f"{texts.near_empty_count:,} of {rows:,} chunks have fewer than {NEAR_EMPTY} letters: leave them out",
                texts.near_empty_count,
                rows,
                tuple(texts.near_empty),
            )
        )
    return found
