"""`chroma-projector plot`."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli.options import Command, debug_option, option, run_argument


@click.command(cls=Command)
@run_argument
@option(
    "--output",
    "-o",
    group="Output",
    type=click.Path(path_type=Path),
    default=Path("picture.png"),
    show_default=True,
    help="A .png, .svg or .pdf file.",
)
@debug_option
def plot(run: Path, output: Path) -> None:
    """Draw a run: the dartboard left, the map right, the glyphs of the Projector.

    \b
    chroma-projector plot logs/demo-missed -o missed.svg
    """
    from exporter.workflows.plot import plot as draw

    click.echo(draw(run, output))
