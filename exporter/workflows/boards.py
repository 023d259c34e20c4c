"""What TensorBoard's other tabs show of an export, from what the manifest says and from the distances."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.evaluation.metrics import FIRST_RANK
from exporter.records import Float64, Scores
from exporter.runs.dashboards import Curve, Dashboards
from exporter.runs.markdown import escaped, table
from exporter.runs.projector import read_events
from exporter.workflows.assessment import Assessment

SHOWN = 20
"""Questions that have texts, histograms and curves of their own, at most."""
SET = "set"
POOLED = "nearest of all questions"
"""Of a whole set, the chunks that the ranking keeps of each question."""


def of_questions(facts: Mapping[str, Any], scores: Scores) -> Dashboards:
    """Of a run of some questions: every chunk of the collection is in a histogram, and in a curve."""
    asked = list(facts["questions"])[:SHOWN]
    names = [f"q{number}" if len(facts["questions"]) > 1 else "question" for number in range(1, len(asked) + 1)]
    scalars: dict[str, list[tuple[int, float]]] = {}
    for step, question in enumerate(asked, start=1):
        for tag, value in _figures_of(question).items():
            scalars.setdefault(tag, []).append((step, value))
    histograms: dict[str, Float64] = {}
    curves: dict[str, Curve] = {}
    for number, name in enumerate(names):
        seen = scores.whole(number)
        known = np.isfinite(seen.distances)
        away, right = seen.distances[known], seen.answers[known]
        histograms |= _parted(name, away, right) if asked[number]["answers"] else {f"{name}/every chunk": away}
        if right.any():
            curves[f"{name}/distance"] = Curve(away, right, missing=int(seen.answers.sum() - right.sum()))
    tags = [*names, *(["warnings"] if facts["warnings"] else [])]
    texts = {tag: _text(tag, facts) for tag in tags}
    return Dashboards(texts, {**scalars, **_layouts(facts)}, histograms, curves, settings(facts))


def of_a_set(facts: Mapping[str, Any], found: Assessment) -> Dashboards:
    """Of a run of a question set: its figures, and the nearest chunks of all questions, as far as they are kept."""
    metrics = facts["evaluation"]["metrics"]
    scalars: dict[str, list[tuple[int, float]]] = {}
    for name, figure in metrics.items():
        if figure["value"] is None:
            continue
        scalars[f"metrics/{name}"] = [(0, figure["value"])]
        kind, at, k = name.partition("@")
        if at:
            scalars.setdefault(f"by k/{kind}", []).append((int(k), figure["value"]))
    for verdict, count in facts["evaluation"]["verdicts"].items():
        scalars[f"verdicts/{verdict}"] = [(0, float(count))]
    known = [one for one in found.per_question if one.scores is not None]
    away = np.concatenate([np.empty(0), *(one.distances for one in known)])
    right = np.concatenate([np.empty(0, bool), *(np.array(one.right, bool) for one in known)])
    missing = sum(one.right_chunks - sum(one.right) for one in known)
    histograms = _parted(POOLED, away, right) if len(away) else {}
    curves = {f"{POOLED}/distance": Curve(away, right, max(missing, 0))} if right.any() else {}
    tags = [SET, *(f"questions/q{number + 1}" for number in found.hardest(SHOWN))]
    texts = {tag: _text(tag, facts) for tag in tags}
    return Dashboards(texts, {**scalars, **_layouts(facts)}, histograms, curves, settings(facts))


def stored_boards(run: Path, facts: Mapping[str, Any], private: Sequence[str] = ()) -> Dashboards | None:
    """What the other tabs show of a run on disk, its texts and settings anew, from what the manifest now says; of two
    runs on one map, the text without the lines of `private` settings.
    """
    ours = [event for path in sorted(run.glob("*.chroma-projector")) for event in read_events(path)]
    joint = "comparison" in facts
    kept, texts = [], {}
    for event in ours:
        (value,) = event.summary.value
        plugin = value.metadata.plugin_data.plugin_name
        if plugin == "text" and joint:
            lines = value.tensor.string_val[0].decode().split("\n")
            texts[value.tag] = "\n".join(
                line for line in lines if not line.startswith(tuple(f"| {name} |" for name in private))
            )
        elif plugin == "text":
            texts[value.tag] = _text(value.tag, facts)
        elif plugin != "hparams":
            kept.append(event)
    made_with = {} if joint else settings(facts)
    return Dashboards(texts, settings=made_with, name=run.resolve().name, kept=kept) if ours else None


def settings(facts: Mapping[str, Any]) -> dict[str, str | float]:
    """What a run was made with, for HParams; what is not known is left out. A filter is JSON."""
    source = facts["source"]
    filters = {key: source[key] for key in ("where", "where_document") if source[key] is not None}
    found = {
        "model": facts["model"]["name"] or "vectors were given",
        "collection": source["collection"],
        "space": source["space"],
        "metric": facts["metric"],
        "k": facts["top_k"],
        "dimension": source["dimension"],
        "filter": json.dumps(filters, sort_keys=True) if filters else "" if "redacted" in facts else "none",
        **{f"chunk_{name}": value for name, value in (source.get("chunking") or {}).items()},
    }
    return {name: value if isinstance(value, str) else float(value) for name, value in found.items() if value}


def _figures_of(question: Mapping[str, Any]) -> dict[str, float]:
    hits = question["hits"]
    found = {"question/answers_in_top_k": float(sum(hit["contains_answer"] for hit in hits))}
    if hits:
        found["question/nearest_distance"] = hits[0]["distance"]
    if question["first_answer_rank"] is not None:
        found["question/first_answer_rank"] = float(question["first_answer_rank"])
    return found


def _layouts(facts: Mapping[str, Any]) -> dict[str, list[tuple[int, float]]]:
    figures = {layout["name"]: layout["trustworthiness"] for layout in facts["layouts"]}
    return {f"trustworthiness/{name}": [(0, value)] for name, value in figures.items() if value is not None}


def _parted(name: str, distances: Float64, right: Any) -> dict[str, Float64]:
    parts = {"with the answer": distances[right], "without the answer": distances[~right]}
    return {f"{name}/{part}": found for part, found in parts.items() if len(found)}


def _text(tag: str, facts: Mapping[str, Any]) -> str:
    """The Text tab's text under one of our tags."""
    if tag == SET:
        return _set_text(facts)
    if tag == "warnings":
        return "\n".join(f"- {escaped(one)}" for one in facts["warnings"])
    number = tag.rpartition("q")[2]  # of "question" nothing that is a number
    return _question_text(facts["questions"][int(number) - 1 if number.isdecimal() else 0])


