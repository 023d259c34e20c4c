"""The guides: every command of them is run, in their order, and prints what they show."""

import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import click
import pytest

from exporter.cli.app import run
from exporter.evaluation.question_files import NAMES
from exporter.evaluation.question_sets import Target, read_qrels, read_questions

DOCS = Path(__file__).parents[1] / "docs"
SAME_TEXT = sys.version_info[:2] == (3, 11)  # the demo's text is that Python's own, and so are the figures shown
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(guide):
    """Commands, the exit code that each should have, and the lines that its output should hold."""
    found = []
    for block in BLOCK.findall((DOCS / guide).read_text()):
        for line in block.splitlines():
            if line.startswith("$ "):
                code = re.search(r"# exit code (\d+)$", line)
                found.append((shlex.split(line[2:], comments=True), int(code[1]) if code else 0, []))
            else:
                found[-1][2].append(" ".join(line.split()))
    return found


@pytest.fixture(scope="module")
def place(demo_directory, tmp_path_factory):
    """Where a reader of the guide stands: the demo, and the set that it shows."""
    folder = tmp_path_factory.mktemp("guide")
    shutil.copytree(demo_directory, folder / "demo")
    (asked,) = re.findall(r"^```json\n(.*?)^```$", (DOCS / "why-it-missed.md").read_text(), re.MULTILINE | re.DOTALL)
    (folder / "questions.jsonl").write_text(asked)
    return folder


@pytest.mark.parametrize("guide", ["why-it-missed.md", "ci.md", "comparing.md"])
def test_every_command(place, guide, monkeypatch, capsys):
    """Each command ends as the guide says, and prints the lines that it shows."""
    monkeypatch.chdir(place)
    done = steps(guide)
    assert len(done) >= 2
    for command, code, shown in done:
        assert command[0] == "chroma-projector"
        if command[1] == "tensorboard":
            serve([*command[1:], "--port", "0"])
            continue
        capsys.readouterr()
        assert run(command[1:]) == code, command
        printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        if SAME_TEXT:
            assert [line for line in shown if line not in printed] == [], command


def serve(arguments):
    """Start it, wait for the address, look whether the runs are there, end it."""
    command = [sys.executable, "-m", "exporter", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            with urllib.request.urlopen(f"{address.split('#')[0]}data/plugin/projector/runs", timeout=60) as answer:
                runs = answer.read().decode()
            assert '"step"' in runs
            assert '"all"' in runs
        finally:
            server.terminate()


def test_the_job():
    """What the CI guide's job runs is a command line that we know."""
    from exporter.cli.app import app

    (line,) = re.findall(r"run: (chroma-projector .*?) >>", (DOCS / "ci.md").read_text())
    _, name, *arguments = shlex.split(line)
    parent = click.Context(app, **app.context_settings)  # whose help options the command then keeps
    assert app.get_command(parent, name).make_context(name, arguments, parent=parent).params


def example(kind):
    """The one example of this kind among those of docs/question-sets.md."""
    text = (DOCS / "question-sets.md").read_text()
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found.encode()


def test_the_forms_of_a_set():
    """The examples of sets are read without a warning, as the page says."""
    found = read_questions("set.jsonl", example("json"))
    assert found.warnings == ()
    of = {one.id: one for one in found.questions}
    assert of["words"].answers == ("24 months", "two years")
    assert of["both words"].answers == (("managing director", "annual report"),)
    assert {target.id: target.grade for target in of["grades"].relevant} == {
        "returns-1": 2, "returns-2": 1, "shipping-4": 0,
    }  # fmt: skip
    assert of["pages"].relevant == (Target(source="manual.pdf", page="3"), Target(source="faq.md", grade=2))
    table = read_questions("set.csv", example("csv"))
    assert table.warnings == ()
    for one in table.questions:
        assert (one.text, one.answers, one.relevant) == (of[one.id].text, of[one.id].answers, of[one.id].relevant)
    judged = read_qrels("test.tsv", example("qrels"), read_questions("queries.jsonl", example("queries")))
    assert judged.warnings == ()
    assert [one.relevant for one in judged.questions] == [(Target("terms-3"),), (Target("price-1", grade=2),)]


def test_the_names_of_columns():
    """The page lists every name that is known, and no other."""
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", (DOCS / "question-sets.md").read_text(), re.MULTILINE)
    told = {name for row in rows for cell in row for name in re.findall(r"`(\w+)`", cell)}
    assert told == {name for names in NAMES.values() for name in names}
