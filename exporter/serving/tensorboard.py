"""Starts TensorBoard on a log directory, waits until the Projector is there, and stops it again."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from http.client import HTTPConnection, HTTPException
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

from exporter import interpreter
from exporter.errors import ExporterError, ServingError, UsageError
from exporter.records import Notice, Progress, no_notice
from exporter.serving.child import RESTART_WITH_TENSORFLOW, Settings
from exporter.serving.logdir import find_runs, holds_checkpoint

LOOPBACK = "127.0.0.1"
_LISTENED = 1.0
"""Seconds of waiting at once: a ^C that comes in the very moment in which a wait begins is heard at its end."""


class Asking(Protocol):
    """Who answers what the page asks; called on one thread, one thing after the other."""

    def answer(self, what: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """The answer, for the page. Raises ExporterError, whose text the page shows."""

    def close(self) -> None:
        """Called when the server has stopped."""


def start(
    logdir: str | os.PathLike[str],
    *,
    port: int = 6006,
    host: str = LOOPBACK,
    bind_all: bool = False,
    path_prefix: str = "",
    stock: bool = False,
    allow_hosts: Sequence[str] = (),
    asking: Asking | None = None,
    notice: Notice = no_notice,
    timeout: float = 60.0,
) -> Server:
    """Start TensorBoard in a process of its own, and return when its Projector has a run to show.

    `port`, `host`, `bind_all` and `path_prefix` mean what they do for TensorBoard (plugins/core/core_plugin.py:708,
    program.py:689-755, 2.21.0), but for any port that is taken, the next free one is used; `port` tells. 0 is
    any free one. `stock` serves TensorBoard's own Projector, which doesn't see that a run was rewritten. It answers to
    the names of where it listens, and to `allow_hosts`; a request for any other gets 403. `asking` answers what is
    asked in the page; without it, and in the stock page, nothing can be asked. It is closed with the server.

    TensorFlow is loaded only when a run holds a checkpoint; when such a run appears later, the server is started
    again, with TensorFlow, on the same port. `notice` is called, from another thread, with one line for that, and for
    each run that is left out. `timeout` is in seconds.

    Raises ServingError when there is no such directory or no run in it (nothing is started or created then), when no
    run can be shown, or TensorBoard doesn't come up. Raises UsageError for a port that can't be, and for `host`
    together with `bind_all`.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"a port is a number from 0 to 65535, not {port}")
    if bind_all and host != LOOPBACK:
        raise UsageError(f"bind_all serves on every interface, so it doesn't go with the host {host}")
    root = Path(logdir).expanduser().absolute()
    if not root.is_dir():
        raise ServingError(f"there is no directory {logdir}; `make export` or `chroma-projector export` makes one")
    runs = find_runs(root)
    if not runs:
        raise ServingError(f"there is no run in {logdir}; `make export` or `chroma-projector export` makes one")
    settings = Settings(
        logdir=str(root),
        port=port,
        tries=100 if port else 1,
        host=host,
        bind_all=bind_all,
        path_prefix=path_prefix,
        stock=stock,
        mark=f"\x1e{secrets.token_hex(8)} ",
        tensorflow=any(holds_checkpoint(run) for run in runs.values()),
        allowed_hosts=tuple(allow_hosts),
        asking=asking is not None and not stock,
    )
    server = Server(settings, notice, asking)
    try:
        server._wait_until_up(set(runs), timeout)
    except BaseException:  # a ^C too: nobody has the server yet who could stop it
        server.stop()
        raise
    return server


