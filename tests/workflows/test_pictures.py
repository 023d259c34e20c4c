"""Layouts, glyphs and bookmarks of a run, as files."""

import json

import numpy as np
import pytest

import exporter
from exporter.errors import OutputError, UsageError
from exporter.runs.metadata import read_as_the_page_does
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
    starts = [
        "★ question ● top 4 ■ answer · keeps 4 of 4 near, trust 0.",
        "closer: the top 4",
        "top 4 in rank order · ",
    ]
    assert all(label.startswith(start) for label, start in zip(labels, starts, strict=True))
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
    board, umap, flat = run.to_json()["layouts"]
    assert (board["name"], umap["name"], flat["name"]) == ("around_question", "map", "flat map")
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


def test_the_dartboard_of_several(tmp_path):
    """With several questions the dartboard's rows are told as its own question sees them: labels, roles, lines."""
    vectors = np.random.default_rng(3).normal(size=(60, 8))
    directory = write_chroma(tmp_path / "db", collection(vectors=vectors))
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps((vectors[[0, 1, 2]] + 0.4).tolist()))
    order = np.argsort(np.linalg.norm(vectors - vectors[1] - 0.4, axis=1))
    run = exporter.export(
        directory,
        question=["one", "two", "three"],
        answer=["text 0", f"text {order[20]}", "text 2"],
        answer_match="regex",
        question_vector=asked,
        top_k=5,
        logdir=tmp_path / "logs",
    )
    assert run.facts["focus"] == 1
    (path,) = (run.path / "assets").glob("metadata-around_question-*.tsv")
    with path.open() as file:
        names, lines = read_as_the_page_does(file)
        rows = [dict(zip(names, line, strict=True)) for line in lines]
    hits = {row["id"]: row for row in rows if row["role"].startswith("retrieved")}
    assert set(hits) == {hit.id for hit in run.questions[1].hits}
    assert {row["__seq_next__"] for row in hits.values()} == {"61"}
    for hit in run.questions[1].hits:
        assert hits[hit.id]["label"].startswith(f"q2 #{hit.rank} ")
        assert hits[hit.id]["distance"] == f"{hit.distance:.9g}"
    selected = views(run, "around_question")[2]["selectedPoints"]
    assert [rows[row]["rank"] for row in selected] == ["0", "1", "2", "3", "4", "5"]
    others = views(run, "around_question")[3:]
    assert [view["label"] for view in others] == ["q1 one", "q3 three"]
    assert [view["selectedPoints"][0] for view in others] == [62, 60]
    assert faults(run.path) == []


def test_an_answer_to_another_question(tmp_path):
    """What one question retrieved is not marked as a found answer because it holds the answer to another."""
    vectors = np.eye(8)[[0, 1, 2, 3, 4, 5]] * 3
    directory = write_chroma(tmp_path / "db", collection(vectors=vectors))
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps([(np.eye(8)[0] * 2.9).tolist(), (np.eye(8)[3] * 2.9).tolist()]))
    run = exporter.export(
        directory, question=["a", "b"], answer=["text 3", "text 3"], question_vector=asked, top_k=1, logdir=tmp_path
    )
    roles = dict(zip(run.points["id"], run.points["role"], strict=True))
    assert (roles["id0"], roles["id3"]) == ("retrieved", "retrieved+answer")
    run = exporter.export(
        directory,
        question=["a", "b"],
        answer=["text 3", "nowhere"],
        question_vector=asked,
        top_k=1,
        logdir=tmp_path,
        run="b",
    )
    roles = dict(zip(run.points["id"], run.points["role"], strict=True))
    assert (roles["id0"], roles["id3"]) == ("retrieved", "retrieved")


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_any_scale(tmp_path, scale):
    """Vectors that float32 can't square are laid out as their multiples are."""
    vectors = np.random.default_rng(5).normal(size=(60, 8))
    asked = tmp_path / "asked.json"
    figures = []
    for name, factor in (("plain", 1), ("scaled", scale)):
        asked.write_text(json.dumps((vectors[4] * factor).tolist()))
        directory = write_chroma(tmp_path / name, collection(vectors=vectors * factor))
        run = exporter.export(directory, question="q", question_vector=asked, logdir=tmp_path / "logs", run=name)
        figures.append([layout["trustworthiness"] for layout in run.facts["layouts"]])
    np.testing.assert_allclose(*figures, atol=0.05)


