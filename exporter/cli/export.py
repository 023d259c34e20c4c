"""`chroma-projector export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from exporter.cli import console
from exporter.cli.options import (
    Command,
    access,
    access_options,
    debug_option,
    json_option,
    logdir_option,
    open_option,
    option,
    parse_filter,
    port_option,
    quiet_option,
    source_argument,
)

WHAT, QUESTION, CHUNKS, PICTURE, OUTPUT, SERVER = "What", "Question", "Which chunks", "Picture", "Output", "Server"


@click.command(cls=Command)
@source_argument
@option("--collection", "-c", group=WHAT, metavar="NAME", help="Needed when SOURCE holds several.")
@option(
    "--model",
    "-m",
    group=WHAT,
    metavar="NAME",
    default="auto",
    show_default=True,
    help="auto, a sentence-transformers name or path, openai:NAME, or module:object.",
)
@option("--base-url", group=WHAT, metavar="URL", help="Of an endpoint that speaks OpenAI's API, for openai:NAME.")
@option("--strict-model", group=WHAT, is_flag=True, help="A model that did not make the collection is an error.")
@option("--question", "-q", "questions", group=QUESTION, metavar="TEXT", multiple=True, help="May be repeated.")
@option(
    "--answer",
    "-a",
    "answers",
    group=QUESTION,
    metavar="TEXT",
    multiple=True,
    help="Marks the chunks that hold it; several for one question: any of them.",
)
@option(
    "--answer-match",
    group=QUESTION,
    type=click.Choice(["normalized", "literal", "regex"]),
    default="normalized",
    show_default=True,
    help="normalized: case, width and white space don't count.",
)
@option(
    "--question-vector",
    group=QUESTION,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The question's vector, .npy or JSON: no model is loaded.",
)
@option(
    "--top-k",
    "-k",
    group=QUESTION,
    metavar="K",
    type=int,
    default=10,
    show_default=True,
    help="How many chunks your application retrieves.",
)
@option(
    "--metric",
    group=QUESTION,
    type=click.Choice(["auto", "l2", "cosine", "ip"]),
    default="auto",
    show_default=True,
    help="auto: the collection's own.",
)
@option(
    "--retrieved",
    group=QUESTION,
    metavar="FILE|-",
    type=click.File("r", encoding="utf-8-sig", errors="replace"),
    help="The ids that your application really returned, in its order: one a line, or JSON.",
)
@option("--where", group=CHUNKS, metavar="JSON", help="Chroma's filter on metadata.")
@option("--where-document", group=CHUNKS, metavar="JSON", help="Chroma's filter on texts.")
@option(
    "--max-points",
    group=CHUNKS,
    metavar="N",
    type=int,
    default=20_000,
    show_default=True,
    help="Show at most so many; ranks are always those of all.",
)
@option("--seed", group=CHUNKS, type=int, default=0, show_default=True, help="Of the sample beyond --max-points.")
@option(
    "--projection",
    group=PICTURE,
    type=click.Choice(["auto", "none", "pca", "umap"]),
    default="auto",
    show_default=True,
    help="The map; auto: umap. none: the vectors only.",
)
@option(
    "--open-on",
    group=PICTURE,
    type=click.Choice(["question", "map", "vectors"]),
    default="question",
    show_default=True,
    help="What the Projector shows first.",
)
@option("--no-sprites", group=PICTURE, is_flag=True, help="Plain dots, no glyphs.")
@option("--no-lines", group=PICTURE, is_flag=True, help="Don't join the question with its hits.")
@option(
    "--columns",
    group=PICTURE,
    metavar="all|none|A,B",
    default="all",
    show_default=True,
    help="The chunks' own metadata to show.",
)
@option(
    "--text-length",
    group=PICTURE,
    metavar="N",
    type=int,
    default=300,
    show_default=True,
    help="Characters of each chunk's text.",
)
@logdir_option
@option("--run", "-n", group=OUTPUT, metavar="NAME", help="Default: made from collection and question.")
@option("--overwrite", group=OUTPUT, is_flag=True, help="Replace a run of that name.")
@option(
    "--tensor-format",
    group=OUTPUT,
    type=click.Choice(["bytes", "tsv", "checkpoint"]),
    default="bytes",
    show_default=True,
    help="How TensorBoard gets the vectors.",
)
@option("--no-tsv", group=OUTPUT, is_flag=True, help="No vectors.tsv for other tools.")
@json_option
@quiet_option
@debug_option
@access_options
@option("--launch", group=SERVER, is_flag=True, help="Serve the log directory afterwards.")
@port_option
@open_option
def export(
    as_json: bool,
    quiet: bool,
    debug: bool,
    launch: bool,
    port: int,
    open_browser: bool,
    no_tsv: bool,
    no_sprites: bool,
    no_lines: bool,
    columns: str,
    retrieved: TextIO | None,
    where: str | None,
    where_document: str | None,
    token: str | None,
    headers: Sequence[str],
    tenant: str | None,
    database: str | None,
    timeout: float,
    **asked: Any,
) -> None:
    """Export a collection and a question as a run of TensorBoard's Projector.

    SOURCE is a Chroma directory or a server's address. It is read, never written to.

    \b
    chroma-projector export chroma_db -q "How do I reset my password?" -a "Security settings"
    chroma-projector export http://localhost:8000 -c manual -q "What is covered?" -k 5
    """
    asked["where"] = parse_filter("--where", where)
    asked["where_document"] = parse_filter("--where-document", where_document)
    asked["access"] = access(token, headers, tenant=tenant, database=database, timeout=timeout)
    from exporter.workflows.export import write_export
    from exporter.workflows.request import ExportRequest, read_retrieved

    shown = None if columns == "all" else () if columns == "none" else tuple(columns.split(","))
    asked["retrieved"] = () if retrieved is None else read_retrieved(retrieved.read())
    request = ExportRequest(**asked, columns=shown, tsv=not no_tsv, sprites=not no_sprites, lines=not no_lines)
    with console.progress_bars(show=not quiet and not as_json) as progress:
        run = write_export(request, progress, console.note)
    if as_json:
        console.print_json(run.to_json())
    elif not quiet:
        console.print_run(run)
        for warning in run.warnings:
            console.note(f"Warning: {warning}")
        console.note(f"run: {run.path}")
    if launch or open_browser:
        from exporter.cli.tensorboard import serve_until_interrupted

        serve_until_interrupted(request.logdir, port=port, open_browser=open_browser, quiet_stdout=as_json)
    elif not as_json and not quiet:
        console.next_step(request.logdir)
