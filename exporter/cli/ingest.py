"""`chroma-projector ingest`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from exporter.cli import console
from exporter.cli.options import (
    Command,
    database_options,
    debug_option,
    engine_options,
    json_option,
    model_options,
    option,
    quiet_option,
    source_argument,
)
from exporter.errors import NetworkError, UsageError

WHAT, MODEL, CHUNKS, WEB, OUTPUT = "What", "Model", "Chunks", "Websites", "Output"


@click.command(cls=Command)
@source_argument
@click.argument("more", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@option(
    "--url",
    "urls",
    group=WHAT,
    metavar="URL",
    multiple=True,
    help="A website, read from here on and below only; or its sitemap.xml. May be repeated.",
)
@option(
    "--files",
    group=WHAT,
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file or folder: HTML, Markdown, text, PDF, CSV, JSONL. More may follow: --files docs/*.md",
)
@option(
    "--text-column",
    group=WHAT,
    metavar="NAME",
    default="text",
    show_default=True,
    help="Where the texts are in CSV and JSONL.",
)
@option(
    "--collection",
    "-c",
    group=WHAT,
    metavar="NAME",
    default="langchain",
    show_default=True,
    help="Made when it is not there.",
)
@option(
    "--into-existing",
    group=WHAT,
    is_flag=True,
    help="Add to a collection that no ingest made; let Chroma migrate an older directory.",
)
@option("--prune", group=WHAT, is_flag=True, help="Remove stored chunks that are gone from their pages and files.")
@model_options(MODEL)
@option(
    "--device",
    group=MODEL,
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where a model computes.",
)
@option(
    "--document-prompt", group=MODEL, metavar="TEXT", help='Before each chunk, as in "passage: "; else the model\'s.'
)
@option("--query-prompt", group=MODEL, metavar="TEXT", help="Before each question asked later; else the model's.")
@option("--chunk-size", group=CHUNKS, metavar="N", type=int, help="Default: 1000 characters, or 200 tokens.")
@option("--chunk-overlap", group=CHUNKS, metavar="N", type=int, help="Default: 100 characters, or 20 tokens.")
@option(
    "--chunk-unit",
    group=CHUNKS,
    type=click.Choice(["characters", "tokens"]),
    help="What sizes count; default: characters. Tokens are the model's.",
)
@option(
    "--max-depth",
    group=WEB,
    metavar="N",
    type=int,
    default=5,
    show_default=True,
    help="Steps from the first page, which is 1.",
)
@option(
    "--max-pages",
    group=WEB,
    metavar="N",
    type=int,
    default=1000,
    show_default=True,
    help="Pages asked of each website.",
)
@option(
    "--max-bytes", group=WEB, metavar="N", type=int, default=10_000_000, show_default=True, help="Bytes of one page."
)
@option("--timeout", group=WEB, metavar="S", type=float, default=20.0, show_default=True, help="Seconds for one page.")
@option(
    "--rate",
    group=WEB,
    metavar="N",
    type=float,
    default=2.0,
    show_default=True,
    help="Pages a second at most; 0: without a pause.",
)
@option(
    "--exclude",
    group=WEB,
    metavar="PATTERN",
    multiple=True,
    help="Leave out addresses, and files in folders, that hold it; * is anything.",
)
@option("--ignore-robots", group=WEB, is_flag=True, help="Do what robots.txt forbids.")
@option("--allow-private", group=WEB, is_flag=True, help="Also addresses of this machine and the local network.")
@option("--strict", group=OUTPUT, is_flag=True, help="A page or file that failed is an error (9), in the end.")
@json_option
@quiet_option
@debug_option
@database_options
@engine_options
def ingest(
    more: Sequence[Path],
    urls: Sequence[str],
    files: Sequence[Path],
    strict: bool,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Read websites and files into a collection: only what is new is embedded, so it can be repeated.

    SOURCE is a Chroma directory, made when it is not there, or a server's address. This is the one command that writes
    to it, and only to collections that it made, unless told otherwise.

    \b
    chroma-projector ingest chroma_db --url https://docs.example.com/manual/
    chroma-projector ingest chroma_db --files docs/ --files faq.pdf -c manual
    """
    if more and not files:
        raise UsageError(f"what is {str(more[0])!r}? Name files by --files, and websites by --url")
    from exporter.workflows.ingest import write_ingest
    from exporter.workflows.ingest_request import IngestRequest

    request = IngestRequest(urls=tuple(urls), files=(*files, *more), **asked)
    with console.progress_bars(show=not quiet and not as_json, together=True) as progress:
        done = write_ingest(request, progress, console.note)
    if as_json:
        console.print_json(done.to_json())
    elif not quiet:
        console.print_ingested(done)
        where = shlex.join([str(request.source), "-c", request.collection])
        console.note(f"next: chroma-projector export {where} -q '...'")
    if strict and done.failed:
        raise NetworkError(f"{len(done.failed):,} pages or files failed, and --strict is set; the rest is stored")
