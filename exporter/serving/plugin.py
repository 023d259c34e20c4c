"""TensorBoard's Projector, except that it sees every change on disk, that a broken run harms no other, and that its
page has a script of ours (`serving.page`).

`exporter.runs.notf` must have had its say before this module is imported. Line numbers are those of TensorBoard 2.21.0.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector import projector_plugin
from werkzeug.wrappers import Request, Response

from exporter.runs.manifest import MANIFEST
from exporter.runs.projector import CONFIG
from exporter.serving import page
from exporter.serving.asking import KINDS, Desk
from exporter.serving.hosts import WSGIApp
from exporter.serving.logdir import checkpoint_states, find_runs, holds_checkpoint

NEEDS_TENSORFLOW = "its vectors are in a checkpoint, which only TensorFlow can read: pip install tensorflow-cpu"
"""The fault of a run that would be shown if TensorFlow were loaded."""

_TRIES = 3
"""For a run that is exchanged while it is read: what was read then is of two runs, and faulty."""

Stamp: TypeAlias = tuple[int, int, int] | None
"""What changes when a file does: inode, size and time of modification. None: it is not there."""


@dataclass(frozen=True)
class _Look:
    """One look at one run: the files it depends on, as they were just before they were read, and what came of it."""

    stamps: dict[Path, Stamp]
    config: Any = None
    fault: str = ""

    def is_current(self) -> bool:
        return all(_stamp(path) == stamp for path, stamp in self.stamps.items())


class RefreshingProjector(projector_plugin.ProjectorPlugin):  # type: ignore[misc]
    """Looks at the files of every run at each request; the stock plugin does when the set of run names changes (:362).

    Newest run first, as the page opens the first one. A run that can't be shown is left out; in the stock plugin it
    makes every request for every run fail, and can leave the tab inactive for good (:335).
    """

    def __init__(self, context: base_plugin.TBContext, desk: Desk | None = None) -> None:
        super().__init__(context)
        self._desk = desk
        self._told: dict[str, tuple[Stamp, dict[str, Any] | None]] = {}
        self._multiplexer = context.multiplexer
        self._lock = threading.RLock()
        self._looks: dict[str, _Look] = {}
        self._config_stamps: dict[str, Stamp] = {}
        # Configs by run, as they were at the last look, a second ago; `config_fpaths` has one only during a look.
        self._shown: dict[str, str] = {}

    def get_plugin_apps(self) -> dict[str, WSGIApp]:
        """The stock routes, answered one at a time: each reads configs and caches that another would be replacing.

        And ours, which read nothing that a request replaces: the page with its script, and what that asks for.
        """
        stock = {route: self._alone(app) for route, app in super().get_plugin_apps().items()}
        return {
            **stock,
            "/projector_binary.html": Request.application(self._serve_page),
            f"/{page.SCRIPT}": Request.application(self._serve_script),
            "/run_facts": Request.application(self._serve_run_facts),
            "/news": Request.application(self._serve_news),
            **({} if self._desk is None else {f"/{kind}": self._desk.app(kind) for kind in KINDS}),
        }

    def is_active(self) -> bool:
        """Whether there was a run to show. Answers at once: `refresh` finds out, not a thread that could die of it."""
        return bool(self._is_active)

    def refresh(self) -> dict[str, str]:
        """Look at every run, read what has changed, and return what is wrong: a fault for each run that is left out."""
        with self._lock:
            self._update_configs()
            return {run: look.fault for run, look in self._looks.items() if look.fault}

    def _serve_page(self, request: Request) -> Response:
        stock = Path(projector_plugin.__file__).with_name("tf_projector_plugin") / "projector_binary.html"
        token = None if self._desk is None else self._desk.token
        return _respond(request, page.with_script(stock.read_text("utf-8"), token), "text/html")

    def _serve_script(self, request: Request) -> Response:
        return _respond(request, page.script(), "text/javascript")

    def _serve_run_facts(self, request: Request) -> Response:
        return _respond(request, json.dumps(self._tell(request.args.get("run", ""))), "application/json")

    def _serve_news(self, request: Request) -> Response:
        runs = []
        for run in self._shown:
            told = self._tell(run) or {}
            runs.append({"name": run, "stamp": str(self._config_stamps.get(run)), "asked": told.get("asked")})
        return _respond(request, json.dumps(runs), "application/json")

    def _tell(self, run: str) -> dict[str, Any] | None:
        """What the page is told of a run, read again when it was written again."""
        config = self._shown.get(run)
        if config is None:
            return None
        stamp = _stamp(Path(config).with_name(MANIFEST))
        known = self._told.get(run)
        if known is None or known[0] != stamp:
            known = self._told[run] = (stamp, page.told_of(Path(config).parent))
        return known[1]

    def _alone(self, app: WSGIApp) -> WSGIApp:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            with self._lock:
                return app(environ, start_response)

        return answer

    def _update_configs(self) -> None:
        """What every request of the stock plugin begins with (:561-784)."""
        with self._lock:
            runs = find_runs(Path(self.logdir))
            looks = {}
            for run in sorted(runs, key=lambda run: _modified(runs[run] / CONFIG), reverse=True):
                looks[run] = look = self._current(run, runs[run])
                if look.config is not None:
                    self._is_active = True
            self._looks = looks
            self._configs = {run: look.config for run, look in looks.items() if look.config is not None}
            self.config_fpaths = self._shown = {run: str(runs[run] / CONFIG) for run in self._configs}

    def _current(self, run: str, directory: Path) -> _Look:
        look = self._looks.get(run) or self._look(run, directory)
        for _ in range(_TRIES):
            if look.is_current():
                break
            look = self._look(run, directory)
        return look

    def _look(self, run: str, directory: Path) -> _Look:
        # The stock caches know a tensor by its name and a checkpoint by its run (:391, :493), not by what is on disk.
        self.tensor_cache = projector_plugin.LRUCache(1)
        self.readers.pop(run, None)
        stamps: dict[Path, Stamp] = {}
        try:
            look = _Look(stamps, self._read(run, directory, stamps))
        except Exception as error:  # whatever is wrong with one run, the others are shown
            look = _Look(stamps, fault=" ".join(str(error).split()) or type(error).__name__)
        config_stamp = stamps[directory / CONFIG]
        if self._config_stamps.setdefault(run, config_stamp) != config_stamp:
            self._config_stamps[run] = config_stamp
            self._reread_events(run, directory)
        return look

    def _reread_events(self, run: str, directory: Path) -> None:
        """Let the other tabs see a rewritten run: TensorBoard stays with the events files it began with, gone or not.

        It drops what it holds of a run when the path is another one (plugin_event_multiplexer.py:151-171). So this is
        the same path, written otherwise; at the next reload, within a second, TensorBoard comes back to its own.
        """
        with suppress(Exception):  # events that can't be read are no concern of the Projector
            self._multiplexer.AddRun(f"{directory}{os.sep}", run)

    def _read(self, run: str, directory: Path, stamps: dict[Path, Stamp]) -> Any:
        """Read one run by the stock plugin's own code, so that it is as it would be there.

        Every file goes into `stamps` before it is read, so that a change in between is seen at the next look.
        """
        config_path = directory / CONFIG
        for path in (config_path, *checkpoint_states(directory)):
            stamps[path] = _stamp(path)
        if not projector_plugin._using_tf() and holds_checkpoint(directory):
            raise ValueError(NEEDS_TENSORFLOW)
        self._configs, self.config_fpaths = self._read_latest_config_files([(run, str(directory))])
        if run not in self._configs:
            raise ValueError(f"{CONFIG} names no tensor file, and there is no checkpoint")
        config = self._configs[run]
        for embedding in config.embeddings:
            # Without one of these the page stops at an error, or waits for ever.
            for name in filter(None, (embedding.tensor_path, embedding.metadata_path, embedding.sprite.image_path)):
                path = Path(projector_plugin._rel_to_abs_asset_path(name, str(config_path)))
                stamps[path] = _stamp(path)
                if stamps[path] is None:
                    raise FileNotFoundError(f"{name} is missing")
                if name == embedding.metadata_path:
                    _check_utf8(path)
        self._augment_configs_with_checkpoint_info()
        for embedding in config.embeddings:
            if len(embedding.tensor_shape) != 2:
                raise ValueError(f"the tensor {embedding.tensor_name!r} has the shape {list(embedding.tensor_shape)}")
        return config


class ProjectorLoader(base_plugin.TBLoader):  # type: ignore[misc]
    """Makes the plugin when TensorBoard asks for it, and keeps it at hand as `projector`."""

    projector: RefreshingProjector

    def __init__(self, desk: Desk | None = None) -> None:
        self._desk = desk

    def load(self, context: base_plugin.TBContext) -> RefreshingProjector:
        """Called once, by TensorBoard (backend/application.py:123)."""
        self.projector = RefreshingProjector(context, self._desk)
        return self.projector


def _respond(request: Request, content: str | bytes, kind: str) -> Response:
    """As TensorBoard answers: with its content security policy, and never cached."""
    answer: Response = http_util.Respond(request, content, kind)
    return answer


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _modified(path: Path) -> int:
    """When, in nanoseconds. A run that is moved or zipped keeps it, and foreign runs have one too."""
    stamp = _stamp(path)
    return stamp[2] if stamp else 0


def _check_utf8(metadata: Path) -> None:
    try:
        with metadata.open(encoding="utf-8") as lines:
            for _ in lines:
                pass
    except UnicodeDecodeError as error:
        raise ValueError(f"{metadata.name} is not UTF-8: {error}") from error
