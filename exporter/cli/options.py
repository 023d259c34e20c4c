"""Options that several commands share, each declared once, and help that is grouped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from exporter.errors import QueryError, UsageError

if TYPE_CHECKING:
    from exporter.sources import Access

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """An option that knows under which heading of the help it stands."""

    def __init__(self, *arguments: Any, group: str = "Options", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.group = group


class Command(click.Command):
    """A command whose help groups its options."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """One section a group, in the order of the options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(context):
            record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(parameter, "group", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=34)


def option(*names: str, group: str, **settings: Any) -> Callable[[F], F]:
    """`click.option` under a heading."""
    return click.option(*names, cls=Option, group=group, **settings)


source_argument = click.argument("source", metavar="SOURCE")


SERVED = "A Chroma server"
HEADERS = "CHROMA_HEADERS"
"""The environment's variable for headers, one a line."""


def access_options(command: F) -> F:
    """What a server wants to know; the command gets it as `access`, an `Access`."""
    seconds = option(
        "--timeout", group=SERVED, type=float, default=60.0, show_default=True, help="Seconds for an answer."
    )
    return _database_options(seconds(_with_access(command, "timeout")))


def database_options(command: F) -> F:
    """The same without a time-out."""
    return _database_options(_with_access(command))


def _with_access(command: F, *more: str) -> F:
    @wraps(command)
    def bundled(**given: Any) -> Any:
        wanted = {name: given.pop(name) for name in ("token", "headers", "tenant", "database", "retries", "ca_file")}
        return command(access=access(**wanted, **{name: given.pop(name) for name in more}), **given)

    return cast(F, bundled)


def _database_options(command: F) -> F:
    group = SERVED
    for decorate in (
        option(
            "--retries", group=group, metavar="N", type=int, default=4, show_default=True, help="Ask again so often."
        ),
        option(
            "--ca-file",
            group=group,
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Its certificate's authority, PEM.",
        ),
        option("--database", group=group, metavar="NAME", envvar="CHROMA_DATABASE", help="Of a directory, too."),
        option("--tenant", group=group, metavar="NAME", envvar="CHROMA_TENANT", help="Default: default_tenant."),
        option(
            "--header",
            "headers",
            group=group,
            metavar="NAME:VALUE|@FILE",
            multiple=True,
            help=f"Sent as it is. Or set {HEADERS}.",
        ),
        option(
            "--token", group=group, metavar="TEXT|@FILE", envvar="CHROMA_API_KEY", help="Better: set CHROMA_API_KEY."
        ),
    ):
        command = decorate(command)
    return command


def access(token: str | None, headers: Sequence[str], **rest: Any) -> Access:
    """The record of these options. Raises UsageError for a header without a colon, and for a file that can't be read.

    Headers of the environment come first, so that those of the command line replace them.
    """
    from exporter.sources import Access

    if rest["retries"] < 0 or rest.get("timeout", 1) <= 0:
        raise UsageError("--retries must be at least 0, --timeout above 0")
    lines = os.environ.get(HEADERS, "").splitlines()
    for header in headers:
        lines += _of_file("--header", header).splitlines() if header.startswith("@") else [header]
    named = {}
    for line in filter(str.strip, lines):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise UsageError(f'--header and {HEADERS} take a name and a value, as in --header "X-Team: search"')
        named[name.strip()] = value.strip()
    if token is not None and token.startswith("@"):
        token = _of_file("--token", token).strip()
    return Access(token or None, named, **rest)


