"""`chroma-projector share`."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli import console
from exporter.cli.options import Command, debug_option, option, quiet_option


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@option(
    "--output",
    "-o",
    group="Output",
    type=click.Path(path_type=Path),
    default=Path("run.html"),
    show_default=True,
    help="A .html or .zip file.",
)
@option("--map-only", group="Output", is_flag=True, help="A page without the vectors: small.")
@quiet_option
@debug_option
def share(run: Path, output: Path, map_only: bool, quiet: bool, debug: bool) -> None:
    """Hand a run on: a page that opens from disk, with no Python and no network, or a zip for `tensorboard`.

    \b
    chroma-projector share logs/demo-missed -o missed.html
    chroma-projector share logs/demo-missed -o missed.zip
    """
    from exporter.workflows.share import share as write

    click.echo(write(run, output, map_only=map_only, notice=(lambda line: None) if quiet else console.note))
