"""A shared page opens from disk, with no server and no network, on the view that the run opens on."""

import http.server
import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from exporter import export
from exporter.cli.app import run as run_cli
from exporter.workflows.compare import compare, join
from tests.conftest import collection, write_chroma
from tests.end_to_end.browser import Projector
from tests.workflows.test_export import Lookup

pytestmark = [pytest.mark.xdist_group("share"), pytest.mark.browser]

OPENED = "() => window.projector()?.shadowRoot?.querySelector('.stage')?.dataset.opened !== undefined"
TABLE = """() => [...document.querySelectorAll('details[open] tr[data-row]')]
  .map((row) => [...row.cells].map((cell) => cell.innerText))"""
STATE = """() => {
  const page = window.projector(), bookmarks = window.panel('bookmark-panel').savedStates || [];
  const publish = window.panel('data-panel').shadowRoot.querySelector('#publish-container');
  return { spherized: page.normalizeData, bookmarks: bookmarks.map((state) => Boolean(state.isSelected)),
           box: page.shadowRoot.querySelector('#chroma-projector-box')?.innerText,
           publish: publish.getClientRects().length };
}"""
HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    "<img src=x onerror='window.hacked = 1'>",
    "\"'`${window.hacked = 1}`</textarea></td></table><svg onload=window.hacked=1>",
    "one line\u2028and two\u2029and three",
    "left \u202eright-to-left \u2066isolated \u200fmark",
    "__proto__",
    "]]> &lt;b&gt; &amp; \\u003c",
    "[[window.hacked = 1]] {{constructor.constructor('window.hacked = 1')()}}",
]


class Shared(Projector):
    """A page that was opened from disk, and what it asked for."""

    def __init__(self, browser, path):
        super().__init__(browser)
        self.page.context.set_offline(True)
        self.asked, self.said = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.goto(path.as_uri())
        self.page.wait_for_function(OPENED, timeout=120_000)
        self.page.wait_for_timeout(300)

    @property
    def left(self):
        """What it asked for beyond itself."""
        return [url for url in self.asked if not url.startswith("blob:") and url != self.page.url]


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A run of 300 chunks in 60 dimensions, where the stock page would centre and scale."""
    folder = tmp_path_factory.mktemp("little")
    random = np.random.default_rng(3)
    vectors = random.normal(size=(300, 60)) + 1
    directory = write_chroma(folder / "db", collection("manual", vectors))
    (folder / "question.json").write_text(json.dumps((vectors[3] + 0.4 * random.normal(size=60)).tolist()))
    return export(
        directory,
        question="Which passage?",
        answer="text 7",
        question_vector=folder / "question.json",
        logdir=folder / "logs",
        run="little",
    )


@pytest.fixture(scope="module")
def page_of(little, browser, tmp_path_factory):
    """The run moved and renamed, shared, the original gone, and opened."""
    folder = tmp_path_factory.mktemp("elsewhere")
    moved = shutil.copytree(little.path, folder / "another name")
    assert run_cli(["share", str(moved), "-o", str(folder / "run.html"), "--quiet"]) == 0
    shutil.rmtree(moved)
    opened = Shared(browser, folder / "run.html")
    yield opened
    opened.close()


def test_opens_on_its_first_view(page_of, little):
    """All points are there, the first bookmark is applied, Spherize is off, the box says what is seen."""
    state, more = page_of.state(), page_of.page.evaluate(STATE)
    assert (state["points"], state["drawn"], state["blank"]) == (301, 301, False)
    assert [name.rsplit(" ", 1)[0] for name in state["tensors"]] == ["around_question", "map", "vectors"]
    assert more["bookmarks"] == [True, False, False]
    assert more["spherized"] is False
    assert "Which passage?" in more["box"]
    assert f"rank {little.questions[0].first_answer_rank}" in more["box"]
    assert more["publish"] == 0
    scene = page_of.scene()
    assert scene.flat
    assert scene.sprites
    assert page_of.faults == []


def test_table_is_the_top_k(page_of, little):
    """The table has each hit's rank, distance, answer, source, page and text; beside it stand verdict and trust."""
    expected = [
        [str(h.rank), f"{h.distance:.4f}", "■ holds it" if h.contains_answer else "", h.source, str(h.page), h.text]
        for h in little.questions[0].hits
    ]
    assert page_of.page.evaluate(TABLE) == expected
    told = page_of.page.inner_text("#told")
    assert little.questions[0].verdict in told
    page_of.page.get_by_text("How far to trust the picture").click()
    trusted = page_of.page.inner_text("#told")
    layout = little.facts["layouts"][0]
    assert f"{layout['name']}: keeps {layout['kept_top_k'][0]} of the top 10" in trusted
    assert f"trustworthiness {layout['trustworthiness']:.2f}" in trusted


