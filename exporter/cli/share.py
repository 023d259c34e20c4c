"""`chroma-projector share`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.cli import console
from exporter.cli.options import (
    Command,
    columns_option,
    debug_option,
    option,
    quiet_option,
    redaction_options,
    run_argument,
)


@click.command(cls=Command)
@run_argument
@option(
    "--output",
    "-o",
    group="Output",
    type=click.Path(path_type=Path),
    default=Path("run.html"),
    show_default=True,
    help="A .html, .zip or .parquet file; one that is there is replaced.",
)
@option("--map-only", group="Output", is_flag=True, help="A page without the vectors: small.")
@columns_option
@redaction_options
@quiet_option
@debug_option
def share(run: Path, output: Path, quiet: bool, **settings: Any) -> None:
    """Hand a run on: a page that opens from disk, with no Python and no network, or a zip for `tensorboard`.

    \b
    chroma-projector share logs/demo-missed -o missed.html
    chroma-projector share logs/demo-missed -o missed.zip --no-text --anonymize-ids
    """
    from exporter.workflows.share import share as write

    if not quiet:
        settings["notice"] = console.note
    click.echo(write(run, output, **settings))
