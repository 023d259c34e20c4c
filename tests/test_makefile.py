"""The Makefile passes what it is given, whatever is in it, and nothing that it is not given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HARD = ["""what's "it" $5 `id` $(id) ${HOME} \\ #1 % *?""", "-q", "plain", "œuf ☃", "two  spaces"]


@pytest.fixture
def make(tmp_path):
    """`make(target, NAME=value)`: the arguments with which it would call chroma-projector."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    for name in ("chroma-projector", "python"):
        program = tmp_path / "venv" / "bin" / name
        program.write_text(f"#!{sys.executable}\nimport json, sys; print(json.dumps(sys.argv[1:]))\n")
        program.chmod(0o755)
    (tmp_path / "venv" / "ready").touch()

    def call(*arguments, **variables):
        given = [f"{name}={value}" for name, value in variables.items()]
        clean = {name: value for name, value in os.environ.items() if name not in ("LOGDIR", "CHROMA", "RUN")}
        command = ["make", "--silent", f"VENV={tmp_path / 'venv'}", *arguments, *given]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=clean)
        return json.loads(done.stdout) if arguments and arguments[0] != "help" else done.stdout

    return call


@pytest.mark.parametrize("text", HARD)
def test_any_text_is_safe(make, text):
    """Quotes, dollars, back-ticks and white space reach the command as they were typed."""
    passed = make("export", CHROMA="my db", COLLECTION=text, QUESTION=text, ANSWER=text, LOGDIR="my logs", RUN="r 1")
    assert passed == [
        *("export", "my db", "--overwrite", "--collection", text, "--run", "r 1"),
        *("--logdir", "my logs", "--question", text, "--answer", text),
    ]


def test_empty_variables_pass_nothing(make):
    """A variable that is empty is no option."""
    assert make("export", CHROMA="db", QUESTION="q", ANSWER="") == [
        *("export", "db", "--overwrite", "--logdir", "logs", "--question", "q"),
    ]
    assert make("export", CHROMA="db", QUESTION="q", LOGDIR="") == ["export", "db", "--overwrite", "--question", "q"]


def test_without_a_collection(make):
    """Without CHROMA it is the demo; with a question, that question on the demo's collection."""
    assert make("export") == ["demo", "--no-serve", "--logdir", "logs"]
    assert make("export", QUESTION="why?", ANSWER="so") == [
        *("demo", "--no-serve", "--logdir", "logs", "--question", "why?", "--answer", "so"),
    ]


def test_serving(make):
    """`make tensorboard` serves LOGDIR, by default logs."""
    assert make("tensorboard") == ["tensorboard", "logs"]
    assert make("tensorboard", LOGDIR="a b") == ["tensorboard", "a b"]


def test_help_is_the_default(make):
    """`make` alone prints help, which names every target."""
    told = make()
    assert all(f"make {target}" in told for target in ("export", "tensorboard", "test", "check", "clean"))
    assert told == make("help")


def test_demo_site(make):
    """The real website goes through a script, with the log directory that is asked for."""
    assert make("demo-site") == ["-m", "scripts.demo_site", "logs"]
    assert make("demo-site", LOGDIR="my logs") == ["-m", "scripts.demo_site", "my logs"]
