"""Markdown of what others wrote: foreign text stays text, for GitHub's reader and for TensorBoard's."""

from __future__ import annotations

from collections.abc import Sequence


def escaped(text: str) -> str:
    """One line in which no cell, tag, code or link begins."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_[]|#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("~", "&#126;")  # TensorBoard's reader knows no escape of it


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are foreign text."""
    lines = [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    lines += [f"| {' | '.join(map(escaped, row))} |" for row in rows]
    return "\n".join(lines)
