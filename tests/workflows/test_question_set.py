"""A run of a whole question set: every question a row, what it says of each chunk, and the hardest ones' bookmarks."""

import json

import numpy as np
import pytest

import exporter
from exporter.errors import ModelError, UsageError
from exporter.evaluation.metrics import measures
from exporter.records import Batch, Question
from exporter.retrieval import scan as module
from exporter.retrieval.answers import match_any
from exporter.retrieval.scan import Query, scan, survey
from exporter.runs.sprites import LEFT_OUT
from exporter.runs.verify import faults, read_tensor
from exporter.workflows.evaluate import EvaluateRequest, evaluate_and_export
from tests.conftest import collection, write_chroma
from tests.workflows.test_export import Lookup

VECTORS = Lookup().vectors
ASKED = [
    *({"id": f"own {i}", "question": f"text {i}", "answers": [f"text {i}"]} for i in range(3, 10)),
    *({"id": f"far {i}", "question": f"text {i}", "relevant": [f"id{(i + 11) % 30}"]} for i in range(10, 29)),
    {"id": "nowhere", "question": "text 29", "answers": ["no\twhere"]},
    {"id": "unknown", "question": "text 0"},
]


def ask(source, tmp_path, **options):
    given = {
        "question_set": ASKED,
        "model": Lookup(),
        "logdir": tmp_path / "logs",
        "top_k": 4,
        "index": False,
        **options,
    }
    return exporter.export(source, **given)


@pytest.fixture(scope="module")
def run(chroma, tmp_path_factory):
    return ask(chroma, tmp_path_factory.mktemp("set"))


def exact():
    """(q, n) ranks, worked out here."""
    asked = np.stack([VECTORS[int(one["question"].split()[1])].astype(np.float32) + np.float32(0.01) for one in ASKED])
    away = np.linalg.norm(asked[:, None].astype(float) - VECTORS[None].astype(float), axis=2)
    return away, np.argsort(np.argsort(away, axis=1), axis=1) + 1


def test_the_run_is_whole(run):
    """It has a name of the set, its questions.tsv, and no fault."""
    assert run.path.name == "chunks-questions"
    assert faults(run.path) == []
    assert "questions.tsv" in run.facts["files"]


def test_every_question_is_a_row(run):
    """The first question is the last row."""
    points = run.points
    assert points["is_question"].sum() == len(ASKED)
    assert points["text"][points["is_question"]].tolist() == [one["question"] for one in reversed(ASKED)]
    assert points["label"][-1].startswith("★ q1 text 3")


@pytest.mark.parametrize("top_k", [1, 4])
def test_columns_of_a_chunk(chroma, tmp_path, top_k):
    """Its nearest question, how far, its rank there, and for how many questions it came back, never included."""
    away, ranks = exact()
    points = ask(chroma, tmp_path, top_k=top_k).points
    times = (ranks <= top_k).sum(axis=0)
    assert (times == 0).any() == (top_k == 1)
    for row in np.flatnonzero(~points["is_question"]):
        chunk = int(points["id"][row][2:])
        nearest = int(np.argmin(away[:, chunk]))
        assert points["question"][row] == f"q{nearest + 1}"
        assert points["distance"][row] == pytest.approx(away[nearest, chunk], rel=1e-4)
        assert points["rank"][row] == ranks[nearest, chunk]
        assert points["times_retrieved"][row] == times[chunk]
    assert set(points["times_retrieved"][points["is_question"]]) == {-1}


def test_answer_flags(run):
    """A chunk that is right for any question is marked, whether its words or its id say so."""
    points = run.points
    right = {f"id{i}" for i in range(3, 10)} | {one["relevant"][0] for one in ASKED if "relevant" in one}
    marked = set(points["id"][points["contains_answer"]])
    assert marked == right


def test_figures(run, chroma):
    """The manifest's figures, verdicts and findings are those of `evaluate`."""
    found = exporter.evaluate(chroma, ASKED, model=Lookup(), top_k=4, index=False)
    assert run.evaluation["metrics"] == found.to_json()["metrics"]
    assert run.evaluation["verdicts"] == found.verdicts
    assert run.evaluation["findings"] == found.to_json()["findings"]
    assert [one["verdict"] for one in run.evaluation["per_question"]] == [
        one.verdict.kind for one in found.per_question
    ]
    assert [one.first_answer_rank for one in run.questions] == [one.first_rank for one in found.per_question]
    assert [[hit.id for hit in one.hits] for one in run.questions] == [
        list(one.ranking[:4]) for one in found.per_question
    ]
    assert run.to_json()["evaluation"]["questions"] == len(ASKED)


