"""`chroma-projector evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from exporter.cli import console
from exporter.cli.options import (
    Command,
    access_options,
    answer_options,
    cache_option,
    check_forms,
    collection_option,
    debug_option,
    index_option,
    json_option,
    markdown_option,
    metric_option,
    model_options,
    option,
    overwrite_option,
    questions_options,
    quiet_option,
    source_argument,
    top_k_option,
    where_options,
    words_option,
)
from exporter.errors import CheckFailed


@click.command(cls=Command)
@source_argument
@collection_option
@model_options("What")
@cache_option
@questions_options("questions", required=True)
@answer_options
@option(
    "--question-vector",
    group="Question",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The questions' vectors, .npy or JSON: no model is loaded.",
)
@top_k_option
@metric_option
@index_option
@words_option
@where_options
@option("--min", "least", group="Output", metavar="METRIC=N", multiple=True, help="Below it: exit code 10.")
@option("--trec", group="Output", metavar="FILE", type=click.Path(path_type=Path), help="The ranking, and FILE.qrels.")
@option("--logdir", group="Output", metavar="PATH", type=click.Path(path_type=Path), help="Write a run there, too.")
@option("--run", "-n", group="Output", metavar="NAME", help="Write a run of this name, too (default: in logs).")
@overwrite_option
@markdown_option
@json_option
@quiet_option
@debug_option
@access_options
def evaluate(
    as_json: bool,
    markdown: bool,
    quiet: bool,
    least: Sequence[str],
    trec: Path | None,
    logdir: Path | None,
    run: str | None,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Does retrieval find the answers, and if not, why? Metrics, a verdict a question, findings.

    \b
    chroma-projector evaluate chroma_db --questions questions.jsonl -k 5
    chroma-projector evaluate chroma_db --questions questions.csv --min hit@5=0.8 --markdown
    """
    check_forms(as_json, markdown)
    from exporter.workflows.evaluate import (
        EvaluateRequest,
        check_trec,
        evaluate_and_export,
        missed,
        run_evaluation,
        thresholds,
        write_trec,
    )

    wanted = thresholds(least, asked["top_k"])
    if trec is not None:
        check_trec(trec)
    request = EvaluateRequest(**asked)
    with console.progress_bars(show=not quiet and not as_json) as progress:
        if logdir is not None or run is not None:
            found, written = evaluate_and_export(
                request, logdir=logdir, run=run, overwrite=overwrite, progress=progress, notice=console.note
            )
            report = {"run": str(written.path), **found.to_json()}
        else:
            found = run_evaluation(request, progress, console.note)
            report = found.to_json()
    console.print_report(
        report, console.print_evaluation, found.warnings, as_json=as_json, markdown=markdown, quiet=quiet
    )
    if trec is not None:
        qrels = write_trec(found, trec)
        if not quiet:
            console.note(f"ranking: {trec}, judgements: {qrels}")
    if below := missed(found, wanted):
        raise CheckFailed(f"{'; '.join(below)}: see the verdicts for what to mend")