def test_click_selects_the_point(page_of, little):
    """A click on a line of the table selects that chunk's point, in every tensor."""
    for place in (2, 7):
        page_of.page.locator("tr[data-row]").nth(place).click()
        [row] = page_of.page.evaluate("() => window.projector().selectedPointIndices")
        assert page_of.scene().ids[row] == little.questions[0].hits[place].id


def test_no_request_leaves(page_of):
    """Nothing is asked for but the page, and the page's policy stops what would be: no request reaches a server."""
    assert page_of.left == []
    assert page_of.said == []
    reached = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            reached.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        page_of.page.context.set_offline(False)
        ended = page_of.page.evaluate(
            """async (url) => {
                const image = new Promise((done) => {
                  const made = new Image();
                  made.onload = () => done('loaded');
                  made.onerror = () => done('refused');
                  made.src = url + 'image';
                });
                const script = document.createElement('script');
                script.textContent = 'window.hacked = 1';
                document.body.append(script);
                return [await fetch(url + 'fetch', {mode: 'no-cors'}).then(() => 'sent', () => 'refused'), await image,
                        navigator.sendBeacon(url + 'beacon'), window.hacked ?? 'did not run'];
            }""",
            url,
        )
        page_of.page.wait_for_timeout(500)
        server.shutdown()
    assert (ended[0], ended[1], ended[3]) == ("refused", "refused", "did not run")
    assert reached == []


def test_hostile_text(browser, tmp_path):
    """Whatever a collection and a question hold is shown as text: nothing of it runs, and nothing breaks the page."""
    texts = [HOSTILE[i % len(HOSTILE)] for i in range(45)]
    metadatas = [{"source": text, "page": i, "note": text} for i, text in enumerate(texts)]
    write_chroma(tmp_path / "db", collection("hostile", rows=45, texts=texts, metadatas=metadatas))
    (tmp_path / "question.json").write_text(json.dumps(np.random.default_rng(8).normal(size=8).tolist()))
    run = export(
        tmp_path / "db",
        question=" ".join(HOSTILE),
        answer=HOSTILE[0],
        question_vector=tmp_path / "question.json",
        logdir=tmp_path / "logs",
        run="hostile",
    )
    assert run_cli(["share", str(run.path), "-o", str(tmp_path / "run.html"), "--quiet"]) == 0
    page = Shared(browser, tmp_path / "run.html")
    try:
        assert page.state()["points"] == 46
        page.page.locator("tr[data-row]").first.click()
        page.page.wait_for_timeout(300)
        assert page.page.evaluate("() => window.hacked") is None
        assert (page.faults, page.said, page.left) == ([], [], [])
        shown = [row[5] for row in page.page.evaluate(TABLE)]
        assert [" ".join(text.split()) for text in shown] == [" ".join(h.text.split()) for h in run.questions[0].hits]
        assert "</script><script>window.hacked = 1</script>" in page.page.inner_text(".question")
    finally:
        page.close()


