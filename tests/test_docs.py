"""What the documents say of the house is so."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]
DESIGN = (ROOT / "docs" / "design.md").read_text()
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()


def test_rooms():
    """The rooms of docs/design.md are those whose imports are held, in that order; and each is there."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    layers = settings["importlinter:contract:rooms"]["layers"].split("\n")
    held = [re.findall(r"\w+", line) for line in layers if line.strip()]
    (block,) = re.findall(r"```\n(__main__.*?)```", DESIGN, re.S)
    said = [re.split(r"\s{3,}", line)[0] for line in block.splitlines()]
    assert [re.findall(r"\w+", line) for line in said] == held
    there = {
        path.stem for path in (ROOT / "exporter").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {name for line in held for name in line} == there - {"__init__"}


def test_modules():
    """docs/design.md names every module."""
    listed = DESIGN.partition("## Modules")[2]
    for path in (ROOT / "exporter").rglob("*.py"):
        assert path.name == "__init__.py" or f"`{path.stem}`" in listed


def test_the_table_of_reliability():
    """Each line of docs/reliability.md names tests that are there; none is open."""
    rows = [line.split("|") for line in RELIABILITY.splitlines() if line.startswith("| ") and "---" not in line]
    rows = [row for row in rows if row[1].strip() not in ("fault", "input")]
    assert len(rows) > 30
    for _, _, tried, happened, place, _ in rows:
        assert re.search(r"\d", tried)
        assert happened.strip()
        assert not re.search(r"\b(open|fails|unknown|todo)\b", happened, re.I)
        for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", place):
            assert (ROOT / file).is_file(), file
            for one in filter(None, [test, *re.findall(r"`::(\w+)`", place)]):
                assert f"def {one}(" in (ROOT / file).read_text(), one
        assert "`" in place


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_and_make_targets(document):
    """Every file that a document links to is there, and every `make` target that it names."""
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (ROOT / document).parent.joinpath(target).exists(), target
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for line in re.findall(r"^make ([a-z -]+)$|`make ([a-z -]+)`", text, re.M):
        assert set("".join(line).split()) <= targets, line


@pytest.mark.parametrize(
    ("words", "expected"), [(["exp"], "export"), (["export", "--questi"], "--question"), (["ver"], "verify")]
)
def test_completion(words, expected):
    """The shell gets the rest of a command, or of an option, from the line that the README gives it."""
    typed = " ".join(["chroma-projector", *words])
    environment = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words)), "_CHROMA_PROJECTOR_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "exporter"], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert f"plain,{expected}\n" in done.stdout
    assert expected in (*COMMANDS, "--question")
    source = subprocess.run(
        [sys.executable, "-m", "exporter"],
        env={**os.environ, "_CHROMA_PROJECTOR_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
    ).stdout
    assert "complete -o nosort -F _chroma_projector_completion chroma-projector" in source