def _question_text(question: Mapping[str, Any]) -> str:
    """The question, its verdict, and what came back."""
    lines = [f"**★ {escaped(question['text'])}**", "", escaped(question["verdict"]), ""]
    if "repair" in question:
        lines += [f"What mends it: {escaped(question['repair'])}", ""]
    lines += [_hits(question.get("returned", question["hits"]))]
    if "lost" in question:
        lines += ["", escaped(question["lost"])]
    return "\n".join(lines)


def _hits(hits: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            str(hit["rank"]),
            f"{hit['distance']:.4f}",
            hit["source"] or hit["id"],
            "-" if hit["page"] is None else str(hit["page"]),
            "✓" if hit["contains_answer"] else "",
            hit["text"],
        )
        for hit in hits
    ]
    return table(("rank", "distance", "source", "page", "answer", "text"), rows)


def _set_text(facts: Mapping[str, Any]) -> str:
    found = facts["evaluation"]
    k = found["top_k"]
    names = (*(f"{kind}@{k}" for kind in ("hit", "recall", "precision", "ndcg")), "mrr", "map", FIRST_RANK)
    figures = [(name, _figure(found["metrics"][name])) for name in names if name in found["metrics"]]
    verdicts = [(kind.replace("_", " "), f"{count:,}") for kind, count in found["verdicts"].items() if count]
    about = f"**{found['questions']:,} questions of {escaped(found['set'])}**, top {k} of {found['rows']:,} chunks"
    findings = [f"- {escaped(one['text'])}" for one in found["findings"]] or ["- none"]
    warnings = [f"- {escaped(one)}" for one in facts["warnings"]] or ["- none"]
    return "\n".join([
        about, "",
        table(("metric", "value"), figures), "",
        table(("verdict", "questions"), verdicts), "",
        "**Findings**", "", *findings, "",
        "**Warnings**", "", *warnings,
    ])  # fmt: skip


def _figure(figure: Mapping[str, float | None]) -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None:
        return "beyond all"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
