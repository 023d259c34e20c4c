"""The other tabs of an exported run: figures, distances and texts are those of the run."""

import numpy as np
import pytest

import exporter
from exporter.runs.verify import faults
from tests.conftest import collection, write_chroma
from tests.runs.test_dashboards import read, values
from tests.workflows.test_export import Lookup

VECTORS = Lookup().vectors
ASKED = [
    *({"id": f"own {i}", "question": f"text {i}", "answers": [f"text {i}"]} for i in range(3, 10)),
    *({"id": f"far {i}", "question": f"text {i}", "relevant": [f"id{(i + 11) % 30}"]} for i in range(10, 29)),
    {"id": "unknown", "question": "text 0"},
]


@pytest.fixture(scope="module")
def of_a_set(chroma, tmp_path_factory):
    """A run of a set, and its events."""
    logdir = tmp_path_factory.mktemp("boards") / "logs"
    run = exporter.export(chroma, question_set=ASKED, model=Lookup(), logdir=logdir, top_k=4, index=False)
    return run, read(run.path)


@pytest.fixture(scope="module")
def of_a_question(chroma, tmp_path_factory):
    """A run of one question, which text 3 answers, and its events."""
    logdir = tmp_path_factory.mktemp("board") / "logs"
    run = exporter.export(
        chroma, question="text 3", answer="text 3", model=Lookup(), logdir=logdir, top_k=4, dashboards=True
    )
    return run, read(run.path)


def start(found):
    from tensorboard.plugins.hparams import metadata

    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: value.string_value or value.number_value for name, value in told.items()}


def test_figures_of_a_set(of_a_set):
    """Each figure is a scalar, and hit@k a curve over k; what was counted, too."""
    run, found = of_a_set
    for name, figure in run.evaluation["metrics"].items():
        assert float(values(found, f"metrics/{name}")[0][1]) == pytest.approx(figure["value"], rel=1e-6)
    over_k = {step: float(value) for step, value in values(found, "by k/hit")}
    assert list(over_k) == [1, 3, 4, 5, 10, 20]
    assert over_k[4] == pytest.approx(run.evaluation["metrics"]["hit@4"]["value"])
    for kind, count in run.evaluation["verdicts"].items():
        assert float(values(found, f"verdicts/{kind}")[0][1]) == count


def test_distances_of_a_set(of_a_set):
    """The histograms hold every chunk of every question with a known answer: all thirty, of the twenty-six."""
    _, found = of_a_set
    counts = [
        values(found, f"nearest of all questions/{part} the answer")[0][1][:, 2].sum() for part in ("with", "without")
    ]
    assert counts == [26, 26 * 29]
    curve = values(found, "nearest of all questions/distance")[0][1]
    assert curve[0, 0] == 26
    assert curve[5, 0] == 1


def test_texts_of_a_set(of_a_set):
    """One text tells the set's figures, verdicts and findings, one each of the hardest questions its hits."""
    run, found = of_a_set
    about = values(found, "set")[0][1].item().decode()
    assert "**27 questions of " in about
    assert "| ranked too low |" in about
    assert "**Findings**" in about
    focus = run.facts["focus"]
    text = values(found, f"questions/q{focus + 1}")[0][1].item().decode()
    assert run.questions[focus].text in text
    assert all(f"{hit.distance:.4f}" in text for hit in run.questions[focus].hits)
    assert len([tag for tag in found.Tags()["tensors"] if tag.startswith("questions/")]) == 20


def test_distances_of_a_question(of_a_question):
    """The histograms hold the whole collection: one chunk with the answer, at its distance, and 29 without."""
    run, found = of_a_question
    with_it = values(found, "question/with the answer")[0][1]
    without = values(found, "question/without the answer")[0][1]
    away = np.linalg.norm(VECTORS.astype(float) - (VECTORS[3] + np.float32(0.01)), axis=1)
    assert with_it[:, 2].sum() == 1
    assert with_it[0, 0] == pytest.approx(away[3], rel=1e-4)
    assert without[:, 2].sum() == 29
    assert without[-1, 1] == pytest.approx(away.max(), rel=1e-4)
    curve = values(found, "question/distance")[0][1]
    assert (curve[0, -1], curve[1, -1]) == (1, 0)  # the nearest chunk is the right one
    assert float(values(found, "question/first_answer_rank")[0][1]) == run.questions[0].first_answer_rank == 1


def test_text_of_a_question(of_a_question):
    """The question, its verdict, and a row for each hit with its snippet."""
    run, found = of_a_question
    text = values(found, "question")[0][1].item().decode()
    assert "★ text 3" in text
    assert "rank 1 of 30" in text
    assert text.count("\n| ") == 1 + 4
    assert all(hit.text in text for hit in run.questions[0].hits)


def test_a_question_without_an_answer(chroma, tmp_path):
    """Without a known answer there is one histogram, no curve, and no figure of a rank."""
    run = exporter.export(chroma, question="text 3", model=Lookup(), logdir=tmp_path, dashboards=True)
    tags = read(run.path).Tags()["tensors"]
    assert "question/every chunk" in tags
    assert not [tag for tag in tags if "the answer" in tag]
    assert not {"question/distance", "question/first_answer_rank"} & set(tags)


def test_settings(of_a_set, of_a_question):
    """HParams has what the runs were made with."""
    for _, found in (of_a_set, of_a_question):
        told = start(found)
        assert {"space": "l2", "metric": "l2", "k": 4, "collection": "chunks", "dimension": 8}.items() <= told.items()
        assert told["filter"] == "none"
        assert "Lookup" in told["model"]


def test_chunk_size_where_known(tmp_path):
    """The chunk size and overlap that an ingest recorded are settings, and in the manifest; a filter is told."""
    recorded = {"ingest:chunk_unit": "tokens", "ingest:chunk_size": 120, "ingest:chunk_overlap": 10}
    directory = write_chroma(tmp_path / "db", collection(metadata=recorded))
    run = exporter.export(
        directory,
        question="text 3",
        model=Lookup(),
        logdir=tmp_path / "logs",
        where={"page": {"$lt": 20}},
        dashboards=True,
    )
    told = start(read(run.path))
    assert (told["chunk_unit"], told["chunk_size"], told["chunk_overlap"]) == ("tokens", 120, 10)
    assert run.facts["source"]["chunking"] == {"unit": "tokens", "size": 120, "overlap": 10}
    assert '"$lt": 20' in told["filter"]


def test_still_whole(of_a_set, of_a_question):
    """Verify finds no fault, and no run has a sub-run."""
    for run, _ in (of_a_set, of_a_question):
        assert faults(run.path) == []
        assert len(list(run.path.rglob("*tfevents*"))) == 1


def test_a_question_alone_leaves_the_tabs_empty(chroma, tmp_path):
    """Stock TensorBoard opens on the Projector only where no other tab has anything to show."""
    run = exporter.export(chroma, question="text 3", model=Lookup(), logdir=tmp_path)
    assert read(run.path).Tags()["tensors"] == []
