"""TensorBoard's other tabs, in the page: two runs of one set stand side by side, each with its own right figures.

What a tab draws on a canvas is asked of the same routes that the tab asks, by the page itself; what it writes is read
in the page. What is right is worked out here, from the vectors.
"""

import json

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

import exporter
from exporter.workflows.compare import compare, join
from exporter.workflows.serve import serve
from tests.conftest import collection, write_chroma
from tests.workflows.test_export import Lookup

VECTORS = Lookup().vectors
ASKED, ROWS = 12, len(VECTORS)
RIGHT = [i if i % 2 else (i + 11) % ROWS for i in range(ASKED)]
TOP = {"narrow": 2, "wide": 8}
AWAY = np.linalg.norm(
    VECTORS[None].astype(float) - (VECTORS[:ASKED] + np.float32(0.01)).astype(np.float32)[:, None].astype(float), axis=2
)
RANK = np.array([1 + int((AWAY[i] < AWAY[i, RIGHT[i]]).sum()) for i in range(ASKED)])
HOLDS = np.zeros((ASKED, ROWS), bool)
HOLDS[np.arange(ASKED), RIGHT] = True
NEAREST = "nearest of all questions"


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """One set, half of whose questions are answered by what is far, at a top 2 and a top 8."""
    folder = tmp_path_factory.mktemp("tabs")
    directory = write_chroma(folder / "db", collection())
    asked = [{"id": f"s{i}", "question": f"text {i}", "relevant": [f"id{RIGHT[i]}"]} for i in range(ASKED)]
    return [
        exporter.export(
            directory, question_set=asked, model=Lookup(), logdir=folder / "logs", run=name, top_k=k, index=False
        )
        for name, k in TOP.items()
    ]


@pytest.fixture(scope="module")
def server(two_runs):
    with serve(two_runs[0].path.parent, port=0) as server:
        yield server


@pytest.fixture
def tab(server, projector):
    """Opens a tab, and says what its route answers to the page."""

    def get(route, **asked):
        return projector.page.evaluate(
            """async ([route, asked]) => {
                const answer = await fetch(`data/plugin/${route}?${new URLSearchParams(asked)}`);
                return answer.json();
            }""",
            [route, asked],
        )

    def show(name):
        projector.page.goto("about:blank")
        projector.page.goto(f"{server.url}#{name}")
        return get

    yield show
    assert projector.faults == []


@pytest.mark.browser
def test_scalars(tab, projector):
    """Every figure is the one worked out by hand, and hit@k lies over its k; the page writes the last of them."""
    get = tab("timeseries")
    for run, k in TOP.items():
        cutoffs = sorted({1, 3, 5, 10, 20, k})
        for name, wanted in (
            ("metrics/mrr", [(0, np.mean(1 / RANK))]),
            ("metrics/hit@1", [(0, np.mean(RANK == 1))]),
            ("metrics/first_rank", [(0, np.median(RANK))]),
            ("by k/hit", [(k, np.mean(k >= RANK)) for k in cutoffs]),
            ("by k/precision", [(k, np.mean(k >= RANK) / k) for k in cutoffs]),
            ("verdicts/found", [(0, np.sum(k >= RANK))]),
            ("verdicts/ranked_too_low", [(0, np.sum(k < RANK))]),
        ):
            told = [(step, value) for _, step, value in get("scalars/scalars", run=run, tag=name)]
            assert np.allclose(told, wanted, rtol=1e-6), name
    card = projector.page.locator("scalar-card", has_text="by k/precision")
    row = card.locator("tb-data-table-content-row", has_text="narrow")
    row.wait_for(timeout=60_000)
    name, _, value, step, *_ = row.inner_text().split()
    assert (name, float(value), step) == ("narrow", np.mean(RANK <= 20) / 20, "20")


@pytest.mark.browser
def test_histograms(tab, projector):
    """Every chunk of every question is in a bucket in which its distance lies, with or without the answer."""
    get = tab("histograms")
    for part, away in (("with the answer", AWAY[HOLDS]), ("without the answer", AWAY[~HOLDS])):
        ((_, _, buckets),) = get("histograms/histograms", run="wide", tag=f"{NEAREST}/{part}")
        left, right, counts = np.array(buckets).T
        edges = [*left, right[-1]]
        edges[0], edges[-1] = away.min(), away.max()  # given in float64 as they are, up to its last digits
        assert counts.tolist() == np.histogram(away, edges)[0].tolist()
        assert counts.sum() == len(away)
        projector.page.get_by_text(f"{NEAREST}/{part}").first.wait_for(timeout=60_000)
    projector.page.locator("vz-histogram-timeseries path").first.wait_for(state="attached", timeout=60_000)


