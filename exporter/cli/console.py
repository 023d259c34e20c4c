"""Records to tables, JSON and progress bars: the only module that draws."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.cli.report import Section
    from exporter.records import Collection, Progress
    from exporter.workflows.ingest_tally import Ingested
    from exporter.workflows.run import Answered, Hit, Run


FAILURES_SHOWN = 20
NARROW = 60
"""Columns of a terminal under which a table would leave no room for a text."""
COUNTED = ("pages", "chunks")
"""What an ingest goes on counting while it does something else."""


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def note(message: str) -> None:
    """A line on stderr."""
    click.echo(message, err=True)


def next_step(logdir: Path) -> None:
    """What to type next, on stderr; in make's words for who came by make."""
    if "MAKELEVEL" in os.environ:
        command = "make tensorboard" + ("" if str(logdir) == "logs" else f" LOGDIR={shlex.quote(str(logdir))}")
    else:
        command = "chroma-projector tensorboard" + ("" if str(logdir) == "logs" else f" {shlex.quote(str(logdir))}")
    note(f"next: {command}")


@contextmanager
def progress_bars(show: bool, *, together: bool = False) -> Iterator[Progress]:
    """A `Progress` that draws on stderr while the block runs: on a terminal only, and gone at the end.

    One bar at a time; or, where several things go on `together`, one for each, with its rate.
    """
    console = _console(stderr=True)
    if not show or not console.is_terminal:
        yield lambda stage, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *[TextColumn("{task.fields[rate]}")] * together,
    )
    with Bars(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show_progress(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                for name, task in tasks.items():
                    bars.update(task, visible=together and name in COUNTED)
                tasks[stage] = bars.add_task(stage, total=total, rate="")
            seconds = bars.tasks[tasks[stage]].elapsed or 0.0
            rate = f"{done / seconds:,.1f}/s" if done and seconds else ""
            bars.update(tasks[stage], completed=done, total=total, rate=rate)

        yield show_progress


def print_run(run: Run) -> None:
    """What came back for each question, where the answer is, and how much is shown."""
    if run.evaluation is not None:
        print_evaluation(run.evaluation)
    else:
        for question in run.questions:
            _print_answered(question)
    if run.facts["layouts"]:
        click.echo(_trust(run))
    if all("page_neighbours" in question for question in run.facts["questions"]):  # not in runs of older versions
        click.echo(_listed(run))
    from exporter.runs.verify import ROWS_SHOWN

    shown, left_out = run.facts["points"] - len(run.questions), run.facts["left_out"]
    if left_out:
        rows = run.facts["source"]["rows_after_filter"]
        answers = run.facts["left_out_with_answer"]
        held = f" ({answers:,} of those left out hold the answer)" if answers else ""
        click.echo(
            f"{shown:,} of {rows:,} shown{held}; --max-points {min(rows + len(run.questions), ROWS_SHOWN)} for more"
        )


def print_ingested(done: Ingested) -> None:
    """What was read and stored, in a line on stdout; what failed, by name, on stderr."""
    told = f"{done.chunks:,} chunks of {done.pages:,} pages: {done.added:,} added, {done.unchanged:,} unchanged"
    click.echo(f"{done.collection}: {told}" + (f", {done.removed:,} removed" if done.removed else ""))
    for failed in done.failed[:FAILURES_SHOWN]:
        note(f"failed: {_line(failed.source)}: {_line(failed.why)}")
    if len(done.failed) > FAILURES_SHOWN:
        note(f"... and {len(done.failed) - FAILURES_SHOWN:,} more failed: --json names all")
    if done.left_out:
        note("left out: " + ", ".join(f"{count:,} {_line(why)}" for why, count in done.left_out.items()))
    for warning in done.warnings:
        note(f"Warning: {warning}")


def _line(text: str) -> str:
    """Foreign text in one line, without what could steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def print_collections(found: Sequence[Collection]) -> None:
    """A table of collections on stdout."""
    from rich.table import Table

    table = Table("name", box=None, pad_edge=False)
    for heading in ("rows", "dimension"):
        table.add_column(heading, justify="right")
    for heading in ("space", "model", "database"):
        table.add_column(heading)
    for one in found:
        dimension = "-" if one.dimension is None else str(one.dimension)
        table.add_row(
            _text(one.name), f"{one.rows:,}", dimension, one.space, _text(model_name(one) or "-"), one.database
        )
    _console().print(table)


def print_report(
    found: Mapping[str, Any],
    print_tables: Callable[..., None],
    warnings: Sequence[str],
    *,
    as_json: bool,
    markdown: bool,
    quiet: bool,
) -> None:
    """What `evaluate` and `compare` found, in the form that was asked for; `print_tables` is one of the two below.

    `quiet` leaves a form that was named, and takes away all else. On stderr: warnings, and where a run was written.
    """
    if as_json:
        print_json(found)
    elif markdown or not quiet:
        print_tables(found, markdown=markdown)
    if quiet:
        return
    for warning in () if as_json else warnings:  # JSON holds them
        note(f"Warning: {warning}")
    if "run" in found:
        note(f"run: {found['run']}")


def print_evaluation(found: Mapping[str, Any], *, markdown: bool = False) -> None:
    """Metrics, verdicts, the hardest questions and findings, on stdout."""
    from exporter.cli import report

    points = [report.told(finding) for finding in found["findings"]]
    _print_tables(report.title(found), report.sections(found), points, markdown)


def print_comparison(found: Mapping[str, Any], *, markdown: bool = False) -> None:
    """Differences, questions won and lost, verdicts and ranks that changed, on stdout."""
    from exporter.cli import versus

    _print_tables(versus.title(found), versus.sections(found), (), markdown)


def _print_tables(title: str, sections: Iterable[Section], points: Sequence[str], markdown: bool) -> None:
    from rich.table import Table

    from exporter.cli.report import to_markdown

    if markdown:
        click.echo(to_markdown(title, sections, points), nl=False)
        return
    console = _console()
    console.print(_text(title), style="bold", highlight=False)
    for heading, rows in sections:
        table = Table(box=None, pad_edge=False)
        for name, cells in zip(heading, zip(*rows, strict=True), strict=True):
            numbers = all(cell.replace(",", "").isdecimal() for cell in cells)
            table.add_column(name, overflow="fold", justify="right" if numbers else "left")
        for row in rows:
            table.add_row(*map(_text, row))
        console.print()
        console.print(table)
    for point in points:
        console.print(_text(f"- {point}"), highlight=False, soft_wrap=True)


def model_name(collection: Collection) -> str | None:
    """The recorded model in a few words."""
    if collection.model is None:
        return None
    from exporter.records import INGESTED

    inner = collection.model.config.get("model_name") or collection.model.config.get("model")
    if collection.model.name == INGESTED:
        return str(inner)
    return f"{collection.model.name} {inner}" if inner else collection.model.name


def _print_answered(question: Answered) -> None:
    console = _console()
    console.print(_text(f"★ {question.text}"), style="bold", highlight=False)
    hits = question.hits if question.returned is None else question.returned
    if console.width < NARROW:
        for hit in hits:
            page = "" if hit.page is None else f" p. {hit.page}"
            place = f"#{hit.rank} {hit.distance:.4f}{' ✓' if hit.contains_answer else ''} {_short(hit.source)}{page}"
            for line in (place, f"   {' '.join(hit.text.split())}"):
                console.print(line, style="", markup=False, highlight=False, no_wrap=True, overflow="ellipsis")
    else:
        console.print(_table(hits))
    console.print(_text(question.verdict), highlight=False, soft_wrap=True)
    if question.lost is not None:
        console.print(_text(question.lost), highlight=False, soft_wrap=True)


def _table(hits: Sequence[Hit]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, expand=True)
    for heading in ("rank", "distance"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True, max_width=24)
    table.add_column("page", justify="right", no_wrap=True, max_width=8)
    table.add_column("answer", justify="center", no_wrap=True)
    table.add_column("text", no_wrap=True, ratio=1)
    for hit in hits:
        page = "-" if hit.page is None else str(hit.page)
        tick = "✓" if hit.contains_answer else ""
        table.add_row(
            str(hit.rank), f"{hit.distance:.4f}", _text(_short(hit.source)), _text(page), tick, _text(hit.text)
        )
    return table


def _short(source: str | None) -> str:
    return " ".join((source or "-").rstrip("/").rsplit("/", 1)[-1].split())


def _trust(run: Run) -> str:
    """How much of the truth each layout keeps, in one line."""
    from exporter.layouts.trust import told

    k = min(run.facts["top_k"], run.facts["source"]["rows_after_filter"])
    layouts = {layout["name"]: layout for layout in run.facts["layouts"]}
    kept = {name: told(layout["kept_top_k"]) for name, layout in layouts.items()}
    trust = layouts["map"]["trustworthiness"]
    figure = "" if trust is None else f" (trustworthiness {trust:.2f}, 1 is perfect)"
    made_by = "map of principal axes" if layouts["map"]["made_by"] == "pca" else "map"
    line = f"the {made_by} keeps {kept['map']} of the top {k} near the question{figure}, flat {kept['flat map']}"
    if "around_question" in layouts:
        focus = run.facts["focus"]
        about = f" (q{focus + 1})" if len(run.questions) > 1 else ""
        board = layouts["around_question"]["kept_top_k"][focus]
        line += f"; the dartboard{about} keeps {'all' if board == k else board}"
    return line


def _listed(run: Run) -> str:
    """How far the page's own list of nearest points can be trusted, as stock TensorBoard opens it, and the cure."""
    from exporter.layouts.trust import SPHERIZED_FROM, told

    k = min(run.facts["top_k"], run.facts["source"]["rows_after_filter"])
    shares = [question["page_neighbours"] for question in run.facts["questions"]]
    stock, ours = (told([round(share[name] * k) for share in shares]) for name in ("stock", "ours"))
    where = "on vectors, stock TensorBoard's list of nearest points"
    if all(share["stock"] == 1 for share in shares):
        return f"{where} begins with the top {k}"
    steps = ["untick Spherize data"] if run.facts["source"]["dimension"] >= SPHERIZED_FROM else []
    steps += ["choose EUCLIDEAN"] if run.metric == "l2" else ["trust the column rank"] if run.metric == "ip" else []
    cure = f" ({', '.join(steps)})" if steps else ""
    return f"{where} begins with {stock} of the top {k}{cure}; chroma-projector tensorboard's with {ours}"


def _text(value: str) -> Any:
    """Foreign text as text: rich would read [brackets] as markup."""
    from rich.text import Text

    return Text(" ".join(value.split()))


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=120, color_system=None)
