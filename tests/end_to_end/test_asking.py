"""A question typed into the open page, in a real TensorBoard and a real browser, by the real model."""

import shutil

import numpy as np
import pytest

from exporter import export, open_run, serve
from exporter.errors import ModelError
from tests.end_to_end.browser import Projector
from tests.end_to_end.test_opening import BOX, HOSTILE, NOTICE
from tests.serving.little_runs import get

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.browser]

QUESTION, ANSWER = "How do I pause my program and inspect variables?", "set_trace"
STATUS = "vz-projector #chroma-projector-status"
HITS = "vz-projector #chroma-projector-hits"
CHOSEN = """() => [...window.panel('data-panel').shadowRoot.querySelectorAll('paper-dropdown-menu')]
  .map((menu) => menu.value)"""


@pytest.fixture(scope="module")
def logdir(demo_logdir, tmp_path_factory):
    """A copy of the demo's runs, as questions add to it."""
    return shutil.copytree(demo_logdir, tmp_path_factory.mktemp("asking") / "logs")


@pytest.fixture(scope="module")
def served(logdir, demo_directory):
    with serve(logdir, port=0, source=demo_directory) as server:
        yield server


@pytest.fixture(scope="module")
def exported(demo_directory, tmp_path_factory):
    """The same question by `export`."""
    logdir = tmp_path_factory.mktemp("exported") / "logs"
    return export(demo_directory, question=QUESTION, answer=ANSWER, logdir=logdir, projection="pca", tsv=False)


def type_in(page, question, answer="", *, enter=True):
    """Type a question, and perhaps words of its answer, and Enter."""
    field = page.frame.locator("#chroma-projector-ask input[name=question]")
    field.focus()
    field.fill(question)
    page.frame.locator("#chroma-projector-ask input[name=answer]").fill(answer)
    page.frame.evaluate("() => { window.projector().dataSet.seenBefore = true; }")
    if enter:
        field.press("Enter")


def wait_for_answer(page):
    """Until the page has gone to the new run by itself; its name."""
    page.frame.wait_for_function("() => window.pictureIsNew()", timeout=120_000)
    return page.state()["run"]


def refused(page, question):
    """What the page says to a question that is refused."""
    type_in(page, question)
    said = page.frame.locator(STATUS)
    page.frame.wait_for_function(
        "() => /rgb\\(179/.test(getComputedStyle(window.projector().shadowRoot"
        ".querySelector('#chroma-projector-status')).color)",
        timeout=60_000,
    )
    return said.inner_text()


def test_a_question(served, projector, logdir, exported):
    """Enter leads to the new run by itself, and the page's lists name it: the hits of `export`, marked, listed, and
    selected by a click; no old point moves; the earlier runs are one click away.
    """
    projector.open_in_tensorboard(served.projector_url)
    projector.frame.evaluate("() => { window.stillHere = true; }")
    type_in(projector, QUESTION, ANSWER)
    name = wait_for_answer(projector)
    run = open_run(logdir / name)
    assert run.questions == exported.questions
    assert run.facts["asked"]["over"] == "source"

    assert {name, projector.state()["tensor"]} <= set(projector.frame.evaluate(CHOSEN))

    scene = projector.scene()
    assert scene.flat
    assert scene.lines == 10
    assert scene.labels[-1] == "★ question"
    assert [label.split()[0] for label in scene.labels[-11:-1]] == [f"#{rank}" for rank in range(10, 0, -1)]
    box = projector.frame.locator(BOX).inner_text()
    assert box.startswith(f"★ {QUESTION}\n")
    assert f"first answer at rank {exported.questions[0].first_answer_rank}" in box
    assert "ranked over the collection" in box

    rows = projector.frame.locator(f"{HITS} .hit")
    assert rows.count() == 10
    for place, hit in enumerate(exported.questions[0].hits):
        text = rows.nth(place).inner_text()
        assert text.startswith(f"#{hit.rank} {hit.distance:.4f} ")
        assert ("■" in text) == hit.contains_answer
        assert " ".join(hit.text[:40].split()) in " ".join(text.split())
    rows.nth(2).click()
    selected = projector.scene().selected
    assert [scene.ids[row] for row in selected] == [exported.questions[0].hits[2].id]

    projector.show(name, "map")
    after = dict(zip(scene.ids, projector.scene().shown.tolist(), strict=True))
    projector.show("demo-missed", "map")
    before = dict(zip(projector.scene().ids, projector.scene().shown.tolist(), strict=True))
    assert all(after[chunk] == place for chunk, place in before.items() if chunk != "question-1")

    projector.frame.evaluate("() => { window.projector().dataSet.seenBefore = true; }")
    projector.frame.locator(f"{BOX} a", has_text="★ How do I pause").click()
    assert wait_for_answer(projector) == name
    projector.frame.evaluate("() => { window.projector().dataSet.seenBefore = true; }")
    projector.frame.locator(f"{BOX} a", has_text="demo-missed").click()
    assert wait_for_answer(projector) == "demo-missed"
    assert projector.frame.evaluate("() => window.stillHere")
    assert projector.faults == []