@pytest.mark.browser
def test_curves(tab, projector):
    """At each threshold precision and recall are scikit-learn's, told which chunks are as near as it says."""
    get = tab("pr_curves")
    told = get("pr_curves/pr_curves", run="wide", tag=f"{NEAREST}/distance")["wide"][0]
    assert len(told["thresholds"]) == 201
    limits = AWAY.max() - np.array(told["thresholds"]) * (AWAY.max() - AWAY.min())
    seen = set()
    for place in range(0, 201, 8):
        if np.abs(AWAY - limits[place]).min() < 1e-9 and place not in (0, 200):
            continue  # a chunk at the limit itself: in or out by its last digit
        kept = (limits[place] * (1 + 1e-12) >= AWAY).ravel()
        wanted = precision_score(HOLDS.ravel(), kept), recall_score(HOLDS.ravel(), kept)
        assert (told["precision"][place], told["recall"][place]) == pytest.approx(wanted, rel=1e-6)
        assert told["true_positives"][place] == (kept & HOLDS.ravel()).sum()
        assert told["false_negatives"][place] == (~kept & HOLDS.ravel()).sum()
        seen.add(wanted)
    assert len(seen) > 10
    for run in TOP:
        projector.page.get_by_text(f"{run} is at").first.wait_for(timeout=60_000)


@pytest.mark.browser
def test_texts(tab, two_runs, projector):
    """The page writes the verdict of a question, and a row of figures for each of its hits."""
    tab("text")
    for run in two_runs:
        question, k = run.questions[0], TOP[run.name]
        loader = projector.page.locator("tf-text-loader", has_text="tag: questions/q1").filter(has_text=run.name).first
        loader.locator("td").first.wait_for(timeout=60_000)
        assert question.verdict in loader.locator("p").all_inner_texts()
        cells = loader.locator("td").all_inner_texts()
        rows = [tuple(cells[start : start + 5]) for start in range(0, len(cells), 6)]
        order = np.argsort(AWAY[0])[:k]
        assert rows == [
            (str(rank), f"{AWAY[0, i]:.4f}", f"doc{i % 3}.md", str(i), "✓" if i == RIGHT[0] else "")
            for rank, i in enumerate(order, start=1)
        ]
    assert two_runs[0].questions[0].verdict != two_runs[1].questions[0].verdict


@pytest.mark.browser
def test_settings(tab, projector):
    """A row for each run, by its name, with its settings; the figures stand beside them."""
    tab("hparams")
    page = projector.page
    page.get_by_text("8.0000").first.wait_for(timeout=60_000)
    for run in TOP:
        assert page.get_by_text(run).count()
    answer = page.evaluate(
        """async () => {
            const wanted = {allowedStatuses: ['STATUS_SUCCESS'], startIndex: 0, sliceSize: 10, colParams: []};
            const asked = {method: 'POST', body: JSON.stringify(wanted)};
            return (await fetch('data/plugin/hparams/session_groups', asked)).text();
        }"""
    )
    groups = {group["name"].split()[0]: group for group in json.loads(answer)["sessionGroups"]}
    assert set(groups) == set(TOP)
    for run, k in TOP.items():
        told = groups[run]["hparams"]
        assert (told["k"], told["space"], told["metric"], told["collection"]) == (k, "l2", "l2", "chunks")
        figures = {one["name"]["tag"]: one["value"] for one in groups[run]["metricValues"]}
        assert figures["metrics/mrr"] == pytest.approx(np.mean(1 / RANK))
        assert figures["verdicts/found"] == np.sum(k >= RANK)


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
        assert projector.bookmarks()[0].startswith("A ★ question")
        adapter = "window.projector().projectorScatterPlotAdapter"
        opacities = projector.frame.evaluate(
            f"Array.from({adapter}.generateLineSegmentOpacityArray(window.projector().dataSet, [], null) ?? [])"
        )
        assert opacities
        assert set(np.round(opacities, 3)) == {0.6}  # the page's own 0.2 is hard to see
        assert projector.frame.locator("#chroma-projector-box").count() == 0
        projector.click_bookmark(1)
        scene = projector.scene()
        assert "system" in scene.colour
        assert {name for name, _ in scene.legend} == {"A", "B"}
    assert projector.faults == []