def test_cosine_lays_out_directions(tmp_path):
    """By cosine a vector's length means nothing, so the map and its figures don't see it."""
    random = np.random.default_rng(6)
    vectors = random.normal(size=(80, 8))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    made = []
    for name, stored in (("long", unit * random.uniform(1, 50, (80, 1))), ("unit", unit)):
        directory = write_chroma(tmp_path / name, collection(vectors=stored, space="cosine"))
        asked = tmp_path / "asked.json"
        asked.write_text(json.dumps(unit[3].tolist()))
        run = exporter.export(directory, question="q", question_vector=asked, logdir=tmp_path / "logs", run=name)
        made.append(run.facts["layouts"][1]["trustworthiness"])
    assert made[0] == pytest.approx(made[1], abs=0.02)


def test_principal_axes_instead_of_umap(chroma, tmp_path):
    """--projection pca makes the map of principal axes, and the manifest says which library made it."""
    run = ask(chroma, tmp_path, projection="pca")
    assert [layout["made_by"] for layout in run.facts["layouts"]] == ["rank", "pca", "pca"]
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
    with pytest.raises(OutputError, match="nowhere"):
        plot(run.path, tmp_path / "nowhere" / "p.png")
    next((run.path / "assets").glob("flat-*")).unlink()
    with pytest.raises(OutputError, match="not whole"):
        plot(run.path, tmp_path / "p.png")


def test_a_figure(chroma, tmp_path):
    """`run.plot()` is a matplotlib figure with both halves."""
    assert len(exporter.open_run(ask(chroma, tmp_path).path).plot().axes) == 2


def test_the_pages_own_list(chroma, tmp_path):
    """The manifest says for each question which share of its top k the page's own list begins with: in stock
    TensorBoard by cosine, in ours by the collection's metric, where only another question can take a hit's place.
    """
    run = ask(chroma, tmp_path, question=["text 3", "text 3"], top_k=5, run="two")
    vectors = run.points.vectors.astype(float)
    away = 1 - vectors @ vectors[-1] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[-1])
    listed = [row for row in np.argsort(away, kind="stable").tolist() if row != len(vectors) - 1][:5]
    nearest = np.flatnonzero((run.points["rank"] >= 1) & (run.points["rank"] <= 5))
    share = len(set(listed) & set(nearest.tolist())) / 5
    assert 0 < share < 1
    for question in run.facts["questions"]:
        assert question["page_neighbours"] == {"stock": share, "ours": 0.8}


def test_the_pages_own_list_of_a_set(chroma, tmp_path, monkeypatch):
    """Of a whole set the shares are the same, however many questions are looked at together."""
    texts = [f"text {i}" for i in range(20)]
    plain = ask(chroma, tmp_path, question=texts, top_k=4, run="plain")
    monkeypatch.setattr("exporter.workflows.pictures._QUESTIONS_AT_ONCE", 7)
    monkeypatch.setattr("exporter.layouts.trust._ROWS_AT_ONCE", 11)
    again = ask(chroma, tmp_path, question=texts, top_k=4, run="again")
    asked = [{"question": text} for text in texts]
    whole = ask(chroma, tmp_path, question=(), question_set=asked, index=False, top_k=4, run="whole")
    shares = [question["page_neighbours"] for question in plain.facts["questions"]]
    assert len({share["stock"] for share in shares}) > 1
    for run in (again, whole):
        assert [question["page_neighbours"] for question in run.facts["questions"]] == shares