def test_questions_tsv(run):
    """A line a question, its name in metadata.tsv, verdict and every measure; -1 where there is no figure."""
    lines = [line.split("\t") for line in (run.path / "questions.tsv").read_text().splitlines()]
    names = lines[0]
    assert names == [
        "question",
        "id",
        "text",
        "verdict",
        "evidence",
        "repair",
        "first_rank",
        "right_chunks",
        *measures(4),
    ]
    assert {len(line) for line in lines} == {len(names)}
    rows = [dict(zip(names, line, strict=True)) for line in lines[1:]]
    assert [row["id"] for row in rows] == [one["id"] for one in ASKED]
    assert (rows[0]["verdict"], rows[0]["first_rank"], rows[0]["mrr"]) == ("found", "1", "1")
    assert (rows[-2]["verdict"], rows[-2]["first_rank"], rows[-2]["mrr"]) == ("in_no_chunk", "-1", "0")
    assert (rows[-1]["verdict"], rows[-1]["mrr"]) == ("answer_unknown", "-1")


def test_questions_tsv_runs_nothing(chroma, tmp_path):
    """No cell is a formula to a spreadsheet."""
    texts = ["=cmd()", "+1+1", "-2 why?", "@x", "text 3"]
    asked = [{"id": text, "question": text, "relevant": ["id3"]} for text in texts]
    np.save(tmp_path / "q.npy", VECTORS[:5].astype(np.float32))
    run = ask(chroma, tmp_path, question_set=asked, question_vector=tmp_path / "q.npy")
    rows = [line.split("\t") for line in (run.path / "questions.tsv").read_text().splitlines()[1:]]
    assert [row[1:3] for row in rows] == [[text if text == "text 3" else f"'{text}"] * 2 for text in texts]


def test_other_questions_in_the_picture(run):
    """On the dartboard the other questions lie beyond every chunk, and the picture leaves them out."""
    points, own = run.points, len(run.points) - 1 - run.facts["focus"]
    entry = next(entry for entry in run.facts["tensors"] if entry["kind"] == "around_question")
    places = read_tensor(run.path, entry["file"], tuple(entry["shape"]))
    radius = np.hypot(places[:, 0], places[:, 1])
    others = points["is_question"] & (np.arange(len(points)) != own)
    assert radius[others].min() > radius[~points["is_question"]].max()
    roles = {row: role for row, role, _ in run.facts["drawn"]}
    assert {roles[row] for row in np.flatnonzero(others)} == {LEFT_OUT}
    assert roles[own] == "question"


def test_readme_of_a_set(run):
    """README.txt says the figures, how many questions have each verdict, the findings, and the hardest questions."""
    text = (run.path / "README.txt").read_text()
    assert "hit@4" in text
    for kind, count in run.evaluation["verdicts"].items():
        assert (f"{count:>6,}  {kind.replace('_', ' ')}" in text) == (count > 0)
    for finding in run.evaluation["findings"]:
        assert finding["text"] in text
    assert f"Question: {run.questions[run.facts['focus']].text}" in text


def views(run, kind):
    text = (run.path / "projector_config.pbtxt").read_text()
    names = [line.split('"')[1] for line in text.splitlines() if "bookmarks_path" in line]
    (name,) = [name for name in names if f"bookmarks-{kind}" in name]
    return json.loads((run.path / name).read_text())


def test_bookmarks_of_the_hardest(run):
    """The first missed question leads; twenty in all have a ranked bookmark on the map, the hardest first."""
    ranks = {place: one.first_answer_rank for place, one in enumerate(run.questions)}
    missed = [place for place, rank in ranks.items() if rank and rank > 4]
    hardest = sorted(missed, key=lambda place: -ranks[place])
    order = list(dict.fromkeys([missed[0], *hardest]))[:20]
    assert run.facts["focus"] == missed[0]
    ranked = [view for view in views(run, "map") if view["selectedPoints"]]
    rows = len(run.points)
    assert [rows - 1 - view["selectedPoints"][0] for view in ranked[: len(order)]] == order
    assert len(ranked) == 20
    for view, question in zip(ranked, order, strict=False):
        ids = [run.points["id"][row] for row in view["selectedPoints"][1:]]
        assert ids == [hit.id for hit in run.questions[question].hits]
    assert "how often retrieved (0: never)" in [view["label"] for view in views(run, "map")]
    assert len(views(run, "around_question")) == 3 + 19


