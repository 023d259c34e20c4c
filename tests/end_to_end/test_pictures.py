"""What is seen of a run before any click and after each, in a real TensorBoard and a real browser."""

import json
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageColor

from exporter import export, open_run, serve
from exporter.cli.app import run as run_cli
from exporter.embedding.models import MINILM, load_model
from exporter.layouts.dartboard import CENTRED
from exporter.records import Collection
from exporter.runs.metadata import FIXED_COLUMNS
from exporter.runs.points import ANSWER, CHUNK, QUESTION, RETRIEVED, RETRIEVED_ANSWER
from exporter.runs.sprites import COLOURS, Glyph, draw
from exporter.runs.verify import read_tensor
from tests.conftest import collection, write_chroma
from tests.end_to_end.browser import Projector

pytestmark = pytest.mark.xdist_group("pictures")

ROLES = {CHUNK, ANSWER, RETRIEVED, RETRIEVED_ANSWER, QUESTION}
QUESTIONS = {
    "q1": ("What happens when I divide an integer by zero?", "ZeroDivisionError"),
    "q2": ("How do I make a generator yield values from another generator?", "yield from"),
    "q3": ("Which method is called when an attribute is not found?", "__getattr__"),
    "q4": ("What is the precedence of the walrus operator?", "assignment expression"),
    "q5": ("How do I create a context manager?", "__enter__"),
    "q6": ("What does the global statement do?", "global"),
    "q7": ("Can I use else after a for loop?", "loop's else clause"),
    "q8": (
        "How are default parameter values evaluated?",
        "evaluated from left to right when the function definition is executed",
    ),
    "q9": (
        "why does my default list argument keep old values between calls",
        "default parameter values are evaluated from left to right",
    ),
    "q10": ("How do I step into a function in the debugger?", "stop at the first possible occasion"),
    "q11": ("How do I pause my program and inspect variables?", "set_trace"),
    "q12": ("How do I format a number with a thousands separator?", "thousands"),
}
MISSED = "q10"

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "\"'`${window.hacked = 1}`</textarea><svg onload=window.hacked=1>",
    "one line\u2028and two\u2029and three",
    "left \u202eright-to-left\u202c \u2066isolated\u2069 \u200fmark",
    "__proto__",
    "constructor",
    '=HYPERLINK("javascript:window.hacked=1")',
    "javascript:window.hacked = 1",
    "[[window.hacked = 1]] {{constructor.constructor('window.hacked = 1')()}}",
]

BIG = """
import sys
import chromadb, numpy
made = chromadb.PersistentClient(sys.argv[1]).create_collection("big", embedding_function=None)
vectors = numpy.random.default_rng(5).normal(size=(5999, 8)).astype("float32")
for start in range(0, 5999, 3000):
    ids = [f"id{i}" for i in range(5999)][start : start + 3000]
    made.add(ids=ids, embeddings=vectors[start : start + 3000], documents=[f"passage {one}" for one in ids])
"""


# ---------------------------------------------------------------- runs


class Remembered:
    """The model, asked once for each text: every export checks it on the same chunks."""

    def __init__(self, encoder):
        self.encoder, self.known = encoder, {}

    def embed_documents(self, texts):
        if missing := [text for text in texts if text not in self.known]:
            self.known.update(zip(missing, self.encoder.embed_documents(missing), strict=True))
        return [self.known[text] for text in texts]

    def embed_query(self, text):
        return self.encoder.embed_query(text)


@pytest.fixture(scope="module")
def ask_demo(demo_directory):
    """Exports one of the twelve questions on the demo collection, by the real model."""
    model = Remembered(load_model(MINILM, Collection("python-reference", 0, 384, "l2", "default")).encoder)

    def ask(name, logdir, **options):
        question, answer = QUESTIONS[name]
        return export(
            demo_directory, question=question, answer=answer, model=model, logdir=logdir, run=name, tsv=False, **options
        )

    return ask


@pytest.fixture(scope="module")
def missed(ask_demo, tmp_path_factory):
    """The demo's missed question, alone in its log directory, so that it opens."""
    return ask_demo(MISSED, tmp_path_factory.mktemp("missed") / "logs")


@pytest.fixture(scope="module")
def twelve(ask_demo, missed, tmp_path_factory):
    """The twelve questions, by name. The dartboard has nothing to do with the map, so that is the quicker one."""
    logdir = tmp_path_factory.mktemp("twelve") / "logs"
    runs = {name: ask_demo(name, logdir, projection="pca") for name in QUESTIONS if name != MISSED}
    shutil.copytree(missed.path, logdir / MISSED)
    return {**runs, MISSED: missed}


