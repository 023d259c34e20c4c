"""Whatever is typed or called, the user's directory keeps every byte."""

import hashlib
import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import exporter
from exporter.records import no_progress
from exporter.sources import open_source
from exporter.sources.directory import Directory
from exporter.workflows.asking import Asking
from exporter.workflows.compare import compare, join
from tests.conftest import collection, write_chroma

OLDER = Path(__file__).parents[1] / "sources" / "older"
QUESTIONS = [{"id": f"q{i}", "question": f"text {i}", "answers": [f"text {i}"]} for i in (3, 7)]
FILTERS = ["--where", '{"page": {"$gte": 1}}', "--where-document", '{"$regex": "^text"}']
ASKED = ["-q", "text 3", "-a", "text 3", "--question-vector", "VECTOR", "--logdir", "LOGS"]
JUDGED = ["--questions", "QUESTIONS", "--question-vector", "VECTORS", "-k", "3"]
COMMANDS = [
    ["collections", "DIRECTORY"],
    ["collections", "DIRECTORY", "--json"],
    ["export", "DIRECTORY", *ASKED],
    ["export", "DIRECTORY", *ASKED, *FILTERS, "--projection", "none"],
    ["export", "DIRECTORY", *ASKED, "--retrieved", "RETRIEVED", "--max-points", "15", "--projection", "none"],
    ["export", "DIRECTORY", *JUDGED, "--logdir", "LOGS", "--projection", "none"],
    ["evaluate", "DIRECTORY", *JUDGED],
    ["evaluate", "DIRECTORY", *JUDGED, "--no-index", "--logdir", "LOGS"],
]


class Words:
    """A model without words: every text has the same vector."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [0.5] * 8


def state(directory):
    """Every file and folder, with sha256 and the time of the last write."""
    return {
        path: (path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in [directory, *sorted(directory.rglob("*"))]
    }


@pytest.fixture
def watched(chroma, tmp_path):
    """A directory beside `logs`, which must be the same at the end."""
    directory = Path(shutil.copytree(chroma, tmp_path / "db"))
    before = state(directory)
    yield directory
    assert state(directory) == before


def write_inputs(folder):
    """The files that commands read, by the word that stands for them."""
    (folder / "vector.json").write_text(json.dumps([0.5] * 8))
    (folder / "vectors.json").write_text(json.dumps([[0.5] * 8] * len(QUESTIONS)))
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)))
    (folder / "retrieved.json").write_text(json.dumps({"ids": [["id3", "id7"]]}))
    names = {"VECTOR": "vector.json", "VECTORS": "vectors.json", "QUESTIONS": "questions.jsonl"}
    return {
        word: str(folder / name) for word, name in (names | {"RETRIEVED": "retrieved.json", "LOGS": "logs"}).items()
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_changes_nothing(command, cli, watched, tmp_path):
    """Each command that opens a collection leaves the same files with the same bytes and times."""
    words = {**write_inputs(tmp_path), "DIRECTORY": str(watched)}
    answer = cli(*[words.get(argument, argument) for argument in command])
    assert answer.code == 0, answer.err


def test_python_changes_nothing(watched, tmp_path):
    """Nor do Python's own ways: the list, a run, an evaluation, two runs compared and put on one map."""
    assert len(exporter.collections(watched)) == 1
    given = {"model": Words(), "logdir": tmp_path / "logs", "projection": "pca"}
    exporter.export(watched, question="text 3", run="plain", **given)
    assert exporter.evaluate(watched, QUESTIONS, model=Words()).to_json()["questions"] == 2
    runs = [exporter.export(watched, question_set=QUESTIONS, run=name, **given) for name in ("a", "b")]
    join(*runs, compare(*runs), logdir=tmp_path / "logs", run="joint")


def test_asking_in_the_page_changes_nothing(watched, tmp_path):
    """Nor does a question that is asked of a run: the collection is ranked anew, and the run put beside the others."""
    given = {"model": Words(), "logdir": tmp_path / "logs"}
    exporter.export(watched, question="text 3", run="base", **given)
    asking = Asking(tmp_path / "logs", model=Words())
    asked = asking.answer({"do": "ask", "run": "base", "question": "text 7", "answer": "text 7"}, no_progress)
    facts = exporter.open_run(tmp_path / "logs" / asked["run"]).facts
    asking.close()
    assert facts["asked"]["over"] == "source"


def test_every_way_of_a_source_changes_nothing(watched):
    """Nor do places, descriptions, rows, or Chroma's own query, which is put to a copy."""
    source = Directory(watched)
    (one,) = [source.describe(place) for place in source.places()]
    assert source.migrations()["sysdb"] > 0
    assert source.read(one, lambda rows: sum(len(batch) for batch in rows.take(np.array([1, 2])))) == 2
    assert len(source.query(one, np.full((1, 8), 0.5, np.float32), 3)[0]) == 3


@pytest.mark.parametrize("spoilt", ["wal", "unknown", "older"])
def test_what_is_read_from_a_copy_keeps_its_bytes_too(spoilt, cli, chroma, tmp_path):
    """Whether in WAL mode, of a version to come, or of one that Chroma would migrate: the original is as before."""
    directory = tmp_path / "db"
    if spoilt == "older":
        with zipfile.ZipFile(OLDER / "chroma-0.4.24.zip") as archive:
            archive.extractall(directory)
    else:
        shutil.copytree(chroma, directory)
        change = {
            "wal": "PRAGMA journal_mode = WAL",
            "unknown": "INSERT INTO migrations VALUES ('sysdb', 11, '00011-x.sqlite.sql', '', '')",
        }[spoilt]
        with closing(sqlite3.connect(directory / "chroma.sqlite3", isolation_level=None)) as database:
            database.execute(change)
    before = state(directory)
    source = open_source(directory)
    one = source.collections()[0]
    vector = [0.5] * one.dimension
    assert len(source.query(one, np.array([vector], np.float32), 3)[0]) == 3
    (tmp_path / "vector.json").write_text(json.dumps(vector))
    asked = ["-c", one.name, "-q", "x", "--question-vector", tmp_path / "vector.json", "--projection", "none"]
    answer = cli("export", directory, *asked, "--logdir", tmp_path / "logs")
    assert answer.code == 0, answer.err
    assert ("a private copy of it is made" in answer.err) == (spoilt != "older")
    assert cli("collections", directory).code == 0
    assert state(directory) == before


def test_a_damaged_directory_stays_as_it_was(cli, tmp_path):
    """Where nothing can be read, nothing is mended either."""
    directory = write_chroma(tmp_path / "db", collection(rows=3))
    database = directory / "chroma.sqlite3"
    database.write_bytes(database.read_bytes()[:5000])
    before = state(directory)
    for command in ("collections", "export", "evaluate"):
        words = write_inputs(tmp_path)
        more = {"export": ["-q", "x"], "evaluate": ["--questions", words["QUESTIONS"]]}.get(command, [])
        assert cli(command, directory, *more).code == 3
    assert state(directory) == before
