"""Two runs on one map: where the rows stand, what joins them, and what says so."""

import json

import numpy as np
import pytest

import exporter
from exporter.errors import OutputError, UsageError
from exporter.runs.folder import METADATA
from exporter.runs.metadata import LINES, read_as_the_page_does
from exporter.runs.verify import faults, read_tensor
from exporter.workflows.base import read_base
from exporter.workflows.compare import compare, join
from tests.conftest import collection, write_chroma
from tests.runs.test_dashboards import read, values
from tests.workflows.test_export import Lookup

ROWS, ASKED = 30, 12
QUESTIONS = [{"id": f"s{i}", "question": f"text {i}", "relevant": [f"id{i}"]} for i in range(ASKED)]


def exported(folder, name, vectors, ids=None, **options):
    stored = collection(vectors=vectors)
    stored["ids"] = ids or stored["ids"]
    directory = write_chroma(folder / name, stored)
    given = {"question_set": QUESTIONS, "model": Lookup(), "logdir": folder / "logs", "index": False, "top_k": 2}
    return exporter.export(directory, run=name, **{**given, **options})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs whose first five chunks have other vectors."""
    folder = tmp_path_factory.mktemp("joint")
    vectors = Lookup().vectors
    other = vectors.copy()
    other[:5] = -vectors[:5]
    return [exported(folder, name, stored, projection="pca") for name, stored in (("a", other), ("b", vectors))]


@pytest.fixture(scope="module")
def joint(runs):
    return join(*runs, compare(*runs), logdir=runs[0].path.parent, run="joint")


def cells(run):
    with (run.path / METADATA).open() as file:
        names, lines = read_as_the_page_does(file)
        return dict(zip(names, zip(*lines, strict=True), strict=True))


def joint_map(run):
    entry = next(entry for entry in run.facts["tensors"] if entry["kind"] == "joint_map")
    return read_tensor(run.path, entry["file"], tuple(entry["shape"])).astype(float)


def test_the_run_is_whole(joint):
    """It has no fault, and all rows of both."""
    assert faults(joint.path) == []
    assert len(joint.points) == 2 * (ROWS + ASKED)
    assert joint.points["is_question"].sum() == 2 * ASKED


def test_each_question_is_joined_to_itself(joint):
    """A line goes from each question in A to the same in B, which are the last rows, and from nothing else."""
    rows = cells(joint)
    lines = {row: int(end) for row, end in enumerate(rows[LINES]) if end}
    assert len(lines) == ASKED
    for row, end in lines.items():
        assert (rows["system"][row], rows["system"][end]) == ("A", "B")
        assert rows["text"][row] == rows["text"][end]
        assert rows["is_question"][row] == rows["is_question"][end] == "true"
        assert rows[LINES][end] == ""
        assert end >= len(rows["id"]) - ASKED  # so no line closes a circle in what "Isolate" leaves


def test_the_ranks_that_changed_most(joint, runs):
    """A bookmark selects, in A and in B, the questions whose rank changed, the largest change first; where none did,
    there is none.
    """
    found = compare(*runs)
    rows = cells(joint)
    (path,) = (path for path in joint.path.glob("assets/bookmarks-joint*") if path.is_file())
    view = json.loads(path.read_text())[2]
    assert view["label"] == "ranks that changed most"
    told = [(rows["system"][row], rows["text"][row]) for row in view["selectedPoints"]]
    assert told == [(system, pair.a.text) for pair in found.moved[:10] for system in "AB"]


def test_distances_within_a_system_stay(joint, runs):
    """A's map is as it was, B's too but for its scale: both are only turned, moved and stretched evenly."""
    places = joint_map(joint)
    rows = cells(joint)
    for run, system in zip(runs, "AB", strict=True):
        entry = next(entry for entry in run.facts["tensors"] if entry["kind"] == "map")
        own = read_tensor(run.path, entry["file"], tuple(entry["shape"])).astype(float)
        there = {key: row for row, key in enumerate(zip(rows["system"], rows["id"], strict=True))}
        seen = places[[there[system, id] for id in cells(run)["id"]]]
        apart = [np.linalg.norm(one[:, None] - one[None], axis=2)[np.triu_indices(len(one), 1)] for one in (own, seen)]
        ratio = apart[1] / apart[0]
        assert ratio.std() / ratio.mean() < 1e-3
        assert system == "B" or ratio.mean() == pytest.approx(1, rel=1e-3)


def test_one_run_with_itself(runs, tmp_path):
    """Laid over itself, each row lies where its twin is, and nothing is left of the spread."""
    run = join(runs[1], runs[1], compare(runs[1], runs[1]), logdir=tmp_path, run="twice")
    places, rows = joint_map(run), cells(run)
    where = {key: places[row] for row, key in enumerate(zip(rows["system"], rows["id"], strict=True))}
    assert all(np.allclose(where["A", id], where["B", id], atol=1e-4) for id in rows["id"])
    assert run.facts["overlay"]["apart"] == pytest.approx(0, abs=1e-9)
    assert run.facts["overlay"]["by"] == "chunks"
    assert run.facts["overlay"]["shared"] == ROWS
    (path,) = run.path.glob("assets/bookmarks-joint*")
    assert len(json.loads(path.read_text())) == 2  # no rank changed, so none is selected


def test_other_chunks(runs, tmp_path):
    """Where the chunking differs, the questions are what both share."""
    other = exported(tmp_path, "c", Lookup().vectors, ids=[f"new{i}" for i in range(ROWS)], projection="pca")
    run = join(runs[1], other, compare(runs[1], other), logdir=tmp_path / "logs", run="joint")
    assert run.facts["overlay"]["by"] == "questions"
    assert run.facts["overlay"]["shared"] == ASKED
    assert faults(run.path) == []


def test_what_is_told(joint, runs):
    """Label, `moved` and `verdict` of a question tell its change; manifest, README and the Text tab the comparison."""
    found = compare(*runs)
    rows = cells(joint)
    assert "chunks  A" not in (joint.path / "README.txt").read_text()  # the settings do not differ
    for pair in found.pairs:
        row = rows["text"].index(pair.a.text, 2 * ROWS)
        assert rows["moved"][row] == f"rank {pair.a.first_rank} -> rank {pair.b.first_rank}"
        assert rows["label"][row].startswith(f"★ A rank {pair.a.first_rank} -> rank {pair.b.first_rank}: ")
        assert rows["verdict"][row] == pair.a.verdict
    assert joint.facts["comparison"]["won"] == list(found.won)
    assert "Procrustes" in (joint.path / "README.txt").read_text()
    events = read(joint.path)
    gain = float(values(events, "gain/mrr")[0][1])
    assert gain == pytest.approx(found.metrics["mrr"].difference, rel=1e-6)
    text = values(events, "comparison")[0][1].item().decode()
    assert "| mrr |" in text
    assert f"won by B: {', '.join(found.won)}" in text
    assert "lost by B: none" in text


def test_other_dimensions(runs, tmp_path):
    """Vectors of another model with fewer dimensions stand in the same space, padded by zeros."""
    narrow = Lookup().vectors[:, :5]
    np.save(tmp_path / "asked.npy", narrow[:ASKED])
    options = {"model": "auto", "question_vector": tmp_path / "asked.npy", "projection": "pca"}
    other = exported(tmp_path, "narrow", narrow, **options)
    run = join(runs[1], other, compare(runs[1], other), logdir=tmp_path / "logs", run="joint")
    assert run.points.vectors.shape == (2 * (ROWS + ASKED), 8)
    assert faults(run.path) == []


def test_no_map(runs, tmp_path):
    """A run without a map is refused, and so is a name that is taken."""
    other = exported(tmp_path, "plain", Lookup().vectors, projection="none")
    with pytest.raises(UsageError, match="no map"):
        join(runs[0], other, compare(runs[0], other), logdir=tmp_path / "logs")
    with pytest.raises(OutputError, match="exists"):
        join(*runs, compare(*runs), logdir=runs[0].path.parent, run="a")


def test_what_it_is_not(joint):
    """It can't be asked, plotted, or compared again, each said in a line; as JSON it is the comparison."""
    with pytest.raises(UsageError, match="two runs on one map"):
        read_base(joint.path)
    with pytest.raises(OutputError, match="without a layout"):
        joint.plot()
    with pytest.raises(UsageError, match="compare those, a and b, themselves"):
        compare(joint, joint)
    assert joint.to_json()["questions"] == ASKED


