"""TensorBoard's other tabs, in the page: two runs of one set stand side by side."""

import re

import pytest

import exporter
from exporter.workflows.compare import compare, join
from exporter.workflows.serve import serve
from tests.conftest import collection, write_chroma
from tests.workflows.test_export import Lookup


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """One set, half of whose questions are answered by what is far, at a top 2 and a top 8."""
    folder = tmp_path_factory.mktemp("tabs")
    directory = write_chroma(folder / "db", collection())
    asked = [
        {"id": f"s{i}", "question": f"text {i}", "relevant": [f"id{i if i % 2 else (i + 11) % 30}"]} for i in range(12)
    ]
    return [
        exporter.export(
            directory, question_set=asked, model=Lookup(), logdir=folder / "logs", run=name, top_k=k, index=False
        )
        for name, k in (("narrow", 2), ("wide", 8))
    ]


@pytest.mark.browser
def test_each_tab(two_runs, projector):
    """Text, Scalars, Histograms, PR Curves and HParams show both runs, with their own figures."""
    page = projector.page
    with serve(two_runs[0].path.parent, port=0) as server:

        def shows(tab, *texts):
            page.goto("about:blank")
            page.goto(f"{server.url}#{tab}")
            for text in texts:
                page.get_by_text(text).first.wait_for(timeout=60_000)

        verdicts = [run.questions[0].verdict for run in two_runs]
        assert verdicts[0] != verdicts[1]
        shows("text", *verdicts)
        shows("scalars", "by k/hit", "metrics/hit@1")
        shows("histograms", "nearest of all questions/with the answer", "nearest of all questions/without the answer")
        shows("pr_curves", "nearest of all questions/distance", re.compile("narrow is at"), re.compile("wide is at"))
        shows("hparams", "2.0000", "8.0000", "chunks")
    assert projector.faults == []


@pytest.mark.browser
def test_the_joint_map(two_runs, projector, tmp_path):
    """Both runs stand on one map, whose lines join each question to itself; a bookmark colours by system."""
    run = join(*two_runs, compare(*two_runs), logdir=tmp_path / "logs", run="joint")
    with serve(run.path.parent, port=0) as server:
        projector.open(server.url)
        projector.settle()
        scene = projector.scene()
        rows = len(run.points)
        assert projector.counts() == [rows, rows, 0]
        assert scene.lines == 12
        assert sum(label.startswith("★ A") for label in scene.labels) == 12
        assert sum(label.startswith("★ B") for label in scene.labels) == 12
        assert scene.sprites
        projector.click_bookmark(1)
        scene = projector.scene()
        assert "system" in scene.colour
        assert {name for name, _ in scene.legend} == {"A", "B"}
    assert projector.faults == []