def _of_file(name: str, value: str) -> str:
    try:
        return Path(value[1:]).expanduser().read_text("utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"{name} @FILE: the file can't be read: {why}") from None


collection_option = option("--collection", "-c", group="What", metavar="NAME", help="Needed when SOURCE holds several.")
model_option = option(
    "--model",
    "-m",
    group="What",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="auto, a sentence-transformers name or path, openai:NAME, or module:object.",
)
base_url_option = option(
    "--base-url", group="What", metavar="URL", help="Of an endpoint that speaks OpenAI's API, for openai:NAME."
)
no_cache_option = option(
    "--no-cache", group="What", is_flag=True, help="Embed texts again that the same model has embedded before."
)
answer_match_option = option(
    "--answer-match",
    group="Question",
    type=click.Choice(["normalized", "literal", "regex", "fuzzy"]),
    default="normalized",
    show_default=True,
    help="normalized: case, width and white space don't count; fuzzy: nearly these words.",
)
top_k_option = option(
    "--top-k",
    "-k",
    group="Question",
    metavar="K",
    type=int,
    default=10,
    show_default=True,
    help="How many chunks your application retrieves.",
)
metric_option = option(
    "--metric",
    group="Question",
    type=click.Choice(["auto", "l2", "cosine", "ip"]),
    default="auto",
    show_default=True,
    help="auto: the collection's own.",
)
where_option = option("--where", group="Which chunks", metavar="JSON", help="Chroma's filter on metadata.")
where_document_option = option(
    "--where-document", group="Which chunks", metavar="JSON", help="Chroma's filter on texts."
)


def questions_options(name: str, *, required: bool) -> Callable[[F], F]:
    """A question set, which the command gets under this name."""
    group, path = "Question", click.Path(path_type=Path)

    def decorate(command: F) -> F:
        for one in (
            option("--qrels", group=group, metavar="FILE", type=path, help="What is relevant, as TREC or BEIR has it."),
            option(
                "--questions",
                name,
                group=group,
                metavar="FILE",
                type=path,
                required=required,
                help="A set: .jsonl, .csv, .tsv, SQuAD's .json.",
            ),
        ):
            command = one(command)
        return command

    return decorate


no_words_option = option(
    "--no-words", group="Question", is_flag=True, help="Don't rank by plain words (BM25) beside the vectors of a set."
)
no_index_option = option(
    "--no-index", group="Question", is_flag=True, help="Don't ask what Chroma's own approximate index loses of a set."
)
overwrite_option = option("--overwrite", group="Output", is_flag=True, help="Replace a run of that name.")


def answer_options(command: F) -> F:
    """How an answer is looked for in a chunk."""
    group = "Question"
    for decorate in (
        option(
            "--fuzzy-threshold",
            group=group,
            metavar="N",
            type=float,
            default=90.0,
            show_default=True,
            help="For fuzzy: how alike, of 100.",
        ),
        option("--ignore-accents", group=group, is_flag=True, help="é is e; accents count else."),
        answer_match_option,
    ):
        command = decorate(command)
    return command


def redaction_options(command: F) -> F:
    """What is taken out of a run that others get; the command gets it as `no_text`, `redact` and `anonymize_ids`."""
    group = "With care"
    for decorate in (
        option("--anonymize-ids", group=group, is_flag=True, help="Others in the ids' place; nobody can go back."),
        option("--redact", group=group, metavar="COLUMN", multiple=True, help="Without what this column holds."),
        option("--no-text", group=group, is_flag=True, help="Without the chunks' texts, and the answers' words."),
    ):
        command = decorate(command)
    return command


def engine_options(command: F) -> F:
    """Where the work is done; the command gets it as `engine`, `ray_address` and `workers`."""
    group = "Where it is done (experimental)"
    for decorate in (
        option("--workers", group=group, metavar="N", type=int, help="On Ray; default: one for each processor."),
        option(
            "--ray-address", group=group, metavar="ADDRESS", help="Or set RAY_ADDRESS; else one starts on this machine."
        ),
        option(
            "--engine",
            group=group,
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="ray: on all workers of a Ray cluster.",
        ),
    ):
        command = decorate(command)
    return command


columns_option = option(
    "--columns",
    group="Picture",
    metavar="all|none|A,B",
    default="all",
    show_default=True,
    help="The chunks' own metadata to show.",
)


def parse_columns(text: str) -> tuple[str, ...] | None:
    """What `--columns` names; None for all."""
    return None if text == "all" else () if text == "none" else tuple(filter(None, map(str.strip, text.split(","))))


json_option = option("--json", "as_json", group="Output", is_flag=True, help="Print one JSON value on stdout.")
debug_option = option("--debug", group="Output", is_flag=True, help="Show the traceback of an error.")
quiet_option = option("--quiet", group="Output", is_flag=True, help="Print errors only.")

logdir_option = option(
    "--logdir",
    group="Output",
    type=click.Path(path_type=Path),
    default=Path("logs"),
    show_default=True,
    help="TensorBoard's log directory.",
)
port_option = option(
    "--port",
    group="Server",
    type=click.IntRange(0, 65535),
    default=6006,
    show_default=True,
    help="0: any that is free; taken: the next free one.",
)
open_option = option("--open", "open_browser", group="Server", is_flag=True, help="Open a browser, too.")


def parse_filter(name: str, text: str | None) -> dict[str, Any] | None:
    """The JSON object of `--where` or `--where-document`. Raises QueryError when it is none."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QueryError(f'{name} is not JSON ({error}): write it like \'{{"source": "faq.md"}}\'') from None
    if not isinstance(found, dict):
        raise QueryError(f'{name} must be a JSON object like \'{{"source": "faq.md"}}\', not {text[:60]}')
    return found
