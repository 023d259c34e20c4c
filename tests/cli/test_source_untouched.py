"""Whatever is typed, the user's directory keeps every byte."""

import hashlib
import json

import pytest

from tests.conftest import collection, write_chroma

COMMANDS = {
    "collections": [],
    "export": ["-q", "text 3", "-a", "text 3", "--question-vector", "VECTOR", "--logdir", "LOGS"],
    "evaluate": ["--questions", "QUESTIONS", "--question-vector", "VECTOR", "--logdir", "LOGS", "-k", "3"],
}


def state(directory):
    return {
        path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_file_stays_as_it_was(command, cli, chroma, tmp_path):
    """The same files, sha256 and times before and after each command that reads a collection."""
    (tmp_path / "vector.json").write_text(json.dumps([0.5] * 8))
    (tmp_path / "questions.jsonl").write_text(json.dumps({"question": "text 3", "answers": ["text 3"]}))
    names = {"VECTOR": "vector.json", "QUESTIONS": "questions.jsonl", "LOGS": "logs"}
    arguments = [str(tmp_path / names[one]) if one in names else one for one in COMMANDS[command]]
    before = state(chroma)
    assert cli(command, chroma, *arguments).code == 0
    assert state(chroma) == before


def test_a_damaged_directory_stays_as_it_was(cli, tmp_path):
    """Where nothing can be read, nothing is mended either."""
    directory = write_chroma(tmp_path / "db", collection(rows=3))
    database = directory / "chroma.sqlite3"
    database.write_bytes(database.read_bytes()[:5000])
    before = state(directory)
    for command in ("collections", "export"):
        assert cli(command, directory, *(["-q", "x"] if command == "export" else [])).code == 3
    assert state(directory) == before
