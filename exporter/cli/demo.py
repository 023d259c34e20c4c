"""`chroma-projector demo`."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli import console
from exporter.cli.options import (
    Command,
    debug_option,
    json_option,
    logdir_option,
    open_option,
    option,
    port_option,
    quiet_option,
)


@click.command(cls=Command)
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path), default=Path("demo"))
@option("--question", "-q", group="Question", metavar="TEXT", help="Your own, instead of the two.")
@option("--answer", "-a", group="Question", metavar="TEXT", help="Words that its answer holds.")
@logdir_option
@option("--overwrite", group="Output", is_flag=True, help="Export the runs again.")
@json_option
@quiet_option
@debug_option
@option("--no-serve", group="Server", is_flag=True, help="Only build and export.")
@port_option
@open_option
def demo(
    directory: Path,
    question: str | None,
    answer: str | None,
    logdir: Path,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    no_serve: bool,
    port: int,
    open_browser: bool,
) -> None:
    """Try it: build a collection from Python's own reference in DIR, export two questions, serve them.

    One question is answered at rank 1, one is missed. Nothing is downloaded.

    \b
    chroma-projector demo
    """
    if not quiet and not as_json:
        console.note(f"a collection of Python's language reference in {directory} (embedded once: a minute)")
    from exporter.workflows.demo import demo as make_demo

    with console.progress_bars(show=not quiet and not as_json) as progress:
        runs = make_demo(
            directory, logdir=logdir, question=question, answer=answer, overwrite=overwrite, progress=progress
        )
    if as_json:
        console.print_json([run.to_json() for run in runs])
    for run in [] if as_json or quiet else runs:
        console.print_run(run)
        console.note(f"run: {run.path}\n")
    if not no_serve:
        from exporter.cli.tensorboard import serve_until_interrupted

        serve_until_interrupted(logdir, port=port, open_browser=open_browser, quiet_stdout=as_json, source=directory)
    elif not as_json and not quiet:
        console.next_step(logdir)
