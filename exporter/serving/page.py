"""The Projector's page with our script in it, and what that script is told of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.errors import OutputError
from exporter.runs import manifest

SCRIPT = "opening.js"
_HEAD_ENDS = "</head>"
_OF_A_HIT = ("rank", "id", "distance", "source", "page", "contains_answer", "text")
_LONGEST_SNIPPET = 200


def with_script(page: str, token: str | None = None) -> str:
    """TensorBoard's page with our script in its head, so before the page's own. As it is where it has no head.

    With a `token` the script asks questions, and shows it with each.
    """
    asking = "" if token is None else f' data-token="{token}"'
    return page.replace(_HEAD_ENDS, f'<script src="{SCRIPT}"{asking}></script>{_HEAD_ENDS}', 1)


def script() -> bytes:
    """The script itself."""
    return Path(__file__).with_name(SCRIPT).read_bytes()


def told_of(run: Path) -> dict[str, Any] | None:
    """What the box says of a run, from its manifest; None for a run that is not ours."""
    try:
        facts = manifest.read(run)
        questions, focus = facts["questions"], facts.get("focus", 0)
        return {
            "metric": facts["metric"],
            "focus": focus,
            "text_length": facts.get("asked_with", {}).get("text_length"),
            "count": len(questions),
            "questions": {place: _question(questions[place]) for place in {0, focus}},  # of a whole set, those shown
            "asked": _asked(facts),
        }
    except (OutputError, LookupError, TypeError, AttributeError):
        return None


def _asked(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of a run that was asked for in the page: of which run, over what, whether it was kept; and the question."""
    asked = facts.get("asked")
    if asked is None:
        return None
    told = {key: asked.get(key) for key in ("of", "kept", "over", "why")}
    question = facts["questions"][0]["text"][:_LONGEST_SNIPPET]
    return {**told, "question": question, "chunks": facts["source"]["rows_after_filter"]}


def _question(found: Mapping[str, Any]) -> dict[str, Any]:
    """`hits` is what an application returned, where that was told; then `lost` says which of the true top k it lost."""
    hits = [{key: hit[key] for key in _OF_A_HIT} for hit in found.get("returned", found["hits"])]
    for hit in hits:
        hit["text"] = hit["text"][:_LONGEST_SNIPPET]
        if not isinstance(hit["distance"], int | float):
            raise TypeError("a distance is a number")
    return {
        "text": found["text"],
        "answers": len(found["answers"]),
        "holding": found["chunks_with_answer"],
        "first_answer_rank": found["first_answer_rank"],
        "page_neighbours": found.get("page_neighbours"),
        "top_k": len(found["hits"]),
        "lost": found.get("lost"),
        "hits": hits,
    }