def test_handed_on(joint, tmp_path):
    """It is shared as one page, with the figures beside the map, as an archive, or as points."""
    lines = []
    page = exporter.share(joint.path, tmp_path / "joint.html", notice=lines.append).read_text()
    assert "<title>a and b" in page
    figures = joint.facts["comparison"]["metrics"]["mrr"]
    cells = "".join(f'<td class="number">{figures[side]:.3f}</td>' for side in "ab")
    assert f"<tr><td>mrr</td>{cells}" in page
    assert f"{2 * ASKED} questions" in lines[0]
    assert f"of {2 * ROWS} chunks" in lines[0]
    for kind in ("zip", "parquet"):
        exporter.share(joint.path, tmp_path / f"joint.{kind}")


def test_on_the_command_line(runs, tmp_path, capsys):
    """--logdir writes the run and says so; without it nothing is written."""
    from exporter.cli.app import run

    arguments = ["compare", *(str(one.path) for one in runs), "--json"]
    before = sorted(path.name for path in runs[0].path.parent.iterdir())
    assert run(arguments) == 0
    assert "run" not in json.loads(capsys.readouterr().out)
    assert run([*arguments, "--logdir", str(tmp_path / "logs")]) == 0
    written = json.loads(capsys.readouterr().out)["run"]
    assert written == str(tmp_path / "logs" / "compare-a-b")
    assert faults(tmp_path / "logs" / "compare-a-b") == []
    assert sorted(path.name for path in runs[0].path.parent.iterdir()) == before
