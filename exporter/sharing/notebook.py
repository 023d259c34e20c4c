"""A run in a notebook: HTML in which foreign text stays text."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

_SHOWN = 3
"""Questions whose hits are listed."""


def as_html(facts: Mapping[str, Any], picture: bytes | None) -> str:
    """The first questions with verdict and hits as tables, then the PNG, from what a manifest says."""
    parts = [_question(question) for question in facts["questions"][:_SHOWN]]
    if picture is not None:
        parts.append(
            f'<img alt="the run" style="max-width:100%" src="data:image/png;base64,{b64encode(picture).decode()}">'
        )
    return "\n".join(parts)


def _question(question: Mapping[str, Any]) -> str:
    hits = question.get("returned", question["hits"])
    rows = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in _cells(hit)) + "</tr>" for hit in hits)
    heads = "".join(f"<th>{head}</th>" for head in ("rank", "distance", "source", "page", "answer", "text"))
    return (
        f"<p><b>★ {escape(question['text'])}</b><br>{escape(question['verdict'])}</p>"
        f"<table><tr>{heads}</tr>{rows}</table>"
    )


def _cells(hit: Mapping[str, Any]) -> tuple[object, ...]:
    page = "-" if hit["page"] is None else hit["page"]
    tick = "✓" if hit["contains_answer"] else ""
    return hit["rank"], f"{hit['distance']:.4f}", hit["source"] or "-", page, tick, hit["text"][:120]
