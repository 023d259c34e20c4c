"""`chroma-projector verify`."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli import console
from exporter.cli.options import Command, debug_option, json_option, run_argument
from exporter.errors import CheckFailed


@click.command(cls=Command)
@run_argument
@json_option
@debug_option
def verify(run: Path, as_json: bool) -> None:
    """Check a run: is it whole, unchanged, and will the Projector show it?

    \b
    chroma-projector verify logs/demo-missed
    """
    from exporter.workflows.verify import taken_out as told
    from exporter.workflows.verify import verify as find_faults

    faults = find_faults(run)
    if as_json:
        console.print_json({"ok": not faults, "faults": faults})
    for fault in [] if as_json else faults:
        click.echo(fault)
    if faults:
        raise CheckFailed(f"{run}: {len(faults)} fault(s) found; export the run again")
    if not as_json:
        click.echo(f"{run}: whole{told(run)}")
