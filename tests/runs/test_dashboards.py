"""What TensorBoard's other tabs are given, read back by TensorBoard's own reader."""

import subprocess
import sys

import numpy as np
import pytest

from exporter.runs.dashboards import THRESHOLDS, Curve, Dashboards, events
from exporter.runs.folder import Contents, Tensor, fill
from exporter.runs.markdown import escaped, table
from exporter.runs.metadata import table as metadata_table
from exporter.runs.verify import faults
from tests.runs.conftest import make_points

BOARDS = Dashboards(
    texts={"question": "**why?**"},
    scalars={"metrics/hit@5": [(0, 0.75)], "by k/hit": [(1, 0.5), (5, 0.75)]},
    histograms={"question/with the answer": np.array([0.1, 0.2, 0.2])},
    curves={"question/distance": Curve(np.array([0.0, 1.0, 2.0, 4.0]), np.array([True, False, True, False]), 1)},
    settings={"model": "little", "k": 5.0},
)


def read(run):
    """TensorBoard's event accumulator, after reading a run; loaded from all tags, however many."""
    from exporter.runs.notf import without_tensorflow

    without_tensorflow()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()


def values(found, tag):
    """Pairs of a step and an array."""
    from tensorboard.util.tensor_util import make_ndarray

    return [(event.step, make_ndarray(event.tensor_proto)) for event in found.Tensors(tag)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    points = make_points()
    path = tmp_path_factory.mktemp("boards") / "run"
    path.mkdir()
    contents = Contents([Tensor("vectors", points.vectors)], metadata_table(points), {"questions": []}, boards=BOARDS)
    fill(path, contents, now=1_790_000_000.0)
    return path


def test_read_back(run):
    """Every tag is there under its plugin's name, with the values that were written."""
    found = read(run)
    plugins = {tag: found.SummaryMetadata(tag).plugin_data.plugin_name for tag in found.Tags()["tensors"]}
    assert plugins == {
        "question": "text",
        "metrics/hit@5": "scalars",
        "by k/hit": "scalars",
        "question/with the answer": "histograms",
        "question/distance": "pr_curves",
        "_hparams_/session_start_info": "hparams",
        "_hparams_/session_end_info": "hparams",
    }
    assert values(found, "question")[0][1].item() == b"**why?**"
    assert [(step, float(value)) for step, value in values(found, "by k/hit")] == [(1, 0.5), (5, 0.75)]
    about = {tag: found.SummaryMetadata(tag).summary_description for tag in ("by k/hit", "metrics/hit@5")}
    assert "Smoothing to 0" in about["by k/hit"]  # a line over k, which TensorBoard would smooth as if over time
    assert about["metrics/hit@5"] == ""
    buckets = values(found, "question/with the answer")[0][1]
    assert buckets[:, 2].sum() == 3
    assert (buckets[0, 0], buckets[-1, 1]) == (0.1, 0.2)


def test_settings(run):
    """HParams gets each setting with its type, and a run that is done."""
    from tensorboard.plugins.hparams import api_pb2, metadata

    found = read(run)
    start = metadata.parse_session_start_info_plugin_data(
        found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    )
    assert start.hparams["model"].string_value == "little"
    assert start.hparams["k"].number_value == 5
    end = metadata.parse_session_end_info_plugin_data(
        found.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    )
    assert end.status == api_pb2.STATUS_SUCCESS


def test_the_run_stays_whole(run):
    """One events file, no sub-run, and nothing that verify finds fault with."""
    assert faults(run) == []
    assert len(list(run.rglob("*tfevents*"))) == 1


def test_the_newest_run_still_opens(run):
    """Only the first record's time lies before all true ones."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (path,) = run.glob("*tfevents*")
    times = [event.wall_time for event in EventFileLoader(str(path)).Load()]
    assert times[0] < 1e7
    assert set(times[1:]) == {1_790_000_000.0}


def test_a_curve_by_hand():
    """Four chunks at 0, 1, 2 and 4, the first and third right, one right chunk not among them."""
    true, false, true_negative, false_negative, precision, recall = BOARDS.curves["question/distance"].counts()
    nearest = THRESHOLDS - 1
    middle = nearest // 2  # keeps what is as near as 2
    assert (true[0], false[0], true_negative[0], false_negative[0]) == (2, 2, 0, 1)
    assert (true[middle], false[middle], true_negative[middle], false_negative[middle]) == (2, 1, 1, 1)
    assert (true[nearest], false[nearest], precision[nearest]) == (1, 0, 1)
    assert recall[[0, middle, nearest]] == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert precision[[0, middle]] == pytest.approx([1 / 2, 2 / 3])


def test_a_curve_as_scikit_learn_has_it():
    """At each threshold precision and recall are those of scikit-learn, told the same chunks."""
    from sklearn.metrics import precision_score, recall_score

    random = np.random.default_rng(3)
    distances, right = random.normal(size=400), random.random(400) < 0.2
    curve = Curve(distances, right)
    counts, limits = curve.counts(), curve.limits()
    for place in (0, 40, 100, 160, THRESHOLDS - 1):
        kept = distances <= limits[place]
        assert counts[4, place] == pytest.approx(precision_score(right, kept, zero_division=0))
        assert counts[5, place] == pytest.approx(recall_score(right, kept))
        assert counts[:4, place].sum() == 400


def test_all_at_one_distance():
    """Chunks of one distance are all kept or all left: no division by zero."""
    counts = Curve(np.array([1.0, 1.0]), np.array([True, False])).counts()
    assert (counts[4] == 0.5).all()
    assert (counts[5] == 1).all()


def test_without_tensorflow():
    """Writing the events imports no TensorFlow."""
    script = (
        "import sys; sys.path.insert(0, '.');"
        "from tests.runs.test_dashboards import BOARDS; from exporter.runs.dashboards import events;"
        "assert list(events(BOARDS, 'trial', 1.0)); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_two_runs_of_one_setting_stand_apart():
    """HParams has a row for each run, though all settings are the same: the rows go by the trial."""
    from tensorboard.plugins.hparams import metadata

    groups = set()
    for trial in ("one", "other"):
        start = next(event for event in events(BOARDS, trial, 1.0) if "start" in event.summary.value[0].tag)
        content = start.summary.value[0].metadata.plugin_data.content
        groups.add(metadata.parse_session_start_info_plugin_data(content).group_name)
    assert groups == {"one", "other"}


def test_foreign_text():
    """In TensorBoard's Markdown no foreign text opens a tag, a link, emphasis or a cell: it is shown as it is."""
    from html.parser import HTMLParser

    from tensorboard.plugin_util import markdown_to_safe_html

    text = "<b>a|b</b> *c* [d](http://e) `f` ~g~ # h \\ i_j_k &amp;"
    seen = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert tag in {"table", "thead", "tbody", "tr", "td", "th"}

        def handle_data(self, data):
            seen.append(data.strip())

    Reader().feed(markdown_to_safe_html(table(["x"], [[text]])))
    assert [one for one in seen if one] == ["x", text]
    assert "\n" not in escaped("a\nb")