def test_nothing_is_over_the_hits(served, projector):
    """In a window of 1400 x 900 the boxes lie over neither the star nor a hit."""
    projector.open_in_tensorboard(served.projector_url)
    type_in(projector, QUESTION, ANSWER)
    wait_for_answer(projector)
    scene = projector.scene()
    plot = projector.frame.locator("vz-projector #scatter").bounding_box()
    left, top, _ = scene.project()
    marked = np.array([role.startswith("retrieved") or role == "question" for role in scene.roles])
    for part in (BOX, HITS):
        box = projector.frame.locator(part).bounding_box()
        x, y = left + plot["x"], top + plot["y"]
        over = (x > box["x"]) & (x < box["x"] + box["width"]) & (y > box["y"]) & (y < box["y"] + box["height"])
        assert not (over & marked).any()


def test_two_tabs(served, browser, projector, logdir):
    """Two tabs that ask at once both get theirs, and are told of no other run."""
    other = Projector(browser)
    asked = {"What is a coroutine?": projector, "What does the global statement do?": other}
    for page in asked.values():
        page.open(served.url)
    for question, page in asked.items():
        type_in(page, question)
    for question, page in asked.items():
        run = open_run(logdir / wait_for_answer(page))
        assert run.questions[0].text == question
        assert question in page.frame.locator(BOX).inner_text()
    projector.page.wait_for_timeout(3500)
    assert [page.frame.locator(NOTICE).count() for page in asked.values()] == [0, 0]
    assert [page.faults for page in asked.values()] == [[], []]
    other.close()


def test_what_is_refused(served, projector, logdir):
    """White space and 8,001 characters are refused in words, nothing is published, and the next question is answered;
    hostile HTML in question and answer is text everywhere.
    """
    projector.open(served.url)
    before = sorted(logdir.iterdir())
    assert "missing" in refused(projector, "   ")
    assert "8,001 characters" in refused(projector, "x" * 8001)
    assert sorted(logdir.iterdir()) == before
    type_in(projector, HOSTILE, "<script>window.hacked = 1</script>")
    run = open_run(logdir / wait_for_answer(projector))
    assert run.questions[0].text == HOSTILE
    assert projector.frame.locator(BOX).inner_text().startswith(f"★ {HOSTILE}")
    assert projector.frame.evaluate("() => window.hacked") is None
    assert projector.frame.locator("vz-projector img[src=x]").count() == 0
    assert projector.faults == []


