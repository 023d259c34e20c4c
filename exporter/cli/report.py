"""What `evaluate` reports, as titles, tables and Markdown; `cli.console` prints it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from exporter.runs.markdown import escaped, table

Found = Mapping[str, Any]
"""What `evaluate --json` prints."""

Section = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The headings of a table, and its rows."""

LISTED = 10
"""Missed questions that a report lists; `--json` has all."""


def to_markdown(heading: str, tables: Iterable[Section], points: Sequence[str]) -> str:
    """A title, tables and a list, for the summary of a CI job."""
    lines = [f"### {escaped(heading)}", ""]
    for names, rows in tables:
        lines += [table(names, rows), ""]
    lines += [f"- {escaped(point)}" for point in points]
    return "\n".join(lines).rstrip() + "\n"


def title(found: Found) -> str:
    """What was asked of what."""
    left = found["verdicts"]["answer_unknown"]
    say = "more says no answer and is" if left == 1 else "more say no answer and are"
    without = f", {left:,} {say} left out of the figures" if left else ""
    asked = found["questions"] - left
    return (
        f"{asked:,} question{'' if asked == 1 else 's'} to {found['collection']}, {found['rows']:,} chunks by "
        f"{found['metric']}{without}"
    )


def sections(found: Found) -> Iterator[Section]:
    """Headings and rows of the tables of a report."""
    from exporter.evaluation.metrics import FIRST_RANK, cutoffs
    from exporter.evaluation.verdicts import ANSWER_UNKNOWN, FOUND, REPAIRS

    if figures := found["metrics"]:
        kinds = ("hit", "recall", "precision", "ndcg")
        yield (
            ("k", *kinds),
            [(str(k), *(_figure(figures[f"{kind}@{k}"]) for kind in kinds)) for k in cutoffs(found["top_k"])],
        )
        yield (
            ("of the whole ranking", "value"),
            [(name, _figure(figures[name])) for name in ("mrr", "map")]
            + [("first right chunk, median rank", _figure(figures[FIRST_RANK], ".0f"))],
        )
    verdicts = [(kind, f"{count:,}", REPAIRS[kind]) for kind, count in found["verdicts"].items() if count]
    yield ("verdict", "questions", f"what mends it (top {found['top_k']})"), verdicts
    own_index = found.get("index_recall")
    recall = (
        [] if own_index is None else [("Chroma's own index", f"{own_index:.3f}", f"of the exact top {found['top_k']}")]
    )
    if words := found.get("lexical"):  # not in runs of older versions, and not with --no-words
        cases = (
            ("both", "both"),
            ("only_vectors", "vectors only"),
            ("only_words", "words only"),
            ("neither", "neither"),
        )
        rows = [(told_as, f"{len(words[case]):,}", _some(words[case])) for case, told_as in cases]
        yield ("answered by vectors or plain words (BM25)", "", f"which, in the top {found['top_k']}"), [*rows, *recall]
    elif recall:
        yield ("what the index returns", "", ""), recall
    wrong = [one for one in found["per_question"] if one["verdict"] not in (FOUND, ANSWER_UNKNOWN)]
    if wrong:
        hardest = sorted(wrong, key=_hardness)[:LISTED]
        more = f" ({len(hardest)} of {len(wrong):,})" if len(wrong) > len(hardest) else ""
        rows = [(one["id"], one["verdict"], f"{short(one['question'])}: {one['evidence']}") for one in hardest]
        yield ("missed", "verdict", f"question and evidence{more}"), rows


def _hardness(one: Found) -> tuple[int, int]:
    """The furthest from being found first; those with no right chunk at all after them, as ranks say more."""
    return (0, -one["first_rank"]) if one["first_rank"] else (1, 0)


def _figure(figure: Found, form: str = ".3f") -> str:
    def number(value: float | None) -> str:
        return "beyond all" if value is None else format(value, form)

    value, low, high = figure["value"], figure["low"], figure["high"]
    one = low is None and value is not None and high is None
    return number(value) if one else f"{number(value)} ({number(low)} to {number(high)})"


def told(finding: Found) -> str:
    """A finding in one line, with examples."""
    return f"{finding['text']}" + (f" (such as {', '.join(finding['examples'])})" if finding["examples"] else "")


def _some(ids: Sequence[str]) -> str:
    return short(", ".join(ids)) or "-"


def short(text: str, length: int = 60) -> str:
    """One line, cut where it is longer."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
