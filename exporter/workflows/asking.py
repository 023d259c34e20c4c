"""The questions of one server: which runs they made, which of these are kept, and what is kept warm between them.

Nothing heavy is imported before the first question, so a server is up as soon without it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import ExporterError, OutputError, UsageError
from exporter.records import Progress
from exporter.runs import folder, manifest, publish, tensors
from exporter.runs.projector import MARK
from exporter.scratch import scratch
from exporter.sources import NO_ACCESS, Access

if TYPE_CHECKING:
    from exporter.embedding.encoders import Encoder
    from exporter.embedding.models import Model
    from exporter.workflows.ask import Allowed, Ground
    from exporter.workflows.base import Base

_NOTED = "runs"
"""The file in which a server's temporary runs are noted, so that what a killed one leaves is known."""
_LONGEST_SLUG = 50


class Asking:
    """Asks, keeps and forgets, one thing at a time. `close` removes every run that was asked for and not kept.

    Takes what `ask.Allowed` takes. What a killed server left of this log directory is removed at once.
    """

    def __init__(
        self,
        logdir: Path,
        *,
        source: Any = None,
        access: Access = NO_ACCESS,
        model: str | Encoder | None = None,
        base_url: str | None = None,
    ) -> None:
        self._logdir = logdir.absolute()
        self._allowed: dict[str, Any] = {"source": source, "access": access, "model": model, "base_url": base_url}
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._why_not = ""
        self._temporary: list[str] = []
        self._base: tuple[object, Base] | None = None
        self._model: tuple[object, Model] | None = None
        if (self._logdir / manifest.MANIFEST).exists():
            self._why_not = "this log directory is itself a run: serve the folder above it, and questions can be asked"
            return
        try:
            place = publish.staging_parent(self._logdir)
            prefix = f".{self._logdir.name}.asked-"
            self._folder = self._stack.enter_context(scratch(place, prefix, partial(_forget, self._logdir)))
        except OSError as error:
            self._why_not = f"{self._logdir} can't be written ({error.strerror or error}), so no question can be asked"

    def answer(self, what: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """What the page asked for: `{"do": "ask", "run", "question", "answer"}` or `{"do": "keep", "run", "name"}`.

        Returns `{"run": name}`. Raises an ExporterError, whose text the page shows.
        """
        if what["do"] == "ask":
            return {"run": self._ask(what["run"], what["question"].strip(), what["answer"].strip(), progress)}
        return {"run": self._keep(what["run"], what["name"].strip(), progress)}

    def close(self) -> None:
        """Remove what was not kept."""
        self._stack.close()

    def _ask(self, run: str, question: str, answer: str, progress: Progress) -> str:
        if self._folder is None:
            raise OutputError(self._why_not)
        progress("getting ready", 0, None)
        from exporter.workflows import ask

        allowed = ask.Allowed(**self._allowed)
        origin = self._origin(run)
        base = self._read_base(origin)
        ground = ask.find_ground(base, allowed)
        model = self._load_model(base, ground, allowed, progress)
        name = self._free_name(question)
        self._note(name)
        tag = {"of": origin, "kept": False}
        ask.ask(base, ground, model, question, answer, logdir=self._logdir, name=name, tag=tag, progress=progress)
        return name

    def _origin(self, run: str) -> str:
        """The run that was exported: on the map of one that was asked for there are placed points already."""
        try:
            facts = manifest.read(self._path(run))
        except OutputError:
            raise OutputError(f"the run {run} is gone, or not one of ours: choose another one") from None
        origin = str(facts.get("asked", {}).get("of", run))
        try:
            manifest.read(self._path(origin))
        except OutputError:  # it was renamed or removed meanwhile
            return run
        return origin

    def _path(self, run: str) -> Path:
        # not resolved: a link in the log directory is its owner's
        if Path(run).is_absolute() or ".." in Path(run).parts or "\0" in run:
            raise UsageError("there is no such run")
        return self._logdir / run

    def _read_base(self, run: str) -> Base:
        from exporter.workflows.base import read_base

        path = self._path(run)
        with suppress(OSError):
            stamp = (run, (path / manifest.MANIFEST).stat().st_mtime_ns, (path / manifest.MANIFEST).stat().st_ino)
            if self._base is None or self._base[0] != stamp:
                self._base = None
                self._base = (stamp, read_base(path))
            return self._base[1]
        raise OutputError(f"the run {run} is gone: choose another one")

    def _load_model(self, base: Base, ground: Ground, allowed: Allowed, progress: Progress) -> Model:
        """Kept until another one is needed."""
        from exporter.workflows import ask

        facts = base.run.facts
        wanted = (
            facts.get("asked_with", {}).get("model"),
            facts["model"]["name"],
            ground.source is None,
            ground.collection.model,
            ground.collection.dimension,
        )
        if self._model is None or self._model[0] != wanted:
            progress("loading the model", 0, None)
            self._model = None
            self._model = (wanted, ask.load_model(base, ground, allowed))
        return self._model[1]

    def _free_name(self, question: str) -> str:
        from exporter.workflows.request import default_name

        slug = default_name("asked", (question,))[:_LONGEST_SLUG].rstrip("-.")
        return next(name for name in _numbered(slug) if not (self._logdir / name).exists())

    def _note(self, name: str) -> None:
        """Before the run is there: a run that nobody knows of would stay for ever."""
        assert self._folder is not None  # noqa: S101 - asked for by `_ask`
        self._temporary.append(name)
        (self._folder / _NOTED).write_text("\n".join(self._temporary), encoding="utf-8")

    def _keep(self, run: str, name: str, progress: Progress) -> str:
        """Give a temporary run a name, and the files that a run has: vectors.tsv and picture.png."""
        if run not in self._temporary:
            raise UsageError("this run was not asked for in this server, or is kept already")
        from exporter.sharing.picture import draw_stored, save
        from exporter.workflows.request import checked_name, default_name
        from exporter.workflows.run import open_run

        progress("keeping", 0, None)
        asked = open_run(self._logdir / run)
        try:
            chosen = checked_name(
                name or default_name(asked.collection, [question.text for question in asked.questions])
            )
        except UsageError:
            raise UsageError(
                "a run's name has at most 120 letters, digits, '.', '_', '-' and spaces: give another one"
            ) from None
        if (self._logdir / chosen).exists():
            raise UsageError(f"there is a run {chosen} already: give another name")
        with publish.stage(self._logdir, chosen) as staging:
            shutil.copytree(asked.path, staging.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(f"*{MARK}*"))
            for events in asked.path.glob(f"*{MARK}*"):
                shutil.copy2(events, staging.folder / events.name.replace(MARK, staging.mark))
            if not (staging.folder / folder.VECTORS).exists():
                with (staging.folder / folder.VECTORS).open("wb") as file:
                    file.writelines(tensors.to_tsv(asked.points.vectors))
            if asked.facts["layouts"]:
                (staging.folder / "picture.png").write_bytes(save(draw_stored(asked.path, asked.facts), "png"))
            manifest.write(staging.folder, {**asked.facts, "asked": {**asked.facts["asked"], "kept": True}})
            staging.publish()
        self._temporary.remove(run)
        if self._folder is not None:
            (self._folder / _NOTED).write_text("\n".join(self._temporary), encoding="utf-8")
            _remove(asked.path, self._folder)
        return chosen


def _numbered(slug: str) -> Iterator[str]:
    yield slug
    number = 2
    while True:
        yield f"{slug}-{number}"
        number += 1


def _forget(logdir: Path, noted: Path) -> None:
    """Remove the temporary runs that are noted there, then the note."""
    with suppress(OSError, ValueError):
        for name in (noted / _NOTED).read_text("utf-8").splitlines():
            with suppress(ExporterError, OSError, KeyError):
                run = logdir / Path(name).name
                if not manifest.read(run)["asked"]["kept"]:
                    _remove(run, noted)
    shutil.rmtree(noted, ignore_errors=True)


def _remove(run: Path, aside: Path) -> None:
    """In one step, as far as anybody can see."""
    with suppress(OSError):
        run.rename(aside / f"gone-{run.name}")
    shutil.rmtree(aside / f"gone-{run.name}", ignore_errors=True)