def test_bookmarks_within_the_cap(chroma, tmp_path, monkeypatch):
    """Rows times bookmarks stay below the cap: fewer questions have one, the legend always stays."""
    from exporter.runs import views as views_module
    from exporter.workflows import ranking as ranking_module

    for where in (views_module, ranking_module):
        monkeypatch.setattr(where, "MOST_ENTRIES", 58 * 8)
    run = ask(chroma, tmp_path)
    assert faults(run.path) == []
    found = views(run, "map")
    assert len(run.points) * len(found) <= 58 * 8
    assert len([view for view in found if view["selectedPoints"]]) == 3


def test_many_are_what_few_are(monkeypatch):
    """What a survey keeps, some questions a pass, is what a scan of all knows."""
    random = np.random.default_rng(0)
    vectors = random.integers(-2, 3, size=(60, 3)).astype(np.float32)
    vectors[[5, 17]] = np.nan
    batch = Batch([f"id{i}" for i in range(60)], vectors, [f"<{i}>" for i in range(60)])
    asked = [Question(f"q{i}", vector, (f"<{3 * i}>", f"<{59 - i}>")) for i, vector in enumerate(vectors[30:41])]
    dense = scan([batch], Query(asked, [match_any(one.answers, "literal") for one in asked], "l2"))
    right = [{f"id{3 * i}", f"id{59 - i}"} for i in range(len(asked))]
    monkeypatch.setattr(module, "TABLES", 13 * 60 * 4)
    many = survey(lambda: [batch], 60, asked, right, "l2", top_k=7, drawn=[9, 2])
    for name in ("question", "distance", "rank", "answer_to", "answer_rank"):
        np.testing.assert_array_equal(getattr(many.standings, name), getattr(dense.standings, name), name)
    np.testing.assert_array_equal(many.holds_answer, dense.holds_answer)
    assert (many.lost, many.lost_ids, many.zero_vectors) == (dense.lost, dense.lost_ids, dense.zero_vectors)
    for question in range(len(asked)):
        top = dense.top(question, 7)
        assert many.top(question, 7).tolist() == top.tolist()
        for ours, theirs in zip(
            vars(many.seen(question, top[2:5])).values(), vars(dense.seen(question, top[2:5])).values(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        assert many.first_answer_rank(question) == dense.first_answer_rank(question)
        assert many.holding(question) == dense.holding(question)
    assert list(many.drawn) == [9, 2]
    np.testing.assert_array_equal(many.whole(2).ranks, dense.ranks[2])


def test_a_filtered_set(chroma, tmp_path):
    """With a filter the run shows what the filter leaves, and says what it hides."""
    run = ask(chroma, tmp_path, where={"source": "doc0.md"})
    assert faults(run.path) == []
    assert len(run.points) == 10 + len(ASKED)
    assert run.evaluation["verdicts"]["hidden_by_filter"] > 0


def test_one_question(chroma, tmp_path):
    """A set of one question is a set all the same."""
    run = ask(chroma, tmp_path, question_set=ASKED[:1])
    assert faults(run.path) == []
    assert run.evaluation["metrics"]["hit@1"] == {"value": 1.0, "low": None, "high": None}


def test_few_points(chroma, tmp_path):
    """The sample keeps every question's hits, and ranks stay those of the whole collection."""
    run = ask(chroma, tmp_path, question_set=ASKED[:2], max_points=12)
    assert len(run.points) == 12
    assert run.facts["left_out"] == 20
    shown = set(run.points["id"])
    assert all(hit.id in shown for one in run.questions for hit in one.hits)


@pytest.mark.parametrize(
    "options", [{"question": "text 3"}, {"answer": "x"}, {"retrieved": ["id3"]}, {"question_set": None, "qrels": "x"}]
)
def test_what_does_not_fit(chroma, tmp_path, options):
    """A set and questions of one's own don't go together."""
    with pytest.raises(UsageError, match="--questions"):
        ask(chroma, tmp_path, **{**options, **({"question": "a"} if options.get("qrels") else {})})


def test_strict_model(tmp_path):
    """--strict-model holds for a set too, and then nothing is written."""
    directory = write_chroma(tmp_path / "db", collection(vectors=np.random.default_rng(9).normal(size=(30, 8))))
    with pytest.raises(ModelError, match="not the one"):
        ask(directory, tmp_path, strict_model=True)
    assert not (tmp_path / "logs").exists() or not list((tmp_path / "logs").iterdir())


def test_evaluate_with_a_run(chroma, tmp_path):
    """`evaluate` with a log directory writes the run of what it judged, in one pass."""
    request = EvaluateRequest(source=chroma, questions=ASKED, model=Lookup(), top_k=4, index=False)
    found, run = evaluate_and_export(request, logdir=tmp_path, run="judged")
    assert run.path == tmp_path / "judged"
    assert run.evaluation["verdicts"] == found.verdicts
