"""`chroma-projector`: the group of commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from exporter.errors import ExporterError, OutputError

COMMANDS = ("export", "tensorboard", "collections", "ingest", "demo", "verify", "plot", "share", "evaluate", "compare")
INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports a command's module when that command is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order of use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command `name` of the module `exporter.cli.<name>`."""
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"exporter.cli.{name}"), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="chroma-projector", prog_name="chroma-projector")
def app() -> None:
    """See why retrieval missed: a Chroma collection and a question, in TensorBoard's Projector.

    \b
    chroma-projector demo
    chroma-projector export chroma_db -q "How do I reset my password?" -a "Security settings"
    chroma-projector tensorboard
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no stars gets question marks
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # without a home it tells where its cache is, in two lines
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """The exit code of a command line. Never raises; `--debug` shows the traceback of what went wrong."""
    as_json, debug = "--json" in arguments, "--debug" in arguments
    try:
        result: Any = app.main(arguments, prog_name="chroma-projector", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        if as_json:
            return _say(error.format_message(), error.exit_code, as_json)
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", INTERRUPTED, as_json)
    except SystemExit:  # Click's own end when nobody reads stdout any more (core.py, `e.errno == errno.EPIPE`)
        return 0
    except ExporterError as error:
        if debug:
            traceback.print_exc()
        return _say(str(error), error.exit_code, as_json)
    except Exception as error:  # a fault of ours: still one line, and how to report it
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            what = "what was asked for could not be printed whole" if error.filename is None else str(error.filename)
            return _say(f"{what} ({error.strerror}): free some space", OutputError.exit_code, as_json)
        return _say(
            f"a fault of ours: {type(error).__name__}: {error}; please report it, with --debug's output", 1, as_json
        )


def _say(message: str, exit_code: int, as_json: bool) -> int:
    line = " ".join(message.split())
    with suppress(OSError):  # the code is the answer all the same
        click.echo(json.dumps({"error": line, "exit_code": exit_code}) if as_json else f"Error: {line}", err=True)
    return exit_code
