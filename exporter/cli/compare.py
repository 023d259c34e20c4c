"""`chroma-projector compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from exporter.cli import console
from exporter.cli.options import (
    Command,
    check_forms,
    debug_option,
    json_option,
    markdown_option,
    option,
    overwrite_option,
    quiet_option,
)
from exporter.errors import CheckFailed


@click.command(cls=Command)
@click.argument("run_a", type=click.Path(path_type=Path), metavar="RUN_A")
@click.argument("run_b", type=click.Path(path_type=Path), metavar="RUN_B")
@option("--min-gain", "least", group="Output", metavar="METRIC=N", multiple=True, help="B less A; below: exit code 10.")
@option("--logdir", group="Output", metavar="PATH", type=click.Path(path_type=Path), help="Write a joint map there.")
@option("--run", "-n", group="Output", metavar="NAME", help="Write a joint map as this run (default: in logs).")
@overwrite_option
@markdown_option
@json_option
@quiet_option
@debug_option
def compare(
    run_a: Path,
    run_b: Path,
    least: Sequence[str],
    logdir: Path | None,
    run: str | None,
    overwrite: bool,
    markdown: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Is B better than A, or is it chance? Two runs of one question set, compared. Experimental.

    \b
    chroma-projector compare logs/small-chunks logs/large-chunks
    chroma-projector compare logs/main logs/branch --min-gain hit@5=0
    """
    check_forms(as_json, markdown)
    from exporter.workflows.compare import check_gains, gains, join, missed
    from exporter.workflows.compare import compare as compare_runs

    wanted = gains(least)
    with console.progress_bars(show=not quiet and not as_json) as progress:
        found = compare_runs(run_a, run_b, progress=progress)
        check_gains(found, wanted)
        report = found.to_json()
        if logdir is not None or run is not None:
            written = join(run_a, run_b, found, logdir=logdir, run=run, overwrite=overwrite, progress=progress)
            report = {"run": str(written.path), **report}
    console.print_report(
        report, console.print_comparison, found.warnings, as_json=as_json, markdown=markdown, quiet=quiet
    )
    if below := missed(found, wanted):
        raise CheckFailed(f"{'; '.join(below)}: see which questions were lost")