def test_keep(demo_logdir, demo_directory, tmp_path, projector):
    """A run that is kept has its name at once in the page; what was not kept is gone when the server stops."""
    logdir = shutil.copytree(demo_logdir, tmp_path / "logs")
    with serve(logdir, port=0, source=demo_directory) as server:
        projector.open(server.url)
        for question in ("What is a coroutine?", QUESTION):
            type_in(projector, question)
            wait_for_answer(projector)
        projector.frame.locator(f"{BOX} a", has_text="Keep").click()
        name = projector.frame.locator("#chroma-projector-keep input[name=name]")
        name.fill("pause")
        projector.frame.evaluate("() => { window.projector().dataSet.seenBefore = true; }")
        name.press("Enter")
        assert wait_for_answer(projector) == "pause"
        projector.page.wait_for_timeout(3500)
        assert projector.frame.locator(NOTICE).count() == 0
        assert projector.frame.locator(f"{BOX} a", has_text="Keep").count() == 0
        assert len(list(logdir.glob("[!.]*"))) == 4
        assert projector.faults == []
    assert sorted(path.name for path in logdir.glob("[!.]*")) == ["demo-found", "demo-missed", "pause"]
    assert open_run(logdir / "pause").questions[0].text == QUESTION


class Given:
    """A model that gives one of the run's own vectors, or fails."""

    def __init__(self, vector=None):
        self.vector = vector

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        if self.vector is None:
            raise ModelError("out of memory <b>now</b>")
        return self.vector


def test_failures(demo_logdir, tmp_path, projector):
    """A source that has gone: the run's own vectors are ranked, and the box says so. A model that fails, one that can't
    be loaded, and a server that has stopped are told in the page, which lives on.
    """
    logdir = shutil.copytree(demo_logdir, tmp_path / "logs")
    run = open_run(logdir / "demo-missed")
    row = int(np.flatnonzero(run.points["role"] == "answer")[0])
    with serve(logdir, port=0, source=tmp_path / "gone", model=Given(run.points.vectors[row])) as server:
        projector.open(server.url)
        type_in(projector, "Where is it?", str(run.points["text"][row])[:60])
        asked = open_run(logdir / wait_for_answer(projector))
        assert asked.questions[0].hits[0].id == run.points["id"][row]
        assert asked.questions[0].first_answer_rank == 1
        box = projector.frame.locator(BOX).inner_text()
        assert "chunks of demo-missed" in box
        assert "first 300 characters" in box
    assert "reached" in refused(projector, "Is anybody there?")
    for model, said in ((Given(), "out of memory <b>now</b>"), ("./no-such-model", "can't be loaded")):
        with serve(logdir, port=0, model=model) as server:
            projector.open(server.url)
            assert said in refused(projector, "Where is it?")
            assert projector.state()["run"] == "demo-missed"
    assert projector.faults == []


def test_no_ask(demo_logdir, projector):
    """With `--no-ask`, and without `--ask` where others reach the server, nothing can be asked; no field is there."""
    for options in ({"ask": False}, {"host": "0.0.0.0"}, {"bind_all": True}):
        with serve(demo_logdir, port=0, **options) as server:
            assert get(server, "ask")[0] == 404
            assert b"data-token" not in get(server, "projector_binary.html")[1]
    with serve(demo_logdir, port=0, host="0.0.0.0", ask=True) as server:
        assert get(server, "ask")[0] == 405
    with serve(demo_logdir, port=0, ask=False) as server:
        projector.open(server.url)
        assert projector.frame.locator(BOX).inner_text().startswith("★ How do I step")
        assert projector.frame.locator("#chroma-projector-ask").count() == 0


def test_stock_shows_what_was_asked(served, logdir, browser, projector):
    """A run that was asked for opens in stock TensorBoard as any other."""
    projector.open(served.url)
    type_in(projector, "Can I use else after a for loop?")
    name = wait_for_answer(projector)
    stock = Projector(browser)
    with serve(logdir, port=0, stock=True) as server:
        stock.open(server.url)
        stock.show(name)
        scene = stock.scene()
        assert scene.labels[-1] == "★ question"
        assert scene.lines == 10
        assert stock.faults == []
    stock.close()
