"""The main job, as a user meets it: the demo, exported by the real CLI, in a real TensorBoard and a real browser."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from exporter.cli import console
from exporter.runs.tensors import has_tensorflow
from exporter.workflows.run import open_run

pytestmark = pytest.mark.xdist_group("demo")

COLUMNS = [
    "label",
    "source",
    "page",
    "distance",
    "contains_answer",
    "is_question",
    "role",
    "rank",
    "closeness",
    "id",
    "text",
]


def cli(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-m", "exporter", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        **settings,
    )


@pytest.fixture(scope="module")
def served(demo_logdir):
    """The address that the real command prints for the demo's runs; it is ended by ^C."""
    command = [sys.executable, "-m", "exporter", "tensorboard", str(demo_logdir), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = process.stdout.readline().strip()
    yield address
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    assert "Traceback" not in process.stderr.read()


def test_the_two_questions(demo_logdir):
    """One question is answered at rank 1; the other is missed by the top 10, though a chunk holds its answer."""
    found, missed = (open_run(demo_logdir / name).questions[0] for name in ("demo-found", "demo-missed"))
    assert found.first_answer_rank == 1
    assert missed.first_answer_rank > 10
    assert not any(hit.contains_answer for hit in missed.hits)
    assert [hit.rank for hit in missed.hits] == list(range(1, 11))


def test_the_model_is_the_collections(demo_logdir):
    """Chunks embedded again are those that are stored, so there is no warning."""
    run = open_run(demo_logdir / "demo-missed")
    assert run.facts["model"]["name"] == "all-MiniLM-L6-v2"
    assert run.facts["model"]["median_cosine"] > 0.999
    assert run.warnings == []


def test_ranks_are_those_of_chroma(demo_directory, demo_logdir):
    """The top 10 are what Chroma's own exact order gives, with Euclidean distances."""
    run = open_run(demo_logdir / "demo-missed")
    points = run.points
    chunks = points["is_question"] == False  # noqa: E712
    question = points.vectors[-1].astype(float)
    expected = np.linalg.norm(points.vectors[chunks].astype(float) - question, axis=1)
    np.testing.assert_allclose(points["distance"][chunks], expected, rtol=1e-4)
    order = points["id"][chunks][expected.argsort(kind="stable")][:10]
    assert list(order) == [hit.id for hit in run.questions[0].hits]


def test_the_tab_is_active(served):
    """The printed address is that of the Projector's tab, active at once; the server listens on loopback only."""
    port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/#projector", served)[1])
    listing = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugins_listing", timeout=30))
    assert listing["projector"]["enabled"]
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("no /proc here to see who listens where")
    addresses = {line.split()[1] for line in listening.read_text().splitlines()[1:] if line.split()[3] == "0A"}
    assert {address.split(":")[0] for address in addresses if int(address.split(":")[1], 16) == port} == {"0100007F"}


@pytest.mark.browser
def test_the_page(served, projector, demo_logdir):
    """The page shows every chunk and the question, the columns, gradients for distance and closeness, and no error."""
    run = open_run(demo_logdir / "demo-missed")
    projector.open_in_tensorboard(served)
    state = projector.state()
    assert state["run"] == "demo-missed"
    assert state["points"] == state["drawn"] == run.facts["points"] > 1000
    assert not state["blank"]
    assert state["message"] == ""
    assert set(COLUMNS) <= set(state["columns"])
    assert {"distance", "closeness"} <= set(state["gradients"])
    assert "role" in state["colors"]
    assert state["label"] == "label"
    assert state["metadata"][-1]["label"] == "★ question"
    assert [row["label"].split()[0] for row in state["metadata"][-4:-1]] == ["#3", "#2", "#1"]
    assert projector.faults == []


@pytest.mark.browser
def test_vectors_tensor(served, projector):
    """The tensor `vectors` shows all 384 dimensions."""
    projector.open(served.split("#")[0])
    names = projector.state()["tensors"]
    name = next(name for name in names if name.startswith("vectors"))
    projector.frame.evaluate("(name) => { window.panel('data-panel').selectedTensor = name; }", name)
    projector.frame.wait_for_function("() => window.projector().dataSet?.dim[1] === 384", timeout=60_000)
    projector.wait()
    assert not projector.state()["blank"]
    assert projector.faults == []


@pytest.mark.browser
def test_the_load_dialog(served, projector, demo_logdir):
    """vectors.tsv and metadata.tsv, uploaded through the Projector's own dialog, show the same points."""
    run = open_run(demo_logdir / "demo-found")
    projector.open(served.split("#")[0])
    panel = projector.page.locator("vz-projector-data-panel")
    panel.locator("input#file").set_input_files(run.path / "vectors.tsv")
    # and its PCA is there: where data is replaced before, the page's own code fails as it names the variance
    projector.frame.wait_for_function(
        "() => { const data = window.projector().dataSet; return data?.dim[1] === 384 && data.projections['pca-0']; }",
        timeout=60_000,
    )
    panel.locator("input#file-metadata").set_input_files(run.path / "metadata.tsv")
    projector.frame.wait_for_function(
        "(text) => JSON.stringify(window.projector().dataSet.points.at(-1).metadata).includes(text)",
        arg=run.questions[0].text,
        timeout=60_000,
    )
    projector.wait()
    state = projector.state()
    assert state["points"] == run.facts["points"]
    assert state["message"] == ""
    uploaded = projector.frame.evaluate(
        "() => window.projector().dataSet.points.map((point) => Array.from(point.vector))"
    )
    centred = run.points.vectors - run.points.vectors.mean(axis=0)  # "Spherize data" is on from 50 dimensions
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    # it does that again when the metadata comes, which moves the second decimal of nothing
    np.testing.assert_allclose(np.array(uploaded), expected, atol=5e-3)
    assert [row["id"] for row in state["metadata"]] == list(run.points["id"])
    assert projector.faults == []


def test_a_second_demo_reuses_everything(demo_directory, demo_logdir):
    """What is there and whole is kept: the second `demo` changes no file."""
    before = {path: path.stat().st_mtime_ns for path in demo_logdir.rglob("*")}
    done = cli("demo", demo_directory, "--logdir", demo_logdir, "--no-serve", "--json")
    assert done.returncode == 0, done.stderr
    assert [run["name"] for run in json.loads(done.stdout)] == ["demo-found", "demo-missed"]
    assert {path: path.stat().st_mtime_ns for path in demo_logdir.rglob("*")} == before


def test_the_summary_in_the_readme(demo_logdir, capsys):
    """The summary that the README shows is the one that the command prints."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the README shows the language reference of Python 3.11, other versions have another text")
    console.print_run(open_run(demo_logdir / "demo-missed"))
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert printed in (Path(__file__).parents[2] / "README.md").read_text()


def test_stock_tensorboard(demo_logdir):
    """The stock `tensorboard --logdir`, all defaults, lists the newest run first and serves what was exported."""
    if not has_tensorflow():
        pytest.skip("without TensorFlow the stock command is covered by the other tests")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", demo_logdir, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def get(route):
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/projector/{route}", timeout=60).read()

    try:
        deadline = time.monotonic() + 90
        runs = []
        while len(runs) < 2 and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                runs = json.loads(get("runs"))
            time.sleep(0.5)
        assert runs == ["demo-missed", "demo-found"]
        run = open_run(demo_logdir / "demo-missed")
        entry = run.facts["tensors"][-1]
        values = np.frombuffer(get(f"tensor?run=demo-missed&name={quote(entry['name'])}"), "<f4").reshape(
            entry["shape"]
        )
        assert (values == run.points.vectors).all()
        told = get(f"metadata?run=demo-missed&name={quote(entry['name'])}")
        assert told.rstrip(b"\n") == (run.path / "metadata.tsv").read_bytes().rstrip(b"\n")
    finally:
        process.terminate()
        process.wait(timeout=20)
