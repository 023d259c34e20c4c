"""`compare` on the command line: two runs of one set, what it prints, and when it fails."""

import json

import numpy as np
import pytest

import exporter
from exporter.evaluation.metrics import MEASURES
from tests.conftest import collection, write_chroma
from tests.runs.test_dashboards import read, values
from tests.workflows.test_export import Lookup

ROWS = 30


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run `a`, whose vectors are wrong for ten questions of twelve, and run `b`, whose are right."""
    folder = tmp_path_factory.mktemp("compared")
    vectors = Lookup().vectors
    wrong = vectors.copy()
    wrong[:10] = -vectors[:10]
    asked = [{"id": f"s{i}", "question": f"text {i}", "relevant": [f"id{i}"]} for i in range(12)]
    made = {}
    for name, stored in (("a", wrong), ("b", vectors)):
        directory = write_chroma(folder / name, collection(vectors=stored))
        made[name] = exporter.export(
            directory, question_set=asked, model=Lookup(), logdir=folder / "logs", run=name, top_k=2, index=False
        )
    return made["a"].path, made["b"].path


def test_json(cli, runs):
    """--json prints one value with the keys that stay, and the planted difference is proven."""
    done = cli("compare", *runs, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["a"], found["b"], found["questions"]) == (*map(str, runs), 12)
    assert set(found["metrics"]) == {*MEASURES, "hit@2", "recall@2", "precision@2", "ndcg@2"}
    assert set(found["metrics"]["mrr"]) == {"a", "b", "difference", "low", "high", "p", "proven"}
    assert found["metrics"]["hit@1"]["b"] == 1
    assert found["metrics"]["mrr"]["proven"]
    assert found["won"] == [f"s{i}" for i in range(10)]
    assert found["lost"] == []
    changed = {(one["a"], one["b"]) for one in found["verdicts_changed"]}
    assert len(found["verdicts_changed"]) == 10
    assert {new for _, new in changed} == {"found"}
    assert all(one["b"] == 1 < one["a"] for one in found["rank_moves"])


def test_ranks_are_the_runs(runs):
    """The moves are those from the one run's first rank to the other's."""
    a, b = map(exporter.open_run, runs)
    found = exporter.compare(a, b)
    for pair in found.moved:
        number = int(pair.id[1:])
        assert pair.a.first_rank == a.questions[number].first_answer_rank
        assert pair.b.first_rank == b.questions[number].first_answer_rank


def test_table(cli, runs):
    """The table says better, or the same, or not proven, and how a rank moved."""
    done = cli("compare", *runs)
    assert done.out.startswith("A a, B b: 12 shared questions")
    assert "better" in done.out
    assert "won by B" in done.out
    found = json.loads(cli("compare", *runs, "--json").out)
    move = found["rank_moves"][0]
    assert f"{move['a']} -> {move['b']}" in done.out
    same = cli("compare", runs[0], runs[0])
    assert "same" in same.out
    assert "better" not in same.out


def test_settings(cli, runs, tmp_path):
    """What the two were made with stands first, where it differs; so in the joint run's README and text."""
    directory = write_chroma(tmp_path / "db", collection("smaller", rows=20, vectors=Lookup().vectors[:20]))
    asked = [{"id": f"s{i}", "question": f"text {i}", "relevant": [f"id{i}"]} for i in range(12)]
    exporter.export(directory, question_set=asked, model=Lookup(), logdir=tmp_path, run="c", top_k=7, index=False)
    done = cli("compare", runs[1], tmp_path / "c", "--logdir", tmp_path / "logs")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[2] == ["made", "with", "A", "B"]
    assert ["collection", "chunks", "smaller"] in lines
    assert ["k", "2", "7"] in lines
    assert ["chunks", "30", "20"] in lines
    joint = tmp_path / "logs" / "compare-b-c"
    assert "chunks  A 30, B 20" in (joint / "README.txt").read_text()
    assert "| chunks | 30 | 20 |" in values(read(joint), "comparison")[0][1].item().decode()


def test_one_question_more_is_not_proven(cli, tmp_path):
    """A single question won is a gain, and no proof."""
    vectors = Lookup().vectors
    asked = [{"question": f"text {i}", "relevant": [f"id{i}"]} for i in range(5)]
    for name, far in (("a", [0]), ("b", [])):
        stored = vectors.copy()
        stored[far] = -vectors[far]
        directory = write_chroma(tmp_path / name, collection(vectors=stored))
        exporter.export(directory, question_set=asked, model=Lookup(), logdir=tmp_path, run=f"run-{name}", index=False)
    done = cli("compare", tmp_path / "run-a", tmp_path / "run-b")
    assert "not proven" in done.out
    assert "better" not in done.out


@pytest.mark.parametrize("more", [(), ("--quiet",)])
def test_markdown(cli, runs, more):
    """--markdown is whole tables, which --quiet leaves, as it leaves --json."""
    lines = cli("compare", *runs, "--markdown", *more).out.splitlines()
    assert lines[0].startswith("### A a, B b")
    assert sum(line.startswith("|---") for line in lines) == 5


@pytest.mark.parametrize(
    ("order", "least", "code"),
    [(1, "hit@1=0", 0), (-1, "hit@1=0", 10), (1, "mrr=0.99", 10), (-1, "hit@20=-1", 0)],
)
def test_min_gain(cli, runs, order, least, code):
    """B may not be worse than A by more than is asked; the report is printed all the same."""
    done = cli("compare", *runs[::order], "--min-gain", least)
    assert done.code == code
    assert "shared questions" in done.out
    if code:
        assert least.split("=")[0] in done.err


def test_no_change_is_no_loss(cli, runs):
    """A run against itself gains nothing, and so misses no gain of 0."""
    assert cli("compare", runs[0], runs[0], "--min-gain", "mrr=0", "--quiet").code == 0


@pytest.mark.parametrize("bad", ["hit@5", "hit@5=x", "speed=0", "hit@5=2"])
def test_wrong_gains(cli, runs, bad):
    """An unknown metric, or no number, is a usage error."""
    assert cli("compare", *runs, "--min-gain", bad).code == 2


def test_no_set(cli, runs, chroma, tmp_path):
    """A run of a single question is refused with what to do, a folder that is no run by exit code 7."""
    np.save(tmp_path / "vector.npy", Lookup().vectors[:1])
    run = exporter.export(chroma, question="?", question_vector=tmp_path / "vector.npy", logdir=tmp_path / "logs")
    done = cli("compare", run.path, runs[1])
    assert done.code == 2
    assert "--questions" in done.err
    assert cli("compare", tmp_path, runs[1]).code == 7
