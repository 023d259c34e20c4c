"""--help: quick, with an example, and the same in the docs."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from exporter.cli.app import COMMANDS, app

ROOT = Path(__file__).parents[2]


def seconds(*command):
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], capture_output=True, check=True)
    return time.perf_counter() - start


def command(name):
    return app.get_command(click.Context(app), name)


def test_help_is_quick():
    """--help takes at most 0.3 s more than bare Python, in the median of five, taken in turn."""
    pairs = [(seconds("-m", "exporter", "--help"), seconds("-c", "pass")) for _ in range(5)]
    assert statistics.median(ours - bare for ours, bare in pairs) < 0.3


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_loads_nothing_heavy(name):
    """No help text needs a library that takes long to import."""
    script = (
        "import sys; from exporter.cli.app import run; run(sys.argv[1:]);"
        "print(sorted({'numpy', 'chromadb', 'torch', 'numba', 'tensorflow', 'tensorboard', 'rich'} & set(sys.modules)))"
    )
    arguments = [*([name] if name else []), "--help"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name):
    """Each command's help holds a line that can be typed, and each option is explained."""
    found = command(name)
    assert f"chroma-projector {name}" in found.help
    assert all(option.help for option in found.params if isinstance(option, click.Option))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_in_the_docs(name):
    """docs/cli.md holds each command's help as it is."""
    parent = click.Context(app, info_name="chroma-projector", terminal_width=110, **app.context_settings)
    context = click.Context(command(name), info_name=name, parent=parent)
    assert command(name).get_help(context) in (ROOT / "docs/cli.md").read_text()


def test_choices_are_those_of_the_code():
    """What an option offers is what the code knows."""
    from typing import get_args, get_type_hints

    from exporter.retrieval.answers import MATCHES
    from exporter.retrieval.distance import METRICS
    from exporter.runs.folder import TensorFormat

    choices = {
        option.name: list(option.type.choices) for option in command("export").params if hasattr(option.type, "choices")
    }
    assert choices["answer_match"] == list(MATCHES)
    assert choices["metric"] == ["auto", *METRICS]
    assert choices["tensor_format"] == list(get_args(TensorFormat))
    from exporter.workflows.request import ExportRequest

    assert choices["projection"] == list(get_args(get_type_hints(ExportRequest)["projection"]))


def test_defaults_are_those_of_the_code():
    """The command line and Python start from the same defaults."""
    from exporter.workflows.request import ExportRequest

    given = command("export").make_context("export", ["db", "-q", "x"]).params
    fields = {name: field.default for name, field in ExportRequest.__dataclass_fields__.items()}
    shared = given.keys() & fields.keys() - {"source", "questions", "retrieved"}
    assert len(shared) > 35
    assert {name: given[name] for name in shared} == {name: fields[name] for name in shared}


def test_version(capsys):
    """--version says the version."""
    from exporter.cli.app import run

    assert run(["--version"]) == 0
    assert "0.1.0" in capsys.readouterr().out
