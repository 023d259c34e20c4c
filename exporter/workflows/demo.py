"""A collection to try the tool on: the Python language reference, and two questions, one answered, one missed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporter.embedding.encoders import MINILM, load_sentence_transformer
from exporter.errors import ExporterError, OutputError
from exporter.ingestion.split import split_texts
from exporter.ingestion.store import store
from exporter.records import Progress, no_progress
from exporter.runs.verify import faults
from exporter.scratch import scratch
from exporter.sources import open_source
from exporter.workflows.export import write_export
from exporter.workflows.request import ExportRequest
from exporter.workflows.run import Run, open_run

COLLECTION = "python-reference"
CHUNK_SIZE, CHUNK_OVERLAP = 500, 50


@dataclass(frozen=True)
class DemoQuestion:
    """A question on the language reference, words that only its answer has, and the name of its run."""

    run: str
    question: str
    answer: str


QUESTIONS = (
    DemoQuestion("demo-found", "What happens when I divide an integer by zero?", "ZeroDivisionError"),
    DemoQuestion(
        "demo-missed", "How do I step into a function in the debugger?", "stop at the first possible occasion"
    ),
)
"""The missed one last: the newest run is the one that opens."""


def demo(
    directory: str | Path = "demo",
    *,
    logdir: str | Path = "logs",
    question: str | None = None,
    answer: str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> list[Run]:
    """Build the demo collection in `directory`, unless it is there, and its runs, unless they are there and whole.

    With a question of your own, that one is exported instead. Raises OutputError when the directory holds something
    else, or a run's name is taken by what is no run.
    """
    directory = build(Path(directory), progress)
    to_export = partial(ExportRequest, source=directory, logdir=Path(logdir), overwrite=True)
    if question is not None:
        return [write_export(to_export(questions=(question,), answers=() if answer is None else (answer,)), progress)]
    runs: list[Run] = []
    for asked in QUESTIONS:
        there = None if overwrite else _whole(Path(logdir) / asked.run)
        overwrite = there is None  # then the later ones too: the last must be the newest
        request = to_export(questions=(asked.question,), answers=(asked.answer,), run=asked.run)
        runs.append(there or write_export(request, progress))
    return runs


def build(directory: Path, progress: Progress = no_progress) -> Path:
    """The directory, with the demo collection in it: as it is when it is whole, else built; never half of it."""
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{directory} is a file: name a folder, as in `chroma-projector demo DIR`")
    if directory.exists() and any(directory.iterdir()):
        if COLLECTION not in (collection.name for collection in open_source(directory).collections()):
            raise OutputError(
                f"{directory} holds something else: name another folder, as in `chroma-projector demo DIR`"
            )
        return directory
    from pydoc_data.topics import topics

    chunks = split_texts(topics, chunk_size=CHUNK_SIZE, chunk_overlap=CHUNK_OVERLAP)
    progress("loading the model", 0, None)
    model = load_sentence_transformer(MINILM)
    directory = directory.absolute()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with scratch(directory.parent, f".{directory.name}.building-") as folder:
            store(folder / "chroma", COLLECTION, chunks, model, progress)
            (folder / "chroma").rename(directory)
    except OSError as error:
        raise OutputError(f"{directory} can't be written: {error.strerror or error}") from error
    return directory


def _whole(path: Path) -> Run | None:
    """A run that is there and without fault."""
    try:
        return None if faults(path) else open_run(path)
    except ExporterError:
        return None
