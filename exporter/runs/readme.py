"""README.txt: what a run shows, for whoever gets the folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

README = "README.txt"
_SHOWN = 3
"""Questions whose hits are listed; of a set the hardest."""

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
    text += _evaluated(facts["evaluation"]) if "evaluation" in facts else []
    shown = _shown(facts)
    for question in shown:
        text += [f"Question: {' '.join(question['text'].split())}", f"Verdict: {question['verdict']}", ""]
        text += [question["lost"], ""] if "lost" in question else []
        for hit in question.get("returned", question["hits"]):
            mark = "answer " if hit["contains_answer"] else ""
            page = "" if hit["page"] is None else f" p. {hit['page']}"
            where = f"{hit['source'] or hit['id']}{page}"
            text.append(f"{hit['rank']:>4}  {hit['distance']:.4f}  {mark}{where}: {hit['text'][:80]}")
        text.append("")
    if len(facts["questions"]) > len(shown):
        everywhere = "questions.tsv and manifest.json have" if "evaluation" in facts else "manifest.json has"
        more = len(facts["questions"]) - len(shown)
        text += [f"... and {more:,} more question{'' if more == 1 else 's'}: {everywhere} them all.", ""]
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


def _shown(facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The first questions; of a set the one that the dartboard is about, then those furthest from being found."""
    questions = facts["questions"]
    if "evaluation" not in facts:
        return list(questions[:_SHOWN])
    missed = (one for one in questions if one["kind"] not in ("found", "answer_unknown"))
    hardest = sorted(missed, key=lambda one: -(one["first_rank"] or 0))
    order = [questions[facts["focus"]], *(one for one in hardest if one is not questions[facts["focus"]])]
    return order[:_SHOWN]


def _evaluated(found: Mapping[str, Any]) -> list[str]:
    """Figures at the application's k, how many questions have each verdict, what was found odd."""
    names = [f"{name}@{found['top_k']}" for name in ("hit", "recall", "precision", "ndcg")]
    text = [f"{found['questions']:,} question{'' if found['questions'] == 1 else 's'} of {found['set']}:"]
    for name in (*names, "mrr", "map"):
        figure = found["metrics"].get(name)
        if figure is not None:
            sure = "" if figure["low"] is None else f" ({figure['low']:.3f} to {figure['high']:.3f})"
            text.append(f"{name:>14}  {figure['value']:.3f}{sure}")
    text += ["", *(f"{count:>6,}  {kind.replace('_', ' ')}" for kind, count in found["verdicts"].items() if count), ""]
    text += [f"Finding: {finding['text']}" for finding in found["findings"]]
    return [*text, ""]