def random_vectors(seed, rows):
    """Chunks, and one vector more for the question."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(rows, 8)), generator.normal(size=8)


SIZES = {  # name: (rows, seed)
    "three": (3, 1),
    "four": (4, 1),
    "six": (6, 1),
    "eleven": (11, 1),
    "twelve": (12, 1),
    "thirty": (30, 96),
    "plain": (40, 2),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Runs of collections of random vectors, by name, in one log directory."""
    folder = tmp_path_factory.mktemp("small")
    stored, asked = [], {}
    for name, (rows, seed) in SIZES.items():
        vectors, question = random_vectors(seed, rows)
        texts = [f"passage {row:04d}" for row in range(rows)]
        stored.append(collection(name, vectors, texts=texts))
        asked[name] = {"question": "Which?", "answer": "passage 0002", "vectors": question}
    vectors, question = random_vectors(3, 300)
    stored.append(collection("several", vectors, texts=[f"passage {row:04d}" for row in range(300)]))
    near = question + 0.3 * np.random.default_rng(4).normal(size=(3, 8))
    orders = [np.argsort(np.linalg.norm(vectors - one, axis=1)) for one in near]
    asked["several"] = {
        "question": ["What is found?", "What is missed?", "What else is missed?"],
        "answer": [f"passage {order[place]:04d}" for order, place in zip(orders, (0, 20, 30), strict=True)],
        "vectors": near,
    }
    vectors, _ = random_vectors(6, len(HOSTILE) + 5)
    texts = [*HOSTILE, *(f"harmless {row}" for row in range(5))]
    metadatas = [{"source": text, "page": row, **dict.fromkeys(HOSTILE, text)} for row, text in enumerate(texts)]
    stored.append(collection("hostile", vectors, texts=texts, metadatas=metadatas))
    asked["hostile"] = {
        "question": [" ".join(HOSTILE[:5]), HOSTILE[0], "\u202e" + HOSTILE[1]],
        "answer": HOSTILE[0],
        "vectors": vectors[:3] + 0.1,
    }
    directory = write_chroma(folder / "db", *stored)
    subprocess.run([sys.executable, "-c", BIG, str(folder / "big")], check=True, capture_output=True)
    asked["big"] = {"question": "Which?", "answer": "passage id7", "vectors": random_vectors(6, 1)[1]}
    runs = {}
    for name, options in asked.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(options.pop("vectors").tolist()))
        source = folder / "big" if name == "big" else directory
        runs[name] = export(
            source, collection=name, question_vector=file, logdir=folder / "logs", run=name, tsv=False, **options
        )
    for name, flags in {
        "on-map": ["--open-on", "map", "--no-sprites"],
        "on-vectors": ["--open-on", "vectors", "--no-lines"],
    }.items():
        asking = ["--question", "Which?", "--question-vector", folder / "plain.json", "--logdir", folder / "logs"]
        command = ["export", directory, "--collection", "plain", "--run", name, *asking, *flags]
        assert run_cli([str(argument) for argument in command]) == 0
        runs[name] = open_run(folder / "logs" / name)
    return runs


# ---------------------------------------------------------------- pages


@pytest.fixture(scope="module")
def new_page(browser):
    """Opens a page on a server; all are closed at the end."""
    pages = []

    def open_page(url):
        pages.append(Projector(browser))
        pages[-1].open(url)
        pages[-1].settle()
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def missed_url(missed):
    with serve(missed.path.parent, port=0) as server:
        yield server.url


@pytest.fixture(scope="module")
def small_url(small):
    with serve(small["plain"].path.parent, port=0) as server:
        yield server.url


@pytest.fixture(scope="module")
def one_page(small_url, new_page):
    return new_page(small_url)


@pytest.fixture
def small_page(one_page):
    """One page for all small runs; a test that may leave it unusable has its own."""
    one_page.faults.clear()
    return one_page


@pytest.fixture(scope="module")
def stock_page(twelve, new_page):
    """The twelve questions in stock TensorBoard."""
    with serve(twelve["q1"].path.parent, port=0, stock=True) as server:
        yield new_page(server.url)


# ---------------------------------------------------------------- what is looked at


