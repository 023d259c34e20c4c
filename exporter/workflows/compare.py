"""Two runs of one question set in, what got better and worse out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from exporter.errors import UsageError
from exporter.evaluation import comparison
from exporter.evaluation.comparison import Comparison, Outcome, System
from exporter.records import Progress, no_progress
from exporter.runs import manifest
from exporter.runs.redaction import GONE
from exporter.workflows.boards import settings
from exporter.workflows.run import Run, open_run

_ROUNDING = 1e-12


def compare(a: str | Path | Run, b: str | Path | Run, *, progress: Progress = no_progress) -> Comparison:
    """Run B against run A, both of `export --questions` or `evaluate --run`.

    Raises OutputError for a folder that is no run, UsageError for a run without a question set, and for two that share
    no question.
    """
    progress("reading the runs", 0, None)
    systems = _system(_opened(a)), _system(_opened(b))
    progress("comparing", 0, None)
    return comparison.compare(*systems)


def join(
    a: str | Path | Run,
    b: str | Path | Run,
    found: Comparison,
    *,
    logdir: Path | None = None,
    run: str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Run:
    """A run in which both, once compared, stand on one map; in `logdir` (default: `logs`)."""
    from exporter.workflows import joint

    return joint.join(_opened(a), _opened(b), found, logdir=logdir, name=run, overwrite=overwrite, progress=progress)


def gains(wanted: Iterable[str]) -> dict[str, float]:
    """`hit@5=0` and the like. Raises UsageError for what is no metric and number."""
    found = {}
    for one in wanted:
        name, _, value = one.partition("=")
        try:
            found[name.strip().lower()] = float(value)
        except ValueError:
            raise UsageError(f"--min-gain {one!r}: write it like --min-gain hit@5=0") from None
        if not -1 <= found[name.strip().lower()] <= 1:
            raise UsageError(f"--min-gain {one!r}: a difference lies between -1 and 1")
    return found


def check_gains(found: Comparison, wanted: Mapping[str, float]) -> None:
    """Raises UsageError for a metric that the two have not both; none is missing where no answer is known."""
    unknown = [name for name in wanted if found.metrics and name not in found.metrics]
    if unknown:
        raise UsageError(f"--min-gain {unknown[0]}: unknown metric; both runs have {', '.join(found.metrics)}")


def missed(found: Comparison, wanted: Mapping[str, float]) -> list[str]:
    """In words, the gains that B does not reach; all of them when no question could be scored."""
    below = []
    for name, least in wanted.items():
        if name not in found.metrics:
            below.append(f"the gain in {name} is not known, as no question's answer is known in both")
        elif (gain := found.metrics[name].difference) < least - _ROUNDING:
            below.append(f"{name} changed by {gain:+.4f}, the least wanted is {least:+g}")
    return below


def _opened(run: str | Path | Run) -> Run:
    return run if isinstance(run, Run) else open_run(run)


def _system(run: Run) -> System:
    if "comparison" in run.facts:
        told = run.facts["comparison"]
        raise UsageError(f"{run.path} is two runs on one map: compare those, {told['a']} and {told['b']}, themselves")
    with manifest.understood(run.path):
        return _of_a_set(run)


def _of_a_set(run: Run) -> System:
    found = run.evaluation
    if found is None:
        raise UsageError(
            f"{run.path} was made without a question set: export it with --questions, or by evaluate --run"
        )
    outcomes = [
        Outcome(one["id"], one["question"], one["verdict"], one["first_rank"], one["metrics"], _answers(asked))
        for one, asked in zip(found["per_question"], run.facts["questions"], strict=True)
    ]
    return System(str(run.path), found["top_k"], outcomes, _settings(run))


def _settings(run: Run) -> dict[str, str | float]:
    """What it was made with, and what makes a chunk right."""
    with_what = run.facts.get("asked_with", {})
    return {
        **settings(run.facts),
        "chunks": float(run.facts["evaluation"]["rows"]),
        "answers found": run.facts["answer_match"],
        "accents": "ignored" if with_what.get("ignore_accents") else "told apart",
    }


def _answers(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """The answers, in no order, as any will do; none where they were taken out."""
    told = [one if isinstance(one, str) else " + ".join(one) for one in asked["answers"]]
    return () if GONE in told else tuple(sorted(told))