def test_map_only(little, browser, tmp_path, capsys):
    """--map-only leaves the vectors out: the file is smaller by their size at least, and opens on the same view."""
    whole, small = tmp_path / "whole.html", tmp_path / "small.html"
    assert run_cli(["share", str(little.path), "-o", str(whole)]) == 0
    assert "vectors (from which much of a text can be guessed)" in capsys.readouterr().err
    assert run_cli(["share", str(little.path), "-o", str(small), "--map-only"]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(small)
    assert "vectors" not in err
    assert f"301 points, {small.stat().st_size / 1e6:.1f} MB" in err
    assert small.stat().st_size < whole.stat().st_size - 300 * 60 * 4
    page = Shared(browser, small)
    try:
        assert [name.rsplit(" ", 1)[0] for name in page.state()["tensors"]] == ["around_question", "map"]
        assert page.faults == []
    finally:
        page.close()


COMPARED = """() => [...document.querySelectorAll('details[open] tbody tr')]
  .map((row) => [...row.cells].map((cell) => cell.innerText))"""


def test_two_runs_on_one_map(browser, tmp_path):
    """Of two runs on one map the page has the figures of both, and the questions that moved; a click selects B's."""
    questions = [{"id": f"s{i}", "question": f"text {i}", "relevant": [f"id{i}"]} for i in range(12)]
    vectors = Lookup().vectors
    turned = np.concatenate([-vectors[:5], vectors[5:]])
    given = {"question_set": questions, "model": Lookup(), "logdir": tmp_path / "logs", "index": False, "top_k": 2}
    a, b = (
        export(write_chroma(tmp_path / name, collection(vectors=stored)), run=name, projection="pca", **given)
        for name, stored in (("a", turned), ("b", vectors))
    )
    found = compare(a, b)
    joint = join(a, b, found, logdir=tmp_path / "logs", run="joint")
    assert run_cli(["share", str(joint.path), "-o", str(tmp_path / "joint.html"), "--quiet"]) == 0
    page = Shared(browser, tmp_path / "joint.html")
    try:
        assert page.counts()[0] == joint.facts["points"] == 84
        assert page.page.evaluate(STATE)["bookmarks"] == [True, False, False]
        assert page.page.evaluate(STATE)["spherized"] is False
        rows = page.page.evaluate(COMPARED)
        assert [row[0] for row in rows[: len(found.metrics)]] == list(found.metrics)
        assert rows[0][1:3] == [f"{found.metrics['hit@1'].a:.3f}", f"{found.metrics['hit@1'].b:.3f}"]
        moved = [[str(one.a.first_rank), str(one.b.first_rank), one.b.text] for one in found.moved]
        assert rows[len(found.metrics) :] == moved
        assert len(moved) >= 3
        page.page.locator("tr[data-row]").nth(1).click()
        [row] = page.page.evaluate("() => window.projector().selectedPointIndices")
        assert page.scene().labels[row].endswith(f": {found.moved[1].b.text}")
        assert page.scene().labels[row].startswith("★ B ")
        assert (page.faults, page.said, page.left) == ([], [], [])
    finally:
        page.close()


def test_nothing_but_the_map(little, browser, tmp_path):
    """With everything taken out the page still opens, its table has no empty columns, and a click selects the point."""
    everything = ["--map-only", "--no-text", "--redact", "source", "--redact", "page", "--anonymize-ids"]
    assert run_cli(["share", str(little.path), "-o", str(tmp_path / "run.html"), "--quiet", *everything]) == 0
    page = Shared(browser, tmp_path / "run.html")
    try:
        assert page.page.locator("details[open] th").all_inner_texts() == ["rank", "distance", "answer", "chunk"]
        page.page.locator("tr[data-row]").nth(4).click()
        [row] = page.page.evaluate("() => window.projector().selectedPointIndices")
        scene = page.scene()
        assert scene.ids[row] == page.page.locator("tr.selected td").nth(3).inner_text()
        assert scene.labels[row] == f"#5 {scene.ids[row]}"
        assert (page.faults, page.said, page.left) == ([], [], [])
    finally:
        page.close()


MANY = """
import sys
import chromadb, numpy
made = chromadb.PersistentClient(sys.argv[1]).create_collection("many", embedding_function=None)
vectors = numpy.random.default_rng(5).normal(size=(19999, 12)).astype("float32")
for start in range(0, 19999, 5000):
    ids = [f"id{i}" for i in range(19999)][start : start + 5000]
    made.add(ids=ids, embeddings=vectors[start : start + 5000], documents=[f"passage {one}" for one in ids])
"""


def test_twenty_thousand_points(browser, tmp_path):
    """20,000 points open as well, each drawn somewhere."""
    subprocess.run([sys.executable, "-c", MANY, str(tmp_path / "db")], check=True, capture_output=True)
    (tmp_path / "question.json").write_text(json.dumps([1.0] * 12))
    asked = {"question": "Which?", "question_vector": tmp_path / "question.json", "projection": "pca", "tsv": False}
    run = export(tmp_path / "db", logdir=tmp_path / "logs", **asked)
    assert run_cli(["share", str(run.path), "-o", str(tmp_path / "run.html"), "--quiet"]) == 0
    page = Shared(browser, tmp_path / "run.html")
    try:
        assert page.counts() == [20_000, 20_000, 0]
        assert page.faults == []
    finally:
        page.close()
