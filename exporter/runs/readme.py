"""README.txt: what a run shows, for whoever gets the folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 3
"""Questions whose hits are listed."""

_GLYPHS = """\
Glyphs: a star is a question; filled is retrieved, a square holds the answer, the number is the rank (1 = nearest of all
chunks); small grey discs are the other chunks.
"""
_LINES = "Lines join a question with its hits.\n"
_AROUND = "around_question: the question in the middle, each chunk as far out as its rank; only that radius is meant."
_UMAP = "map: chunks of one subject stand together (UMAP)."
_PCA = "map: the chunks on their three principal axes."
_VECTORS = """\
vectors: all dimensions, laid out by the page. The page's list of "nearest points" has neighbours in the picture, or
of vectors that it centred and scaled first: trust the columns rank and distance.
"""
_COLUMNS = """\
Columns of metadata.tsv: label, source, page, distance (to the question, or the nearest of several), contains_answer,
is_question, role, rank, closeness (1 nearest, 0 farthest), {question}source_group (the biggest sources, to colour by),
id, text, then the chunk's own metadata. "-" stands for no text, -1 for no number.
"""
_HOW = """\
To look at it: pip install chroma-projector, then `chroma-projector tensorboard FOLDER`, where FOLDER is the one that
holds this run's folder; or `tensorboard --logdir FOLDER` and the Projector tab.
"""


def readme(facts: Mapping[str, Any], *, sprites: bool, lines: bool) -> str:
    """The text, from what the manifest says and from what is drawn."""
    source = facts["source"]
    text = [
        f"Collection {source['collection']}, {source['rows']:,} chunks; {facts['metric']}: {facts['distance']}.",
        "",
    ]
    for question in facts["questions"][:_SHOWN]:
        text += [f"Question: {' '.join(question['text'].split())}", f"Verdict: {question['verdict']}", ""]
        text += [question["lost"], ""] if "lost" in question else []
        for hit in question.get("returned", question["hits"]):
            mark = "answer " if hit["contains_answer"] else ""
            page = "" if hit["page"] is None else f" p. {hit['page']}"
            where = f"{hit['source'] or hit['id']}{page}"
            text.append(f"{hit['rank']:>4}  {hit['distance']:.4f}  {mark}{where}: {hit['text'][:80]}")
        text.append("")
    if len(facts["questions"]) > _SHOWN:
        text += [f"... and {len(facts['questions']) - _SHOWN} more questions: manifest.json has them all.", ""]
    text += [f"Warning: {warning}" for warning in facts["warnings"]]
    drawn = (_GLYPHS if sprites else "") + (_LINES if lines else "")
    made_by = {layout["name"]: layout["made_by"] for layout in facts["layouts"]}
    pictures = [_AROUND] if "around_question" in made_by else []
    if "map" in made_by:
        pictures.append(_PCA if made_by["map"] == "pca" else _UMAP)
    if "placed" in facts.get("asked", {}):
        pictures.append(f"The question was {facts['asked']['placed']}.")
    several = "question (the nearest one), times_retrieved (for how many), "
    columns = _COLUMNS.format(question=several if len(facts["questions"]) > 1 else "")
    return "\n".join([*text, "", *filter(None, (drawn, "\n".join([*pictures, _VECTORS]), columns)), _HOW])
