"""`chroma-projector export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

import click

from exporter.cli import console
from exporter.cli.options import (
    Command,
    access_options,
    answer_options,
    cache_option,
    collection_option,
    columns_option,
    debug_option,
    engine_options,
    index_option,
    json_option,
    logdir_option,
    metric_option,
    model_options,
    no_option,
    open_option,
    option,
    overwrite_option,
    port_option,
    questions_options,
    quiet_option,
    redaction_options,
    source_argument,
    top_k_option,
    where_options,
    words_option,
)

WHAT, QUESTION, CHUNKS, PICTURE, OUTPUT, SERVER = "What", "Question", "Which chunks", "Picture", "Output", "Server"


@click.command(cls=Command)
@source_argument
@collection_option
@model_options(WHAT)
@cache_option
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
@questions_options("question_set", required=False)
@option("--all-answers", group=QUESTION, is_flag=True, help="Several for one question: all of them, in one chunk.")
@answer_options
@option(
    "--question-vector",
    group=QUESTION,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The question's vector, .npy or JSON: no model is loaded.",
)
@top_k_option
@metric_option
@option(
    "--retrieved",
    group=QUESTION,
    metavar="FILE|-",
    type=click.File("r", encoding="utf-8-sig", errors="replace"),
    help="The ids that your application really returned, in its order: one a line, JSON, or Chroma's own answer.",
)
@index_option
@words_option
@where_options
@option(
    "--max-points",
    group=CHUNKS,
    metavar="N",
    type=int,
    default=20_000,
    show_default=True,
    help="Show at most so many; ranks are those among all.",
)
@option(
    "--read",
    group=CHUNKS,
    type=click.Choice(["auto", "whole", "sample"]),
    default="auto",
    show_default=True,
    help="Of a server; auto: a sample, where it holds over 10 times --max-points.",
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
@no_option("--no-sprites", "sprites", group=PICTURE, help="Plain dots, no glyphs.")
@no_option("--no-lines", "lines", group=PICTURE, help="Don't join the question with its hits.")
@columns_option
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
@overwrite_option
@option(
    "--tensor-format",
    group=OUTPUT,
    type=click.Choice(["bytes", "tsv", "checkpoint"]),
    default="bytes",
    show_default=True,
    help="How TensorBoard gets the vectors.",
)
@option(
    "--dashboards",
    group=OUTPUT,
    is_flag=True,
    help="Fill the other tabs, as --questions does; stock TensorBoard then opens on them.",
)
@no_option("--no-tsv", "tsv", group=OUTPUT, help="No vectors.tsv for other tools.")
@option("--parquet", group=OUTPUT, is_flag=True, help="points.parquet too, for other viewers and data frames.")
@redaction_options
@json_option
@quiet_option
@debug_option
@access_options
@engine_options
@option("--launch", group=SERVER, is_flag=True, help="Serve the log directory afterwards.")
@port_option
@open_option
def export(
    as_json: bool,
    quiet: bool,
    launch: bool,
    port: int,
    open_browser: bool,
    retrieved: TextIO | None,
    **asked: Any,
) -> None:
    """Export a collection and a question as a run of TensorBoard's Projector.

    SOURCE is a Chroma directory or a server's address. It is read, never written to.

    \b
    chroma-projector export chroma_db -q "How do I reset my password?" -a "Security settings"
    chroma-projector export http://localhost:8000 -c manual -q "What is covered?" -k 5
    """
    from exporter.bounded import LARGEST
    from exporter.workflows.export import write_export
    from exporter.workflows.request import ExportRequest, read_retrieved

    request = ExportRequest(**asked, retrieved=() if retrieved is None else read_retrieved(retrieved.read(LARGEST + 1)))
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

        asking = {"source": request.source, "access": request.access, "base_url": request.base_url}
        if request.model != "auto":
            asking["model"] = request.model
        serve_until_interrupted(request.logdir, port=port, open_browser=open_browser, quiet_stdout=as_json, **asking)
    elif not as_json and not quiet:
        console.next_step(request.logdir)
