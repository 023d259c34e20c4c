"""A collection and a question set in, figures, verdicts and findings out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import OutputError, UsageError
from exporter.evaluation.metrics import measures, to_qrels, to_run
from exporter.records import Notice, Progress, no_notice, no_progress
from exporter.workflows.assessment import Assessment
from exporter.workflows.collections import find_collection
from exporter.workflows.export import export_and_assess
from exporter.workflows.question_set import judge_set, load_set
from exporter.workflows.request import ExportRequest, RankingRequest
from exporter.workflows.run import Run


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(RankingRequest):
    """All that can be asked of an evaluation.

    `questions`: a file, or Python's own objects with the names that a .jsonl has; `qrels` its judgements.
    """

    questions: str | Path | Iterable[Mapping[str, Any]]
    qrels: str | Path | None = None


def evaluate(
    source: Any,
    questions: str | Path | Iterable[Mapping[str, Any]],
    *,
    progress: Progress = no_progress,
    notice: Notice = no_notice,
    **options: Any,
) -> Assessment:
    """Judge a question set; `options` are the fields of `EvaluateRequest`; `notice` is told what leaves.

    Raises an ExporterError, whose text says what is wrong and what to do.
    """
    if options.get("question_vector") is not None:
        options["question_vector"] = Path(options["question_vector"])
    return run_evaluation(EvaluateRequest(source=source, questions=questions, **options), progress, notice)


def run_evaluation(
    request: EvaluateRequest, progress: Progress = no_progress, notice: Notice = no_notice
) -> Assessment:
    """Carry out a request. `notice` is told, beforehand, what leaves this machine."""
    asked = load_set(request.questions, request.qrels)
    matchers = request.matchers_of(asked)
    source, collection = find_collection(request, notice)
    return judge_set(asked, matchers, request, source, collection, progress, notice)[0]


def evaluate_and_export(
    request: EvaluateRequest,
    *,
    logdir: Path | None = None,
    run: str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
    notice: Notice = no_notice,
) -> tuple[Assessment, Run]:
    """Carry out a request, and write a run that shows it, in `logdir` (default: `logs`)."""
    given = {name: getattr(request, name) for name in request.__dataclass_fields__ if name != "questions"}
    written, found = export_and_assess(
        ExportRequest(
            **given, question_set=request.questions, logdir=logdir or Path("logs"), run=run, overwrite=overwrite
        ),
        progress,
        notice,
    )
    if found is None:
        raise ValueError("an export of a question set is assessed")
    return found, written


def thresholds(wanted: Iterable[str], top_k: int) -> dict[str, float]:
    """`hit@5=0.8` and the like, at the usual k and at `top_k`. Raises UsageError for an unknown metric or no number."""
    known, found = measures(top_k), {}
    for one in wanted:
        name, _, value = one.partition("=")
        name = name.strip().lower()
        try:
            found[name] = float(value)
        except ValueError:
            raise UsageError(f"--min {one!r}: write it like --min hit@5=0.8") from None
        if name not in known:
            raise UsageError(f"--min {one!r}: unknown metric; there are {', '.join(known)}")
        if not 0 <= found[name] <= 1:
            raise UsageError(f"--min {one!r}: every metric lies between 0 and 1")
    return found


def missed(assessment: Assessment, wanted: Mapping[str, float]) -> list[str]:
    """In words, the thresholds that the figures don't reach; all of them when no question could be scored."""
    found = []
    for name, least in wanted.items():
        value = assessment.metrics[name].value if name in assessment.metrics else None
        if value is None:
            found.append(f"{name} is not known, as no question says what answers it")
        elif value < least:
            found.append(f"{name} is {value:.4f}, below {least:g}")
    return found


def check_trec(path: Path) -> None:
    """Raises OutputError when a ranking can't be written there, before any work is done."""
    folder = next(one for one in (path.parent, *path.parent.parents) if one.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"--trec {path} can't be written: name a file in a folder that you may write to")


def write_trec(assessment: Assessment, path: Path) -> Path:
    """Write the ranking as a TREC run, and beside it, as `<name>.qrels`, what is right; the path of that.

    Raises OutputError when they can't be written.
    """
    qrels = path.with_name(path.name + ".qrels")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_run(assessment.judged), encoding="utf-8")
        qrels.write_text(to_qrels(assessment.judged), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"--trec {path} can't be written: {error.strerror or error}") from error
    return qrels
