"""Wrong input: one line that says what to do, its own exit code, nothing written, no traceback."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import ExporterError
from tests.conftest import collection, write_chroma

ROOT = Path(__file__).parents[2]


def edit(directory, statement, *values):
    database = sqlite3.connect(directory / "chroma.sqlite3")
    database.execute(statement, values)
    database.commit()
    database.close()


@pytest.fixture
def own(chroma, tmp_path):
    """A copy of the small collection, to be damaged."""
    return Path(shutil.copytree(chroma, tmp_path / "own"))


def no_directory(tmp_path, **_):
    return [tmp_path / "nowhere"], 3, "nowhere"


def no_database(tmp_path, **_):
    (tmp_path / "plain").mkdir()
    return [tmp_path / "plain"], 3, "chroma.sqlite3"


def lfs_pointer(tmp_path, **_):
    (tmp_path / "lfs").mkdir()
    (tmp_path / "lfs" / "chroma.sqlite3").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    return [tmp_path / "lfs"], 3, "git lfs pull"


def before_0_4(tmp_path, **_):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "chroma-embeddings.parquet").write_bytes(b"PAR1")
    return [tmp_path / "old"], 3, "chroma-collections.parquet can't be read"


def no_collection(tmp_path, own, **_):
    edit(own, "delete from collections")
    return [own], 4, "no collection"


def several(tmp_path, **_):
    return [write_chroma(tmp_path / "two", collection("one"), collection("two"))], 4, "one, two"


def empty(tmp_path, **_):
    return [write_chroma(tmp_path / "empty", collection("nothing", vectors=np.zeros((0, 3))))], 4, "empty"


def typo(own, **_):
    return [own, "-c", "chnuks"], 4, "did you mean chunks"


def without_vectors(own, **_):
    edit(own, "update embeddings_queue set vector = null, encoding = null")
    return [own], 6, "vector"


def not_a_number(own, **_):
    broken = np.full(8, np.nan, "<f4")
    broken[0] = 1
    edit(own, "update embeddings_queue set vector = ? where id = 'id7'", broken.tobytes())
    return [own], 6, "'id7'"


def blank_question(own, **_):
    return [own, "-q", " \t"], 2, "blank"


def no_question(own, **_):
    return [own, "--question-vector", ""], 2, "question"


def unknown_model(own, **_):
    return [own, "-m", "./no-such-model", "-q", "x"], 5, "no-such-model"


def unknown_dimension(own, **_):
    return [own, "-q", "x"], 5, "8 dimensions"


def dimension_clash(own, tmp_path, **_):
    (tmp_path / "three.json").write_text("[1, 2, 3]")
    return [own, "--question-vector", tmp_path / "three.json"], 5, "3 dimensions"


def log_directory_is_a_file(own, tmp_path, **_):
    (tmp_path / "file").write_text("")
    return [own, "--logdir", tmp_path / "file"], 7, "--logdir"


def existing_run(own, tmp_path, **_):
    (tmp_path / "logs" / "there").mkdir(parents=True)
    return [own, "--logdir", tmp_path / "logs", "--run", "there"], 7, "--overwrite"


def bad_run_name(own, **_):
    return [own, "--run", "../up"], 2, "--run"


def where_no_json(own, **_):
    return [own, "--where", "{source: x}"], 11, "not JSON"


def where_unknown_operator(own, **_):
    return [own, "--where", '{"page": {"$near": 3}}'], 11, "$near"


def where_leaves_nothing(own, **_):
    return [own, "--where", '{"source": "nowhere"}'], 11, "leaves no chunk"


def bad_pattern(own, **_):
    return [own, "-a", "(", "--answer-match", "regex"], 11, "regular expression"


def too_many_points(own, **_):
    return [own, "--max-points", "100001"], 2, "100,000"


def no_server(**_):
    return ["http://127.0.0.1:9"], 9, "127.0.0.1"


CASES = [
    no_directory,
    no_database,
    lfs_pointer,
    before_0_4,
    no_collection,
    several,
    empty,
    typo,
    without_vectors,
    not_a_number,
    blank_question,
    no_question,
    unknown_model,
    unknown_dimension,
    dimension_clash,
    log_directory_is_a_file,
    existing_run,
    bad_run_name,
    where_no_json,
    where_unknown_operator,
    where_leaves_nothing,
    bad_pattern,
    too_many_points,
    no_server,
]


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_line_and_its_code(case, cli, own, tmp_path, vector):
    """Each kind of wrong input ends with its code and one line that names it; no file appears or changes."""
    arguments, code, words = case(own=own, tmp_path=tmp_path)
    if not {"-q", "--question-vector"} & set(map(str, arguments)):
        arguments = [*arguments, "--question-vector", vector]
    before = contents(tmp_path)
    done = cli("export", *arguments)
    assert done.code == code, done.err
    assert words in done.err
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1 or code == 2
    assert "Traceback" not in done.err
    assert contents(tmp_path) == before
    assert list(done.folder.iterdir()) == []


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.__name__)
def test_errors_as_json(case, cli, own, tmp_path, vector):
    """With --json an error is one JSON value on stderr, with message and code."""
    arguments, code, words = case(own=own, tmp_path=tmp_path)
    told = json.loads(cli("export", *arguments, "--question-vector", vector, "--json").err)
    assert told["exit_code"] == code
    assert words in told["error"]


def test_hot_journal(cli, own, vector):
    """A journal that a crashed writer left is told, and neither rolled back nor removed."""
    script = """
    import os, sqlite3, sys
    database = sqlite3.connect(sys.argv[1], isolation_level=None)
    database.execute("pragma cache_size = 2")
    database.execute("begin immediate")
    database.execute("update embedding_metadata set string_value = string_value || 'x'")
    database.execute("create table filler as select randomblob(4000) from embedding_metadata")
    os.kill(os.getpid(), 9)
    """
    program = "\n".join(line[4:] for line in script.splitlines())
    subprocess.run([sys.executable, "-c", program, str(own / "chroma.sqlite3")])
    assert (own / "chroma.sqlite3-journal").stat().st_size > 0
    before = contents(own)
    done = cli("export", own, "--question-vector", vector)
    assert done.code == 3
    assert "journal" in done.err
    assert contents(own) == before


def test_full_disk(cli, own, vector, tmp_path):
    """On a full disk the old run stays, and the line says so."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("a small tmpfs can't be mounted here, so the disk can't be filled")
    try:
        asked = ("export", own, "--question-vector", vector, "--logdir", small / "logs", "--run", "a", "--overwrite")
        assert cli(*asked).code == 0
        before = contents(small / "logs")
        (small / "filler").write_bytes(bytes(os.statvfs(small).f_bavail * os.statvfs(small).f_bsize))
        done = cli(*asked)
        assert done.code == 7
        assert "disk is full" in done.err
        assert contents(small / "logs") == before
        assert sorted(path.name for path in small.iterdir()) == ["filler", "logs"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_interrupted(own, vector, tmp_path):
    """^C ends with 130, one line, and nothing half-written."""
    script = (
        "import exporter.workflows.ranking as e, exporter.cli.app as a, time, sys\n"
        "e.arrange = lambda *x, **y: (print('there', flush=True), time.sleep(60))\n"
        "a.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "export", str(own), "--question-vector", str(vector)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told.strip() == "Error: interrupted"
    assert not (tmp_path / "logs").exists()


def test_a_fault_of_ours(cli, own, vector, monkeypatch):
    """An exception that nobody foresaw ends with 1 and one line; --debug shows its traceback."""

    def fail(*_, **__):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("exporter.workflows.ranking.arrange", fail)
    asked = ("export", own, "--question-vector", vector)
    done = cli(*asked)
    assert done.code == 1
    assert len(done.err.strip().splitlines()) == 1
    assert "report" in done.err
    assert "Traceback" in cli(*asked, "--debug").err


def test_nobody_reads_stdout(own):
    """When the reader of stdout has gone, that is no error."""
    command = f"{sys.executable} -m exporter collections {own} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_secret_stays_secret(cli, monkeypatch):
    """A token that no header may hold is refused without being shown."""
    monkeypatch.setenv("CHROMA_API_KEY", "s3cret\r")
    done = cli("collections", "http://127.0.0.1:9")
    assert done.code == 2
    assert "s3cret" not in done.err


def test_strict_model(cli, demo_directory, tmp_path):
    """A model that did not make the collection is a warning, and with --strict-model an error."""
    (tmp_path / "other").mkdir()
    copy = Path(shutil.copytree(demo_directory, tmp_path / "copy"))
    random = np.random.default_rng(0)
    database = sqlite3.connect(copy / "chroma.sqlite3")
    rows = [row for (row,) in database.execute("select seq_id from embeddings_queue where vector is not null")]
    database.executemany(
        "update embeddings_queue set vector = ? where seq_id = ?",
        [(random.normal(size=384).astype("<f4").tobytes(), row) for row in rows],
    )
    database.commit()
    database.close()
    shutil.rmtree(next(path for path in copy.iterdir() if path.is_dir()))
    done = cli("export", copy, "-q", "How do I pause?", "--logdir", tmp_path / "logs")
    assert done.code == 0, done.err
    assert "median cosine of" in done.err
    done = cli("export", copy, "-q", "How do I pause?", "--logdir", tmp_path / "logs", "--strict-model", "-n", "again")
    assert done.code == 5
    assert not (tmp_path / "logs" / "again").exists()


def test_serving_nothing(cli, tmp_path):
    """No log directory, and one without runs, can't be served; the next step is named."""
    assert cli("tensorboard", tmp_path / "nowhere").code == 8
    (tmp_path / "bare").mkdir()
    done = cli("tensorboard", tmp_path / "bare")
    assert done.code == 8
    assert "export" in done.err


def test_a_faulty_run(cli, own, vector):
    """Verify ends with 10 and names the faults; with 0 for a whole run."""
    assert cli("export", own, "--question-vector", vector, "-n", "a").code == 0
    assert cli("verify", "logs/a").code == 0
    (Path("logs/a/vectors.tsv")).write_text("1\t2\n")
    done = cli("verify", "logs/a")
    assert done.code == 10
    assert "vectors.tsv" in done.out
    told = json.loads(cli("verify", "logs/a", "--json").out)
    assert told["ok"] is False
    assert len(told["faults"]) == 1


def test_every_code_is_documented_and_tested():
    """docs/exit-codes.md lists every code that an error carries, and each is met by a test in this file."""
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "docs/exit-codes.md").read_text(), re.M)}
    kinds = set()
    todo = [ExporterError]
    while todo:
        kind = todo.pop()
        kinds.add(kind.exit_code)
        todo += kind.__subclasses__()
    assert listed == kinds | {0, 130}
    tested = {int(code) for code in re.findall(r"(?:code == |\], |returncode == )(\d+)", Path(__file__).read_text())}
    assert listed <= tested
