"""Layouts, glyphs and bookmarks of a run, as files."""

import json

import numpy as np
import pytest

import exporter
from exporter.errors import OutputError, UsageError
from exporter.runs.verify import faults, read_tensor
from exporter.workflows.plot import plot
from tests.conftest import collection, write_chroma
from tests.workflows.test_export import ask


def names(run):
    return [entry["name"].rsplit(" ", 1)[0] for entry in run.facts["tensors"]]


def tensor(run, kind):
    entry = next(entry for entry in run.facts["tensors"] if entry["kind"] == kind)
    return read_tensor(run.path, entry["file"], tuple(entry["shape"]))


def views(run, kind):
    (path,) = (run.path / "assets").glob(f"bookmarks-{kind}-*.json")
    return json.loads(path.read_text())


def test_three_tensors(chroma, tmp_path):
    """The dartboard comes first by name, then the map, then all dimensions; every file is whole."""
    run = ask(chroma, tmp_path, answer="text 7")
    assert names(run) == ["around_question", "map", "vectors"]
    assert faults(run.path) == []
    board = tensor(run, "around_question")
    np.testing.assert_allclose(board[-1, :2], 0, atol=2e-5)
    radius = np.hypot(board[:-1, 0], board[:-1, 1])
    assert (np.diff(radius[run.points["rank"][:-1].argsort()]) > 0).all()


def test_bookmarks(chroma, tmp_path):
    """The first bookmark is the legend, nothing selected; the ranked one selects the question and its hits in order."""
    run = ask(chroma, tmp_path, top_k=4)
    labels = [view["label"] for view in views(run, "around_question")]
    assert labels == ["★ question ● top 4 ■ answer", "closer: the top 4", "top 4 in rank order"]
    for kind in ("around_question", "map", "vectors"):
        shown = views(run, kind)
        assert shown[0]["selectedPoints"] == []
        ranked = next(view for view in shown if "rank order" in view["label"])
        assert [run.points["rank"][row] for row in ranked["selectedPoints"]] == [0, 1, 2, 3, 4]
    figures = next(layout for layout in run.facts["layouts"] if layout["name"] == "map")
    assert f"keeps {figures['kept_top_k'][0]} of 4" in views(run, "map")[0]["label"]


def test_figures(chroma, tmp_path):
    """Each layout has its trustworthiness and how many of the top k it keeps: the dartboard all of them."""
    run = ask(chroma, tmp_path, question=["text 3", "text 9"], top_k=5)
    board, umap = run.to_json()["layouts"]
    assert (board["name"], umap["name"]) == ("around_question", "map")
    assert board["kept_top_k"][0] == 5
    assert len(umap["kept_top_k"]) == 2
    assert 0 < umap["trustworthiness"] <= 1


def test_the_missed_question_is_in_the_middle(chroma, tmp_path):
    """Of several questions the dartboard is about the first missed one; the others have a bookmark each."""
    run = ask(chroma, tmp_path, question=["text 3", "text 9"], answer=["text 3", "text 20"], top_k=2)
    assert run.questions[1].first_answer_rank > 2
    assert run.facts["focus"] == 1
    board = tensor(run, "around_question")
    np.testing.assert_allclose(board[-2, :2], 0, atol=2e-5)
    other = views(run, "around_question")[-1]
    assert other["label"] == "q1 text 3"
    assert [other["projections"][-1][f"umap-{i}"] for i in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(("open_on", "first"), [("map", "1 map"), ("vectors", "1 vectors")])
def test_open_on(chroma, tmp_path, open_on, first):
    """Another first view gets a number in front, as the page opens the first by name."""
    run = ask(chroma, tmp_path, open_on=open_on)
    assert sorted(names(run))[0] == first
    assert len(names(run)) == 3


def test_no_projection(chroma, tmp_path):
    """Without a projection there are the vectors alone, and no picture."""
    run = ask(chroma, tmp_path, projection="none")
    assert names(run) == ["vectors"]
    assert not (run.path / "picture.png").exists()
    with pytest.raises(OutputError, match="without a layout"):
        run.plot()


def test_no_sprites_no_lines(chroma, tmp_path):
    """Without sprites and lines there are none."""
    run = ask(chroma, tmp_path, sprites=False, lines=False)
    assert not list((run.path / "assets").glob("*.png"))
    assert "__seq_next__" not in run.points.columns
    assert faults(run.path) == []


@pytest.mark.parametrize(
    ("rows", "expected"), [(3, ["1 vectors", "2 map"]), (4, ["around_question", "map", "vectors"])]
)
def test_few_chunks(tmp_path, rows, expected):
    """Below four chunks there is no dartboard, and the run opens on the vectors."""
    run = ask(write_chroma(tmp_path / "db", collection(rows=rows)), tmp_path, question="text 0")
    assert names(run) == expected
    assert (run.path / "picture.png").exists()


def test_principal_axes_instead_of_umap(chroma, tmp_path):
    """--projection pca makes the map of principal axes, and the manifest says which library made it."""
    run = ask(chroma, tmp_path, projection="pca")
    assert [layout["made_by"] for layout in run.facts["layouts"]] == ["rank", "pca"]
    spread = tensor(run, "map").std(axis=0)
    assert spread[0] >= spread[1] >= spread[2]


def test_readme_and_picture(chroma, tmp_path):
    """The run explains itself: README.txt with question, verdict and hits, and a picture."""
    run = ask(chroma, tmp_path, answer="text 7")
    told = (run.path / "README.txt").read_text()
    assert "Question: text 3" in told
    assert run.questions[0].verdict in told
    assert all(hit.text in told for hit in run.questions[0].hits)
    assert (run.path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png" in run._repr_html_()


def test_the_readme_tells_what_is_there(chroma, tmp_path):
    """README.txt speaks of glyphs, lines, pictures and columns of this run, and of no others."""
    told = (ask(chroma, tmp_path).path / "README.txt").read_text()
    assert all(word in told for word in ("Glyphs:", "Lines join", "around_question", "UMAP", "vectors: all"))
    assert "question (the nearest one)" not in told
    options = {"projection": "pca", "sprites": False, "lines": False, "question": ["text 3", "text 9"]}
    told = (ask(chroma, tmp_path, run="plain", **options).path / "README.txt").read_text()
    assert all(word in told for word in ("principal axes", "question (the nearest one)"))
    assert not any(word in told for word in ("Glyphs:", "Lines join", "UMAP"))
    told = (ask(chroma, tmp_path, run="bare", projection="none").path / "README.txt").read_text()
    assert "vectors: all" in told
    assert not any(word in told for word in ("around_question", "map:"))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_plot(chroma, tmp_path, kind):
    """A stored run is drawn as at its export; another kind of file is refused."""
    run = ask(chroma, tmp_path, answer="text 7", question=["text 3", "text 9"])
    drawn = plot(run.path, tmp_path / f"p.{kind}")
    assert drawn.stat().st_size > 1000
    if kind == "png":
        assert drawn.read_bytes() == (run.path / "picture.png").read_bytes()
    with pytest.raises(UsageError, match=r"\.svg"):
        plot(run.path, tmp_path / "p.docx")


def test_a_figure(chroma, tmp_path):
    """`run.plot()` is a matplotlib figure with both halves."""
    assert len(exporter.open_run(ask(chroma, tmp_path).path).plot().axes) == 2