class Server:
    """TensorBoard, running. Made by `start`; as a context manager it is stopped at the end."""

    def __init__(self, settings: Settings, notice: Notice, asking: Asking | None = None) -> None:
        self._settings = settings
        self._notice = notice
        self._asking = asking
        self._questions = ThreadPoolExecutor(max_workers=1, thread_name_prefix="asked in the page")
        self._url = ""
        self._faults: dict[str, str] = {}
        self._pieces: dict[int, str] = {}
        self._chatter: deque[str] = deque(maxlen=5)
        self._lock = threading.Lock()  # between stopping and starting again
        self._stopping = False
        self._at_end: list[Callable[[], None]] = []
        self._process = _launch(settings)
        self._supervisor = threading.Thread(target=self._supervise, name="TensorBoard supervisor", daemon=True)
        self._supervisor.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it is, with a slash at the end: `http://127.0.0.1:6006/`."""
        return self._url

    @property
    def projector_url(self) -> str:
        """The address that opens on the Projector's tab."""
        return f"{self._url}#projector"

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return urlsplit(self._url).port or 0

    @property
    def pid(self) -> int:
        """Its process; another one after a start with TensorFlow."""
        return self._process.pid

    def at_end(self, do: Callable[[], None]) -> None:
        """Have something done when it is stopped; as often as that."""
        self._at_end.append(do)

    def stop(self) -> None:
        """End it, and wait until it has ended. Stopping again does nothing."""
        with self._lock:
            self._stopping = True
            self._process.kill()  # it has nothing to save, and this also ends a process that is suspended
        self._supervisor.join()
        self._questions.shutdown(cancel_futures=True)
        if self._asking is not None:
            self._asking.close()
        for do in self._at_end:
            do()

    def wait(self) -> None:
        """Wait until it is stopped. Raises ServingError when it has ended by itself."""
        while self._supervisor.is_alive():
            self._supervisor.join(_LISTENED)
        if not self._stopping:
            raise self._failure(f"TensorBoard has ended, with status {self._process.returncode}")

    def _supervise(self) -> None:
        while True:
            process = self._process
            self._pieces.clear()
            with process:
                for line in process.stdout or ():
                    self._hear(line)
            if process.returncode != RESTART_WITH_TENSORFLOW:
                return
            with self._lock:
                if self._stopping:
                    return
                self._process = _launch(replace(self._settings, port=self.port, tries=1, tensorflow=True))
            self._notice("a run holds a checkpoint: TensorBoard starts again, with TensorFlow; then reload the page")

    def _hear(self, line: str) -> None:
        chatter, _, report = line.partition(self._settings.mark)
        if chatter.strip():
            self._chatter.append(chatter.strip())
        if not report:
            return
        said = json.loads(report)
        if "url" in said:
            self._url = said["url"]
        elif "asked" in said:
            number = said["asked"]
            self._pieces[number] = self._pieces.get(number, "") + said["piece"]
            if not said["more"]:
                with suppress(RuntimeError):  # it is being stopped, so nobody waits
                    what = json.loads(self._pieces.pop(number))
                    self._questions.submit(self._answer, self._process, number, what)
        elif self._faults.get(said["run"]) != said["fault"]:
            self._faults[said["run"]] = said["fault"]
            self._notice(f"the run {said['run']} is left out: {said['fault']}")

    def _answer(self, process: subprocess.Popen[str], number: int, what: Mapping[str, Any]) -> None:
        def say(**answer: Any) -> None:
            with suppress(OSError, ValueError):  # the process has ended, and the page with it
                assert process.stdin is not None  # noqa: S101 - as `_launch` has it
                process.stdin.write(json.dumps({"asked": number, **answer}) + "\n")
                process.stdin.flush()

        def progress(stage: str, done: int, total: int | None) -> None:
            if not done:
                say(progress=stage)

        if self._asking is None:
            return say(error="nothing can be asked here")
        try:
            say(done=self._asking.answer(what, progress))
        except ExporterError as error:
            say(error=" ".join(str(error).split()))
        except Exception as error:  # the page waits, and the next question must find somebody
            say(error=f"a fault of ours: {type(error).__name__}: {error}; please report it")

    def _wait_until_up(self, runs: set[str], timeout: float) -> None:
        end = time.monotonic() + timeout
        while not (self._url and _has_projector(self._url)):
            if not self._supervisor.is_alive():
                raise self._failure("TensorBoard didn't start")
            if runs <= self._faults.keys():
                why = "; ".join(f"{run}: {fault}" for run, fault in islice(self._faults.items(), 3))
                raise ServingError(f"no run in {self._settings.logdir} can be shown: {why}")
            if time.monotonic() > end:
                raise self._failure(f"the Projector wasn't there after {timeout:g} seconds")
            time.sleep(0.1)

    def _failure(self, what: str) -> ServingError:
        return ServingError(f"{what}: {' / '.join(self._chatter) or 'it said nothing'}")


def _launch(settings: Settings) -> subprocess.Popen[str]:
    return subprocess.Popen(
        interpreter.command("exporter.serving.child", json.dumps(asdict(settings))),
        env=interpreter.environment(),
        # Answers to the page; and its end tells the child that this process is gone.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


def _has_projector(url: str) -> bool:
    """Whether the page would show the tab. By a direct connection: a proxy is not asked for 127.0.0.1."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=5)
    try:
        connection.request("GET", f"{address.path}data/plugins_listing")
        answer = connection.getresponse()
        return answer.status == 200 and bool(json.load(answer)["projector"]["enabled"])
    except (OSError, HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()
