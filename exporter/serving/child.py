"""The process in which TensorBoard runs: `python -m exporter.serving.child SETTINGS`, started by `serving.tensorboard`.

It ends when its stdin does, so it never outlives its parent, however that ends. What it has to say it writes as lines
of a mark and JSON: `{"url": ...}` once it is listening, `{"run": ..., "fault": ...}` for each run that is left out,
`{"asked": number, "piece": ...}` for what the page asks; answers to that come in on stdin (`serving.asking`).
All else that comes out of it is TensorBoard's and TensorFlow's own chatter.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from exporter.runs.notf import without_tensorflow
from exporter.serving.asking import Desk, Relay
from exporter.serving.hosts import answering_to, names_of

if TYPE_CHECKING:
    from tensorboard.program import TensorBoardServer

    from exporter.serving.plugin import RefreshingProjector

RESTART_WITH_TENSORFLOW = 75
"""The exit status when a run has appeared that only TensorFlow can read."""

_LOOK_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Settings:
    """What to serve, and where. `port` is the first to try, of `tries`; 0 is any free one. `allowed_hosts` are names
    that it answers to beside those of where it listens; `asking`: the parent answers questions. `mark` begins each
    line that is meant for the parent: another one at each start, as TensorBoard's chatter repeats what browsers send.
    """

    logdir: str
    port: int
    tries: int
    host: str
    bind_all: bool
    path_prefix: str
    stock: bool
    tensorflow: bool
    mark: str
    allowed_hosts: Sequence[str] = ()
    asking: bool = False


def main() -> None:
    """Serve until stdin ends. Exits with a message on stderr when TensorBoard can't be started."""
    # ^C in a terminal goes to the parent as well, and that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = Settings(**json.loads(sys.argv[1]))
    report = partial(_report, settings.mark)
    relay = Relay(report)
    threading.Thread(target=_end_with_parent, args=(relay,), daemon=True).start()
    if not settings.tensorflow:
        without_tensorflow()

    # Only now: what these import decides between TensorFlow and its stand-in.
    from tensorboard import default, program
    from tensorboard.plugins.base_plugin import FlagsError

    from exporter.serving.plugin import ProjectorLoader

    loader = ProjectorLoader(Desk(relay) if settings.asking else None)
    # The stock Projector is among the plugins found through entry points (default.py:103-121), together with those
    # of other distributions, of which any may import TensorFlow, or fail.
    plugins = default.get_plugins() if settings.stock else [*default.get_static_plugins(), loader]
    tensorboard = program.TensorBoard(plugins=plugins, server_class=_first_free_port(settings))
    try:
        tensorboard.configure(
            logdir=settings.logdir,
            host=None if settings.bind_all else settings.host,
            bind_all=settings.bind_all,
            path_prefix=settings.path_prefix,
            # The fast loader is a process of its own, which could outlive this one.
            load_fast="false",
            reload_interval=1.0,
        )
        tensorboard._fix_mime_types()  # as main() does (program.py:272), and launch() does not
        report(url=tensorboard.launch())
    except (FlagsError, program.TensorBoardServerException) as error:
        sys.exit(str(error))
    if settings.stock:
        threading.Event().wait()
    _watch(loader.projector, report, may_restart=not settings.tensorflow and find_spec("tensorflow") is not None)


def _end_with_parent(relay: Relay) -> None:
    with suppress(ValueError, OSError):
        for line in sys.stdin:
            relay.hear(line)
    os._exit(0)  # the parent has closed the pipe, or is gone


def _report(mark: str, **what: Any) -> None:
    # In one piece, so that the chatter of other threads can't get between.
    os.write(1, f"{mark}{json.dumps(what)}\n".encode())


def _first_free_port(settings: Settings) -> Callable[[Any, Namespace], TensorBoardServer]:
    """A `server_class` that tries one port after the other; TensorBoard's own begins at 6006 only (program.py:645)."""
    from tensorboard import program

    names = names_of(settings.host, bind_all=settings.bind_all, allowed=settings.allowed_hosts)

    def make_server(wsgi_app: Any, flags: Namespace) -> TensorBoardServer:
        wsgi_app = answering_to(names, wsgi_app)
        last = min(settings.port + settings.tries, 65536) - 1
        for port in range(settings.port, last + 1):
            try:
                return program.WerkzeugServer(wsgi_app, Namespace(**{**vars(flags), "port": port}))
            except program.TensorBoardPortInUseError:
                continue
            except SystemExit as error:
                # Werkzeug's own answer to an OSError (werkzeug/serving.py:765-786, 3.1): the port was taken after all.
                if getattr(error.__context__, "errno", None) != errno.EADDRINUSE:
                    raise
        raise program.TensorBoardServerException(f"no port from {settings.port} to {last} is free")

    return make_server


def _watch(projector: RefreshingProjector, report: Callable[..., None], *, may_restart: bool) -> None:
    """Look at the runs for ever, so that the page doesn't wait for it, and report what can't be shown."""
    from exporter.serving.plugin import NEEDS_TENSORFLOW

    before: set[tuple[str, str]] = set()
    told: set[tuple[str, str]] = set()
    while True:
        faults = set(projector.refresh().items())
        if may_restart and any(fault == NEEDS_TENSORFLOW for _, fault in faults):
            os._exit(RESTART_WITH_TENSORFLOW)
        # A run that is still being copied is faulty for a moment, and that is nobody's concern.
        lasting = faults & before
        for run, fault in sorted(lasting - told):
            report(run=run, fault=fault)
        told = lasting
        before = faults
        time.sleep(_LOOK_EVERY)


if __name__ == "__main__":
    main()
