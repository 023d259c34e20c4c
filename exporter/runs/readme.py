"""README.txt: what a run shows, for whoever gets the folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 3
"""Questions whose hits are listed."""

_KEY = """\
Glyphs: a star is a question; filled is retrieved, a square holds the answer, the number is the rank (1 = nearest of all
chunks); small grey discs are the other chunks. Lines join a question with its hits.

Pictures: around_question puts the question in the middle and each chunk as far out as its rank; only that radius is
meant. map (UMAP) keeps chunks of one subject together. vectors has all dimensions. On the first two, the page's
"nearest points" are neighbours in the picture, not in truth: trust the columns rank and distance.

Columns of metadata.tsv: label, source, page, distance (to the question, or the nearest of several), contains_answer,
is_question, role, rank, closeness (1 nearest, 0 farthest), source_group (the biggest sources, to colour by), id, text,
then the chunk's own metadata. "-" stands for no text, -1 for no number.

To look at it: pip install chroma-projector, then `chroma-projector tensorboard FOLDER`, where FOLDER is the one that
holds this run's folder; or `tensorboard --logdir FOLDER` and the Projector tab.
"""


def readme(facts: Mapping[str, Any]) -> str:
    """The text, from what the manifest says."""
    source = facts["source"]
    lines = [
        f"Collection {source['collection']}, {source['rows']:,} chunks; {facts['metric']}: {facts['distance']}.",
        "",
    ]
    for question in facts["questions"][:_SHOWN]:
        lines += [f"Question: {' '.join(question['text'].split())}", f"Verdict: {question['verdict']}", ""]
        for hit in question["hits"]:
            mark = "answer " if hit["contains_answer"] else ""
            page = "" if hit["page"] is None else f" p. {hit['page']}"
            where = f"{hit['source'] or hit['id']}{page}"
            lines.append(f"{hit['rank']:>4}  {hit['distance']:.4f}  {mark}{where}: {hit['text'][:80]}")
        lines.append("")
    if len(facts["questions"]) > _SHOWN:
        lines += [f"... and {len(facts['questions']) - _SHOWN} more questions: manifest.json has them all.", ""]
    lines += [f"Warning: {warning}" for warning in facts["warnings"]]
    return "\n".join(lines) + "\n" + _KEY
