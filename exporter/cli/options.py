"""Options that several commands share, each declared once, and help that is grouped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from exporter.bounded import read_bounded
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


def no_option(flag: str, name: str, *, group: str, help: str) -> Callable[[F], F]:
    """A flag that takes something away; the command gets under `name` whether it stays."""
    return option(flag, name, group=group, is_flag=True, callback=lambda context, which, gone: not gone, help=help)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order in which the help lists them."""

    def decorate(command: F) -> F:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


source_argument = click.argument("source", metavar="SOURCE")
run_argument = click.argument("run", type=click.Path(path_type=Path), metavar="RUN")


SERVED = "A Chroma server"
LONGEST = 86_400
"""Seconds that one may wait for an answer."""
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


_database_options = together(
    option("--token", group=SERVED, metavar="TEXT|@FILE", envvar="CHROMA_API_KEY", help="Better: set CHROMA_API_KEY."),
    option(
        "--header",
        "headers",
        group=SERVED,
        metavar="NAME:VALUE|@FILE",
        multiple=True,
        help=f"Sent as it is. Or set {HEADERS}.",
    ),
    option("--tenant", group=SERVED, metavar="NAME", envvar="CHROMA_TENANT", help="Default: default_tenant."),
    option("--database", group=SERVED, metavar="NAME", envvar="CHROMA_DATABASE", help="Of a directory, too."),
    option(
        "--ca-file",
        group=SERVED,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Its certificate's authority, PEM.",
    ),
    option("--retries", group=SERVED, metavar="N", type=int, default=4, show_default=True, help="Ask again so often."),
)


def access(token: str | None, headers: Sequence[str], **rest: Any) -> Access:
    """The record of these options. Raises UsageError for a header without a colon, and for a file that can't be read.

    Headers of the environment come first, so that those of the command line replace them.
    """
    from exporter.sources import Access

    if rest["retries"] < 0 or not 0 < rest.get("timeout", 1) <= LONGEST:
        raise UsageError(f"--retries must be at least 0, --timeout above 0 and at most {LONGEST:,} seconds")
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
        return read_bounded(Path(value[1:]).expanduser()).decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"{name} @FILE: the file can't be read: {why}") from None


collection_option = option("--collection", "-c", group="What", metavar="NAME", help="Needed when SOURCE holds several.")


def model_options(group: str) -> Callable[[F], F]:
    """What embeds."""
    return together(
        option(
            "--model",
            "-m",
            group=group,
            metavar="NAME",
            default="auto",
            show_default=True,
            help="auto, a sentence-transformers name or path, openai:NAME, or module:object.",
        ),
        option(
            "--base-url", group=group, metavar="URL", help="Of an endpoint that speaks OpenAI's API, for openai:NAME."
        ),
    )


cache_option = no_option(
    "--no-cache", "cache", group="What", help="Embed texts again that the same model has embedded before."
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


def questions_options(name: str, *, required: bool) -> Callable[[F], F]:
    """A question set, which the command gets under this name."""
    group, path = "Question", click.Path(path_type=Path)
    return together(
        option(
            "--questions",
            name,
            group=group,
            metavar="FILE",
            type=path,
            required=required,
            help="A set: .jsonl, .csv, .tsv, SQuAD's .json.",
        ),
        option("--qrels", group=group, metavar="FILE", type=path, help="What is relevant, as TREC or BEIR has it."),
    )


words_option = no_option(
    "--no-words", "words", group="Question", help="Don't rank by plain words (BM25) beside the vectors of a set."
)
index_option = no_option(
    "--no-index", "index", group="Question", help="Don't ask what Chroma's own approximate index loses of a set."
)
overwrite_option = option("--overwrite", group="Output", is_flag=True, help="Replace a run of that name.")

answer_options = together(
    option(
        "--answer-match",
        group="Question",
        type=click.Choice(["normalized", "literal", "regex", "fuzzy"]),
        default="normalized",
        show_default=True,
        help="normalized: case, width and white space don't count; fuzzy: nearly these words.",
    ),
    option("--ignore-accents", group="Question", is_flag=True, help="é is e; accents count else."),
    option(
        "--fuzzy-threshold",
        group="Question",
        metavar="N",
        type=float,
        default=90.0,
        show_default=True,
        help="For fuzzy: how alike, of 100.",
    ),
)
"""How an answer is looked for in a chunk."""

redaction_options = together(
    no_option("--no-text", "text", group="With care", help="Without the chunks' texts, and the answers' words."),
    option("--redact", group="With care", metavar="COLUMN", multiple=True, help="Without what this column holds."),
    option("--anonymize-ids", group="With care", is_flag=True, help="Others in the ids' place; nobody can go back."),
)
"""What is taken out of a run that others get."""

ENGINE = "Where it is done (experimental)"
engine_options = together(
    option(
        "--engine",
        group=ENGINE,
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="ray: on all workers of a Ray cluster.",
    ),
    option(
        "--ray-address", group=ENGINE, metavar="ADDRESS", help="Or set RAY_ADDRESS; else one starts on this machine."
    ),
    option("--workers", group=ENGINE, metavar="N", type=int, help="On Ray; default: one for each processor."),
)


def parse_columns(text: str) -> tuple[str, ...] | None:
    """What `--columns` names; None for all."""
    return None if text == "all" else () if text == "none" else tuple(filter(None, map(str.strip, text.split(","))))


columns_option = option(
    "--columns",
    group="Picture",
    metavar="all|none|A,B",
    default="all",
    show_default=True,
    callback=lambda context, which, text: parse_columns(text),
    help="The chunks' own metadata to show.",
)

json_option = option("--json", "as_json", group="Output", is_flag=True, help="Print one JSON value on stdout.")
debug_option = option(
    "--debug", group="Output", is_flag=True, expose_value=False, help="Show the traceback of an error."
)
"""`cli.app` looks for it among the arguments, as the error may come before a command does."""
quiet_option = option("--quiet", group="Output", is_flag=True, help="Print errors only.")
markdown_option = option("--markdown", group="Output", is_flag=True, help="For the summary of a CI job.")


def check_forms(as_json: bool, markdown: bool) -> None:
    """Raise Click's UsageError for `--json` together with `--markdown`."""
    if as_json and markdown:
        raise click.UsageError("--json and --markdown are two forms of one report: ask for one")


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


def _filter(context: click.Context, which: click.Parameter, text: str | None) -> dict[str, Any] | None:
    return parse_filter(which.opts[0], text)


where_options = together(
    option("--where", group="Which chunks", metavar="JSON", callback=_filter, help="Chroma's filter on metadata."),
    option(
        "--where-document", group="Which chunks", metavar="JSON", callback=_filter, help="Chroma's filter on texts."
    ),
)