def ink(pixels, scene, row, role=None):
    """The share of a glyph's cell that has the colour of its role, or of another role."""
    left, top, _ = scene.project()
    half = scene.sizes()[row] / 2
    cut = pixels[
        round(top[row] - half) : round(top[row] + half) + 1, round(left[row] - half) : round(left[row] + half) + 1
    ]
    colour = ImageColor.getrgb(COLOURS[role or scene.roles[row]])
    return float((np.abs(cut - colour).max(axis=2) <= 32).mean()) if cut.size else 0.0


INK = {QUESTION: 0.12, RETRIEVED: 0.18, RETRIEVED_ANSWER: 0.25, ANSWER: 0.15}
"""The least share that is a glyph: a star is slim, an answer a frame, and numbers and the page's axes take theirs."""


def line(pixels, scene, start, end):
    """The share of the way between two rows on which something is drawn; None where glyphs and axes leave too little.

    The page's own axes start in the middle as well.
    """
    left, top, _ = scene.project()
    sizes = scene.sizes()
    way = np.linspace(0, 1, 200)
    x, y = left[start] + way * (left[end] - left[start]), top[start] + way * (top[end] - top[start])
    away = np.maximum(np.abs(x[:, None] - left), np.abs(y[:, None] - top))
    clear = (away > sizes / 2 + 1).all(axis=1)
    axes_left, axes_top, _ = scene.project([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    for axis in () if scene.flat else (1, 2, 3):
        on_axis = np.linspace(0, 1, 400)[:, None]
        axis_x = axes_left[0] + on_axis * (axes_left[axis] - axes_left[0])
        axis_y = axes_top[0] + on_axis * (axes_top[axis] - axes_top[0])
        clear &= (np.hypot(axis_x - x, axis_y - y) > 4).all(axis=0)
    if clear.sum() < 20:
        return None
    drawn = np.abs(pixels - 255).max(axis=2) > 10
    x, y = x[clear].round().astype(int), y[clear].round().astype(int)
    return float(np.mean([drawn[b - 1 : b + 2, a - 1 : a + 2].any() for a, b in zip(x, y, strict=True)]))


HALF = {CHUNK: 0.12, ANSWER: 0.44, RETRIEVED: 0.44, RETRIEVED_ANSWER: 0.44, QUESTION: 0.47}
"""Half of what a glyph fills of its cell; as runs.sprites draws it."""


def in_front_of(scene, row, share):
    """The rows that are drawn over the middle `share` of a row's glyph."""
    left, top, depth = scene.project()
    sizes = scene.sizes()
    reach = sizes * [HALF[role] for role in scene.roles] + sizes[row] * share / 2
    over = (np.abs(left - left[row]) < reach) & (np.abs(top - top[row]) < reach) & (depth <= depth[row])
    return [other for other in np.flatnonzero(over).tolist() if other != row]


def question_row(scene, question=0):
    """The first question is the last row."""
    return len(scene.labels) - 1 - question


def rows_of_hits(run, scene, question=0):
    """Question and hits, nearest first."""
    row_of = {name: row for row, name in enumerate(scene.ids)}
    return [question_row(scene, question), *(row_of[hit.id] for hit in run.questions[question].hits)]


def off_middle(scene, row):
    """How far a row is from the middle of the page's axes, in half widths."""
    return float(np.abs(scene.positions[row, :2]).max())


def stretched(shown):
    """Coordinates, each axis from -1 to 1, as the page draws them; 0 where an axis has no width."""
    low, high = shown.min(axis=0), shown.max(axis=0)
    width = np.where(high > low, high - low, 1)
    return np.where(high > low, 2 * (shown - low) / width - 1, 0)


def shipped(run, kind, place):
    """What the run's file says of a bookmark."""
    (file,) = (run.path / "assets").glob(f"bookmarks-{kind}-*.json")
    return json.loads(file.read_text())[place]


def assert_bookmark(page, run, kind, place, *, question=0, selects=False, colour="No color map"):
    """A bookmark was clicked: what is shown is what it says, and what the run says."""
    scene, view = page.scene(), shipped(run, kind, place)
    assert page.faults == []
    assert scene.components == ["umap-0", "umap-1", "umap-2"][: len(scene.components)]
    assert [[entry[name] for name in scene.components] for entry in view["projections"]] == scene.shown.tolist()
    drawn = scene.positions[:, : len(scene.components)]
    np.testing.assert_allclose(drawn, stretched(scene.shown), atol=1e-5)
    expected = rows_of_hits(run, scene, question) if selects else []
    assert scene.selected == expected
    assert scene.listed == [scene.labels[row] for row in expected]
    assert scene.colour == colour
    if not selects:
        legend = {value: ImageColor.getrgb(rgb) for value, rgb in scene.legend}
        assert bool(legend) == (colour != "No color map")
        told = [legend[group] if legend else (255, 255, 255) for group in scene.groups]
        np.testing.assert_allclose(scene.colours * 255, told, atol=2)
    return scene


# ---------------------------------------------------------------- the opening


@pytest.fixture(scope="module", params=["ours", "stock"])
def opened(request, missed, browser):
    """TensorBoard's own page on the Projector's tab, untouched but that the camera is held."""
    page = Projector(browser)
    with serve(missed.path.parent, port=0, stock=request.param == "stock") as server:
        page.open_in_tensorboard(server.projector_url)
        page.settle()
        yield page
        page.close()


@pytest.mark.browser
def test_glyphs_on_opening(opened):
    """Before any click the star, ten hits and the answer are drawn, in their colours, where the camera sees them."""
    scene, pixels = opened.scene(), opened.picture()
    assert scene.selected == []
    special = [row for row, role in enumerate(scene.roles) if role != CHUNK]
    assert [scene.roles[row] for row in special] == [ANSWER, *[RETRIEVED] * 10, QUESTION]
    for row in special:
        assert ink(pixels, scene, row) > INK[scene.roles[row]], scene.labels[row]
        others = {RETRIEVED, ANSWER, QUESTION} - {scene.roles[row]}
        assert max(ink(pixels, scene, row, other) for other in others) < 0.05, scene.labels[row]
    assert opened.faults == []


@pytest.mark.browser
def test_lines_on_opening(opened, missed):
    """Before any click a line joins the star with each of its hits."""
    scene, pixels = opened.scene(), opened.picture()
    star, *hits = rows_of_hits(missed, scene)
    drawn = [line(pixels, scene, star, hit) for hit in hits]
    judged = [share for share in drawn if share is not None]
    assert len(judged) >= 6, drawn
    assert min(judged) > 0.7, drawn
    chunk = scene.roles.index(CHUNK)
    assert (line(pixels, scene, star, chunk) or 0) < 0.5
    assert scene.lines == 10


# ---------------------------------------------------------------- twelve real questions


@pytest.mark.browser
@pytest.mark.parametrize("name", QUESTIONS)
def test_ranks_can_be_read(stock_page, twelve, name):
    """At the stock camera the star stands in the middle, not covered, the hits around it, and 10 of 10 can be read."""
    stock_page.show(name, "around_question")
    scene = stock_page.scene()
    star, *hits = rows_of_hits(twelve[name], scene)
    assert not scene.flat
    assert scene.roles[star] == QUESTION
    assert [scene.labels[hit].split()[0] for hit in hits] == [f"#{rank}" for rank in range(1, 11)]
    assert off_middle(scene, star) < CENTRED
    assert not scene.positions[:, 2].any()  # else perspective would reorder the ranks
    left, top, _ = scene.project()
    half = scene.sizes() / 2
    inside = (left > half) & (left < scene.width - half) & (top > half) & (top < scene.height - half)
    assert inside[[star, *hits]].all()
    assert in_front_of(scene, star, 2 * HALF[QUESTION]) == []
    assert [scene.labels[hit] for hit in hits if in_front_of(scene, hit, 0.58)] == []
    away = np.hypot(*(scene.positions - scene.positions[star])[:, :2].T)
    assert away[hits].max() < np.delete(away, [star, *hits]).min()
    assert stock_page.faults == []


# ---------------------------------------------------------------- bookmarks

LABELS = {
    "around_question": ["★ question ● top 10 ■ answer", "closer: the top 10", "top 10 in rank order"],
    "map": ["★ question ● top 10 ■ answer · keeps", "top 10 in rank order", "by source", "flat"],
    "vectors": ["★ question ● top 10 ■ answer", "top 10 in rank order"],
}
kinds = partial(pytest.mark.parametrize, "kind", LABELS)


@pytest.fixture(scope="module")
def views(missed, missed_url, new_page):
    """A page for each tensor of the missed question."""
    pages = {kind: new_page(missed_url) for kind in LABELS}
    for kind, page in pages.items():
        page.show(missed.name, kind)
    return pages


@pytest.mark.browser
@kinds()
def test_bookmarks(views, missed, kind):
    """A click on a bookmark gives its places, colours, and selection in rank order, whatever was clicked before."""
    page = views[kind]
    labels = page.bookmarks(len(LABELS[kind]))
    assert len(labels) == len(LABELS[kind])
    for place in [*range(len(labels)), 0]:
        label = LABELS[kind][place]
        assert labels[place].startswith(label)
        page.click_bookmark(place)
        coloured = {"colour": "source_group"} if label == "by source" else {}
        scene = assert_bookmark(page, missed, kind, place, selects="rank order" in label, **coloured)
        if "rank order" in label:
            assert scene.listed[0] == "★ question"
            assert [listed.split()[0] for listed in scene.listed[1:]] == [f"#{rank}" for rank in range(1, 11)]
        if kind == "around_question":
            assert scene.flat
            assert off_middle(scene, question_row(scene)) < CENTRED
    first = np.array([list(entry.values())[:3] for entry in shipped(missed, kind, 0)["projections"]])
    if kind != "vectors":
        entry = next(entry for entry in missed.facts["tensors"] if entry["kind"] == kind)
        np.testing.assert_allclose(first, read_tensor(missed.path, entry["file"], tuple(entry["shape"])), atol=1e-4)


@pytest.mark.browser
def test_colours_by_source(views):
    """On the bookmark `by source` the chunks are really drawn in the colours of the page's legend."""
    page = views["map"]
    page.click_bookmark(page.bookmarks(4).index("by source"))
    scene, pixels = page.scene(), page.picture()
    legend = {value: np.array(ImageColor.getrgb(rgb)) for value, rgb in scene.legend}
    assert len(legend) == 10
    left, top, _ = scene.project()
    grey = np.array(ImageColor.getrgb(COLOURS[CHUNK])) / 255
    found = {group: [] for group in legend if group != QUESTION}
    for row, (x, y) in enumerate(zip(left.round().astype(int), top.round().astype(int), strict=True)):
        if scene.roles[row] == CHUNK and 1 < x < scene.width - 2 and 1 < y < scene.height - 2:
            near = np.abs(pixels[y - 1 : y + 2, x - 1 : x + 2] - legend[scene.groups[row]] * grey).max(axis=2)
            found[scene.groups[row]].append(near.min() < 24)
    assert {group: round(float(np.mean(seen)), 2) for group, seen in found.items() if np.mean(seen) < 0.5} == {}


@pytest.mark.browser
def test_nothing_drifts(views, missed):
    """What a bookmark shows is the same five seconds later: the page does not compute it again."""
    rounds = [{kind: (kind, place) for kind in LABELS} for place in range(2)]
    rounds.append({"around_question": ("around_question", 2), "map": ("map", 2), "vectors": ("map", 3)})
    for shown in rounds:
        before = {}
        for name, (kind, place) in shown.items():
            views[name].show(missed.name, kind)
            views[name].bookmarks(len(LABELS[kind]))
            views[name].click_bookmark(place)
            before[name] = views[name].scene()
        views["map"].page.wait_for_timeout(5_000)
        for name, scene in before.items():
            after = views[name].scene()
            assert after.components == scene.components
            assert (after.shown == scene.shown).all()
            assert (after.positions == scene.positions).all()
            assert (after.view == scene.view).all()
            assert views[name].faults == []


@pytest.mark.browser
@kinds()
def test_tabs_after_bookmarks(views, missed, kind):
    """After the bookmarks the PCA tab draws every point, and the UMAP tab does, while the page starts its own UMAP."""
    page = views[kind]
    page.show(missed.name, kind)
    for place in range(len(page.bookmarks(len(LABELS[kind])))):
        page.click_bookmark(place)
        page.click_tab("pca")
        scene = page.scene()
        assert scene.components == ["pca-0", "pca-1", "pca-2"]
        given = [[entry[name] for name in scene.components] for entry in shipped(missed, kind, place)["projections"]]
        assert scene.shown.tolist() == given
        assert np.isfinite(scene.positions).all()
    page.click_tab("umap")
    scene = page.scene()
    assert scene.components[:2] == ["umap-0", "umap-1"]
    assert np.isfinite(scene.positions).all()
    assert len(scene.positions) == len(scene.labels)
    if kind == "around_question":  # wait for the page's own: on all three it would take long
        words = "() => window.projector().shadowRoot.querySelector('#notify-msgs').innerText.includes('epoch')"
        page.frame.wait_for_function(words, timeout=60_000)
        assert np.isfinite(page.scene().positions).all()
    assert page.faults == []
    page.page.goto("about:blank")  # or it would go on computing


# ---------------------------------------------------------------- few rows, many rows, several questions


@pytest.mark.browser
@pytest.mark.parametrize("name", ["four", "eleven", "twelve", "thirty"])
def test_few_chunks(small_page, small, name):
    """With 4, 11, 12 and 30 chunks the page opens on a dartboard whose question is in the middle of the picture."""
    small_page.show(name)
    state, scene = small_page.state(), small_page.scene()
    assert state["tensor"].startswith("around_question")
    assert state["points"] == SIZES[name][0] + 1
    assert not state["blank"]
    assert off_middle(scene, question_row(scene)) < CENTRED
    for place, label in enumerate(small_page.bookmarks(3)):
        small_page.click_bookmark(place)
        scene = assert_bookmark(small_page, small[name], "around_question", place, selects="rank order" in label)
        assert off_middle(scene, question_row(scene)) < CENTRED


@pytest.mark.browser
def test_three_chunks(small_page, small):
    """Three chunks can't surround a question: there is no dartboard, and the page opens on the vectors, all drawn."""
    small_page.show("three")
    state = small_page.state()
    assert [name.rpartition(" ")[0] for name in state["tensors"]] == ["1 vectors", "2 map"]
    assert state["tensor"] == state["tensors"][0]
    assert state["drawn"] == 4
    assert not state["blank"]
    for place, label in enumerate(small_page.bookmarks(2)):
        small_page.click_bookmark(place)
        assert_bookmark(small_page, small["three"], "vectors", place, selects="rank order" in label)


@pytest.mark.browser
def test_several_questions(small_page, small):
    """Three questions that share hits: the first missed one has the dartboard, and each has bookmarks that work."""
    run = small["several"]
    assert [found.first_answer_rank for found in run.questions] == [1, 21, 31]
    hits = [{hit.id for hit in found.hits} for found in run.questions]
    assert hits[0] & hits[1]
    assert hits[1] & hits[2]
    small_page.show("several")
    scene, pixels = small_page.scene(), small_page.picture()
    assert scene.labels[-3:] == [f"★ q{3 - i} {run.questions[2 - i].text}" for i in range(3)]
    missed_row = question_row(scene, 1)
    assert off_middle(scene, missed_row) < CENTRED
    assert np.hypot(*scene.positions[question_row(scene, 0), :2]) > 0.1
    numbered = rows_of_hits(run, scene, 1)[1:]
    assert min(ink(pixels, scene, row, RETRIEVED) for row in numbered) > INK[RETRIEVED]
    labels = small_page.bookmarks(5)
    for place, label in enumerate(labels):
        small_page.click_bookmark(place)
        question = {"q1": 0, "q3": 2}.get(label.split()[0], 1)
        selects = place == 2 or question != 1
        scene = assert_bookmark(small_page, run, "around_question", place, question=question, selects=selects)
        assert off_middle(scene, question_row(scene, question)) < CENTRED
    assert labels[3:] == ["q1 What is found?", "q3 What else is missed?"]
    small_page.show("several", "map")
    labels = small_page.bookmarks(6)
    assert labels[4:] == ["q2 What is missed?", "q3 What else is missed?"]
    for place, question in ((1, 0), (4, 1), (5, 2)):
        small_page.click_bookmark(place)
        scene = assert_bookmark(small_page, run, "map", place, question=question, selects=True)
        assert scene.listed[0].startswith(f"★ q{question + 1} ")


@pytest.mark.browser
def test_6000_rows(small_page, small):
    """With 6,000 rows, above the 5,000 that the page's own UMAP keeps, the question is in every tensor and view."""
    for kind, count in (("around_question", 3), ("map", 4), ("vectors", 2)):
        small_page.show("big", kind)
        assert (
            small_page.frame.evaluate("() => window.projector().dataSet.points.at(-1).metadata.label") == "★ question"
        )
        assert small_page.counts() == [6_000, 6_000, 0]
        for place in range(len(small_page.bookmarks(count))):
            small_page.click_bookmark(place)
            assert small_page.frame.evaluate("() => window.projector().projection.projectionType") == "umap"
            assert small_page.counts() == [6_000, 6_000, 0]
    assert small_page.faults == []


# ---------------------------------------------------------------- Isolate


def isolate(page, rows):
    """Press `Isolate`, then `Show all data`: the page lives, without an error, and shows the right number of points."""
    every = page.frame.evaluate("() => window.projector().dataSet.points.length")
    page.frame.locator("vz-projector-inspector-panel .set-filter").click(timeout=20_000, no_wait_after=True)
    count = "(count) => window.projector().dataSet.points.length === count && window.pictureIsThere()"
    page.frame.wait_for_function(count, arg=rows, timeout=20_000)
    page.settle()
    assert page.faults == []
    assert page.counts() == [rows, rows, 0]
    page.frame.locator("vz-projector-inspector-panel .reset-filter").click(timeout=20_000)
    page.frame.wait_for_function(count, arg=every, timeout=20_000)
    page.settle()
    assert page.counts() == [every, every, 0]
    assert page.faults == []


def select(page, rows):
    """As a search or a rectangle does."""
    page.frame.evaluate("(rows) => window.projector().notifySelectionChanged(rows)", rows)


@pytest.mark.browser
def test_isolate(missed, missed_url, projector):
    """`Isolate` on the hits, a few chunks and all rows but one shows these, and `Show all data` shows all again."""
    projector.open(missed_url)
    projector.settle()
    every = missed.facts["points"]
    projector.bookmarks(3)
    projector.click_bookmark(2)
    isolate(projector, 11)
    select(projector, [3, 40, 41, 500, 1000])
    isolate(projector, 5)
    select(projector, list(range(every - 11, every)))  # hits and question in the order of the rows: lines among them
    isolate(projector, 11)
    for left_out in (0, every - 1):
        select(projector, [row for row in range(every) if row != left_out])
        isolate(projector, every - 1)


@pytest.mark.browser
def test_isolate_every_row(small, small_url, projector):
    """`Isolate` does not hang the page on a bookmark that selects every row, the question before its hits."""
    projector.open(small_url)
    projector.settle()
    projector.show("six")
    projector.bookmarks(3)
    projector.click_bookmark(2)
    isolate(projector, 7)


@pytest.mark.browser
def test_isolate_one_of_several(small_page, small):
    """With several questions `Isolate` shows the hits of each, though a hit's line may lead to another question."""
    small_page.show("several", "map")
    assert len(small_page.bookmarks(6)) == 6
    for place in (1, 4):
        small_page.click_bookmark(place)
        isolate(small_page, 11)


# ---------------------------------------------------------------- options


@pytest.mark.browser
def test_open_on_map_without_sprites(small_page, small):
    """`--open-on map` opens the map, and `--no-sprites` leaves plain dots: no image, none of the glyphs' colours."""
    small_page.show("on-map")
    state, scene, pixels = small_page.state(), small_page.scene(), small_page.picture()
    assert [name.rpartition(" ")[0] for name in state["tensors"]] == ["1 map", "2 around_question", "3 vectors"]
    assert state["tensor"] == state["tensors"][0]
    assert state["dimension"] == 3
    assert not scene.sprites
    assert scene.lines == 10
    for row in range(len(scene.labels)):
        assert max(ink(pixels, scene, row, role) for role in (RETRIEVED, ANSWER)) == 0
    assert "sprite" not in (small["on-map"].path / "projector_config.pbtxt").read_text()


@pytest.mark.browser
def test_open_on_vectors_without_lines(small_page, small):
    """`--open-on vectors` opens all dimensions, and `--no-lines` joins nothing; the run without options has both."""
    small_page.show("on-vectors")
    state, scene = small_page.state(), small_page.scene()
    assert [name.rpartition(" ")[0] for name in state["tensors"]] == ["1 vectors", "2 around_question", "3 map"]
    assert state["tensor"] == state["tensors"][0]
    assert state["dimension"] == 8
    assert scene.sprites
    assert scene.lines == 0
    assert "__seq_next__" not in state["columns"]
    small_page.show("plain")
    scene = small_page.scene()
    assert scene.sprites
    assert scene.lines == 10
    assert small_page.faults == []


# ---------------------------------------------------------------- hostile text


@pytest.mark.browser
def test_hostile_text(small_page, small):
    """Scripts, quotes, line separators, bidi marks and `__proto__` are text in every field: nothing runs or breaks."""
    run = small["hostile"]
    small_page.show("hostile")
    labels = small_page.bookmarks(5)
    assert [label.split()[0] for label in labels[3:]] == ["q1", "q3"]  # the dartboard is of the second
    assert "<script>" in labels[3]
    for place in range(5):
        small_page.click_bookmark(place)
        assert small_page.counts() == [len(run.points), len(run.points), 0]
    state, scene = small_page.state(), small_page.scene()
    assert [row["id"] for row in state["metadata"]] == list(run.points["id"])
    texts = [row["text"] for row in state["metadata"]]
    assert texts == [str(text) for text in run.points["text"]]
    assert {" ".join(text.split()) for text in HOSTILE} <= set(texts)  # as they are, but on one line
    assert run.facts["renamed"]["__proto__"] == "meta___proto__"
    assert len(state["columns"]) == len(set(state["columns"])) == len(run.facts["columns"])
    for row in (texts.index(HOSTILE[0]), texts.index(HOSTILE[1]), len(texts) - 1):  # the card and the neighbours
        select(small_page, [row])
        card = small_page.frame.locator("vz-projector-metadata-card #metadata-card").inner_text()
        assert texts[row] in card
    select(small_page, list(range(len(texts))))  # the list in the inspector, the labels in the plot
    assert small_page.scene().listed == scene.labels
    for column in {*state["colors"]} - {*FIXED_COLUMNS}:
        small_page.frame.evaluate("(name) => { window.panel('data-panel').selectedColorOptionName = name; }", column)
    small_page.page.wait_for_timeout(300)
    untouched = "() => [window.hacked === undefined, Object.keys(Object.prototype).length]"
    assert small_page.frame.evaluate(untouched) == [True, 0]
    assert small_page.frame.locator("script", has_text="hacked").count() == 0
    assert small_page.frame.locator("vz-projector img[src=x]").count() == 0
    assert small_page.faults == []


# ---------------------------------------------------------------- grey


def inks(grey):
    """Which pixels of a small grey picture are no paper, and how dark these are."""
    mask = grey < 215
    return mask, float(np.median(grey[mask]))


def told_apart(one, other):
    """By luminance, 25 of 255 steps; or by shape: fewer than two of three inked pixels are inked in both."""
    (one_mask, one_shade), (other_mask, other_shade) = inks(one), inks(other)
    shared = (one_mask & other_mask).sum() / (one_mask | other_mask).sum()
    return abs(one_shade - other_shade) >= 25 or shared < 2 / 3


def test_picture_in_grey(twelve):
    """In picture.png without its colours, chunks, hits, answers and the question are told apart by shade or shape."""
    run = twelve["q2"]  # it has every role
    grey = np.asarray(Image.open(run.path / "picture.png").convert("L")).astype(int)
    figure = run.plot()
    figure.canvas.draw()
    entry = next(entry for entry in run.facts["tensors"] if entry["kind"] == "around_question")
    places = read_tensor(run.path, entry["file"], tuple(entry["shape"]))[:, :2]
    left, bottom = figure.axes[0].transData.transform(places).T
    top = grey.shape[0] - bottom
    glyphs = {}
    roles = run.points["role"]
    for row, role in enumerate(roles):
        away = np.maximum(np.abs(left - left[row]), np.abs(top - top[row]))
        away[row] = np.inf
        if (away[(roles != CHUNK) | (role == CHUNK)] > 20).all():  # no glyph beside it; chunks lie under the others
            x, y = round(left[row]), round(top[row])
            glyphs.setdefault(str(role), []).append(grey[y - 13 : y + 14, x - 13 : x + 14])
    assert set(glyphs) == ROLES
    for role, found in glyphs.items():
        for other in set(glyphs) - {role}:
            for one in found[:10]:
                assert all(told_apart(one, another) for another in glyphs[other][:10]), (role, other)


def test_glyphs_in_grey():
    """The Projector's glyphs without their colours are told apart by shade or shape."""

    def drawn(role):
        glyph = draw(Glyph(role, 0 if role in (CHUNK, QUESTION) else 10), 32)
        paper = Image.new("RGBA", glyph.size, "white")
        paper.alpha_composite(glyph)
        return np.asarray(paper.convert("L")).astype(int)

    glyphs = {role: drawn(role) for role in ROLES}
    same = [(a, b) for a in glyphs for b in glyphs if a != b and not told_apart(glyphs[a], glyphs[b])]
    assert same == []
