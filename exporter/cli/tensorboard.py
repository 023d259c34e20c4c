"""`chroma-projector tensorboard`."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import click

from exporter.cli import console
from exporter.cli.options import Command, debug_option, open_option, option, port_option

SERVER = "Server"
ASKING = "Asking in the page (experimental)"


@click.command(cls=Command)
@click.argument("logdir", type=click.Path(path_type=Path), required=False)
@option("--logdir", "named", group=SERVER, type=click.Path(path_type=Path), help="The same; default: logs.")
@port_option
@option("--host", group=SERVER, default="127.0.0.1", show_default=True, help="Where to listen.")
@option("--bind_all", "--bind-all", "bind_all", group=SERVER, is_flag=True, help="On every interface.")
@option("--path_prefix", "--path-prefix", "path_prefix", group=SERVER, default="", help="As in http://host/PREFIX/.")
@option(
    "--allow-host",
    "allow_hosts",
    group=SERVER,
    metavar="NAME",
    multiple=True,
    help="A name that it answers to as well, behind a proxy.",
)
@option("--stock", group=SERVER, is_flag=True, help="TensorBoard's own Projector, unchanged.")
@open_option
@option(
    "--ask/--no-ask",
    group=ASKING,
    default=None,
    help="Default: --ask, where only this machine reaches the server.",
)
@option("--source", group=ASKING, metavar="SOURCE", help="Where the collection is, if not beside the log directory.")
@option("--model", "-m", group=ASKING, metavar="NAME", help="As of export; needed for one that asks another host.")
@option("--base-url", group=ASKING, metavar="URL", help="Of an endpoint that speaks OpenAI's API, for openai:NAME.")
@debug_option
def tensorboard(logdir: Path | None, named: Path | None, open_browser: bool, **settings: Any) -> None:
    """Serve a log directory, or a zip that was shared; the address is printed when it is there. ^C ends it.

    \b
    chroma-projector tensorboard
    chroma-projector tensorboard path/to/logs --port 0
    chroma-projector tensorboard run.zip
    """
    serve_until_interrupted(logdir or named or Path("logs"), open_browser=open_browser, **settings)


def serve_until_interrupted(
    logdir: Path, *, open_browser: bool = False, quiet_stdout: bool = False, **settings: Any
) -> None:
    """Start, print the address on stdout, wait. ^C and SIGTERM are the ways to stop it, so they are no error.

    With `quiet_stdout` the address goes to stderr: stdout holds one JSON value already.
    """
    from exporter.serving.hosts import is_loopback
    from exporter.workflows.serve import serve

    for ending in ("SIGTERM", "SIGHUP"):  # the second: its terminal was closed; Windows has none
        if hasattr(signal, ending):
            signal.signal(getattr(signal, ending), _interrupt)
    if settings.get("bind_all") or not is_loopback(settings.get("host", "127.0.0.1")):
        console.note("Warning: everybody who can reach this machine can read the documents in these runs")
    elif settings.get("allow_hosts"):
        console.note("Warning: everybody whom the proxy lets through can read the documents in these runs")
    try:
        with serve(logdir, notice=console.note, **settings) as server:
            asked = settings.get("port", 6006)
            if asked not in (0, server.port):
                console.note(f"port {asked} is taken, this is {server.port}")
            click.echo(server.projector_url, err=quiet_stdout)
            if open_browser:
                click.launch(server.projector_url)
            server.wait()
    except KeyboardInterrupt:
        console.note("stopped")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
