"""`chroma-projector collections`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from exporter.cli import console
from exporter.cli.options import Command, access_options, debug_option, json_option, source_argument

if TYPE_CHECKING:
    from exporter.sources import Access


@click.command(cls=Command)
@source_argument
@json_option
@debug_option
@access_options
def collections(source: str, as_json: bool, access: Access) -> None:
    """List the collections of SOURCE: name, rows, dimension, space, recorded model. Touches nothing.

    \b
    chroma-projector collections chroma_db
    """
    from exporter.workflows.collections import collections as find

    found = find(source, access, console.note)
    if as_json:
        keys = ("name", "rows", "dimension", "space", "database")
        console.print_json(
            [{key: getattr(one, key) for key in keys} | {"model": console.model_name(one)} for one in found]
        )
    else:
        console.print_collections(found)
