"""Servers that hold far more than is shown: what is read of them, and what is said of the figures."""

import json
import re

import numpy as np
import pytest

import exporter
from exporter.errors import UsageError
from exporter.runs.verify import faults as faults_of
from exporter.sources import Access
from exporter.workflows.partial_read import search_of
from tests.conftest import collection, write_chroma
from tests.sources.fault_proxy import proxy
from tests.sources.served import running

ROWS = 3000


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(3).normal(size=(ROWS, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def directory(tmp_path_factory, vectors):
    """Chunks of which a few hold what is asked for, one of them far from the question."""
    distances = np.linalg.norm(vectors - vectors[0], axis=1)
    far = int(np.argsort(distances)[2000])
    texts = [f"chunk {i}" + (" Only  HERE stands it" if i == far else " Often" * (i % 3)) for i in range(ROWS)]
    thorough = {"hnsw:search_ef": ROWS, "hnsw:construction_ef": 400, "hnsw:M": 48}  # the index is to lose nothing
    made = collection(vectors=vectors, texts=texts, metadata=thorough)
    return write_chroma(tmp_path_factory.mktemp("many") / "db", made)


@pytest.fixture(scope="module")
def served(directory):
    with running(directory) as (_, address), proxy(address) as (place, faults):
        yield place, faults


@pytest.fixture
def question(tmp_path, vectors):
    path = tmp_path / "question.npy"
    np.save(path, vectors[:1] + np.float32(0.01))
    return path


def ask(place, tmp_path, question, **options):
    options = {"answer": "only here STANDS", "max_points": 200, "logdir": tmp_path / "logs", **options}
    return exporter.export(place, question="a", question_vector=question, overwrite=True, **options)


def rows_asked(faults):
    """How many rows were asked for with their vectors."""
    bodies = [json.loads(body) for _, path, body, _ in faults.seen if path.endswith("/get")]
    return sum(len(asked["ids"]) for asked in bodies if "embeddings" in asked["include"])


def test_a_part_is_read(served, directory, tmp_path, question):
    """Of a collection fifteen times as large as what is shown, only what is shown is read, and the top k, the answer's
    chunk and what the manifest says of the picture are those of the whole.
    """
    place, faults = served
    faults.seen.clear()
    run = ask(place, tmp_path, question, run="part")
    assert rows_asked(faults) == 199
    whole = ask(directory, tmp_path, question, run="whole", max_points=20_000)
    assert faults_of(run.path) == []
    assert [(hit.id, hit.rank, hit.distance) for hit in run.questions[0].hits] == [
        (hit.id, hit.rank, hit.distance) for hit in whole.questions[0].hits
    ]
    true = whole.questions[0].first_answer_rank
    assert true > 1500
    assert run.questions[0].first_answer_rank == pytest.approx(true, abs=450)
    assert re.fullmatch(
        r"first chunk with the answer: rank about [\d,]+ of 3,000, missed by the top 10 \(1 hold it\)",
        run.questions[0].verdict,
    )
    assert "about" not in whole.questions[0].verdict
    labels = [[one for one in each.points["label"] if "✓" in one] for each in (run, whole)]
    assert [re.sub("[0-9,]+", "n", one) for (one,) in labels] == [
        "✓ rank ~n · docn.md p. n",
        "✓ rank n · docn.md p. n",
    ]
    assert run.facts["questions"][0]["chunks_with_answer"] == 1
    assert (run.facts["source"]["rows_after_filter"], run.facts["left_out"], run.facts["points"]) == (ROWS, 2801, 200)
    reading = {"whole": False, "read": 199, "named_by_index": 99, "index_share": 1.0, "drawn": 99}
    assert run.facts["source"]["reading"] == reading
    assert [line.split(":")[0] for line in run.facts["estimates"]] == [
        "rank up to 99",
        "rank beyond 99, and so the radius in around_question",
        "chunks_with_answer and first_answer_rank",
        "trustworthiness, closeness, the map and its neighbourhoods",
    ]
    assert whole.facts["estimates"] == []
    assert any("199 of 3,000 chunks were read" in warning for warning in run.warnings)
    assert "199 of 3,000 chunks were read" in (run.path / "README.txt").read_text()
    table = dict(zip(whole.points["id"], whole.points["rank"], strict=True))
    true_ranks = np.array([table[one] for one in run.points["id"][:-1]])
    ranks = run.points["rank"][:-1]
    assert np.abs(ranks - true_ranks).max() < 450
    near = true_ranks <= 99
    assert near.sum() >= 97
    assert np.abs(ranks[near] - true_ranks[near]).max() <= 99 - near.sum()


def test_which_part(served, tmp_path, question):
    """A seed draws the same chunks again, another seed others; a collection that is not far larger is read whole, and
    `read` decides where it is given, but for one that is shown as a whole.
    """
    place, _ = served
    first, again, other = (set(ask(place, tmp_path, question, seed=seed).points["id"]) for seed in (1, 1, 2))
    assert first == again
    assert 90 < len(first - other) < 100
    assert ask(place, tmp_path, question, max_points=300).facts["source"]["reading"] == {"whole": True}
    assert ask(place, tmp_path, question, read="whole").facts["source"]["reading"] == {"whole": True}
    sampled = ask(place, tmp_path, question, max_points=2000, read="sample")
    assert sampled.facts["source"]["reading"]["read"] == 1999
    shown = ask(place, tmp_path, question, max_points=ROWS + 1, read="sample")
    assert (shown.facts["source"]["reading"], shown.facts["estimates"]) == ({"whole": True}, [])


def test_with_a_filter(served, tmp_path, question):
    """The filter holds for the index, the search and the draw; one that leaves few chunks has them read whole."""
    place, _ = served
    run = ask(place, tmp_path, question, where={"page": {"$gte": 500}})
    assert run.facts["source"]["rows_after_filter"] == 2500
    assert run.points["page"][:-1].min() >= 500
    few = ask(place, tmp_path, question, where={"page": {"$lt": 300}})
    assert few.facts["source"]["reading"] == {"whole": True}


def test_an_answer_that_many_chunks_hold(served, tmp_path, question):
    """The chunks that hold it take half of the room at most: the others are drawn by lot, as the estimates need."""
    place, _ = served
    run = ask(place, tmp_path, question, answer="often")
    assert run.facts["source"]["reading"]["drawn"] == pytest.approx(50, abs=8)  # some that hold it were named anyway
    assert "only the chunks that were read were looked at" in run.facts["estimates"][2]
    assert run.points["rank"].max() > 2500


def test_an_index_that_loses_most(tmp_path, vectors):
    """An index that does not find what is near is found out by the draw: a warning says so, and ranks beyond what it
    named are still near the true ones.
    """
    careless = {"hnsw:M": 2, "hnsw:construction_ef": 2, "hnsw:search_ef": 1}
    made = write_chroma(tmp_path / "db", collection(vectors=vectors, metadata=careless))
    np.save(tmp_path / "question.npy", np.zeros((1, 16), np.float32))
    options = {"question": "a", "question_vector": tmp_path / "question.npy", "logdir": tmp_path / "logs"}
    with running(made) as (_, place):
        run = exporter.export(place, max_points=200, run="part", **options)
    whole = exporter.export(made, run="whole", **options)
    share = run.facts["source"]["reading"]["index_share"]
    assert 0 < share < 0.7
    assert any(f"named only about {100 * share:.0f} %" in warning for warning in run.warnings)
    assert f"by the draw it named about {100 * share:.0f} %" in run.facts["estimates"][0]
    table = dict(zip(whole.points["id"], whole.points["rank"], strict=True))
    true, ranks = np.array([table[one] for one in run.points["id"][:-1]]), run.points["rank"][:-1]
    assert np.abs(ranks - true)[ranks > 10].max() < 450


def test_several_questions_and_what_was_retrieved(served, tmp_path, vectors):
    """Each question has its own top k; what an application returned is among what is read, unknown ids are told."""
    place, _ = served
    np.save(tmp_path / "two.npy", vectors[[0, 7]] + np.float32(0.01))
    run = exporter.export(
        place,
        question=["a", "b"],
        question_vector=tmp_path / "two.npy",
        max_points=200,
        logdir=tmp_path / "logs",
        retrieved=[["id0", "id2999", "nobody"], ["id7"]],
    )
    assert [question.hits[0].id for question in run.questions] == ["id0", "id7"]
    assert [hit.id for hit in run.questions[0].returned] == ["id0", "id2999"]
    assert any("1 ids of --retrieved are not among the chunks read: nobody" in warning for warning in run.warnings)
    assert faults_of(run.path) == []


def test_an_answer_that_no_server_can_search_for(served, tmp_path, question):
    """Where the server can't search, the answer is looked for in what was read, and that is said."""
    place, _ = served
    run = ask(place, tmp_path, question, answer_match="fuzzy", answer="Only  HERE stands it not")
    assert "only the chunks that were read were looked at" in run.facts["estimates"][2]
    run = ask(place, tmp_path, question, answer_match="regex", answer="(?=HERE)")
    assert "the server could not search for the answer" in run.facts["estimates"][2]
    assert re.search(r"of the 199 that were read|the 199 that were read, of 3,000", run.questions[0].verdict)


def test_what_can_not_be_read_in_part(served, directory, tmp_path, question):
    """A directory, a question set and another metric than the index's are refused, with what to do."""
    place, _ = served
    with pytest.raises(UsageError, match="a directory, a live collection and a question set are read whole"):
        ask(directory, tmp_path, question, read="sample")
    with pytest.raises(UsageError, match=r"ranks by l2, so a part .* can't be ranked by cosine"):
        ask(place, tmp_path, question, metric="cosine")
    with pytest.raises(UsageError, match="unknown read 'some'"):
        ask(place, tmp_path, question, read="some")


def test_a_write_meanwhile(served, tmp_path, question):
    """A page of ids that fails to come is outlived, as any other."""
    place, faults = served
    faults.once_from("cut", 0)
    run = ask(place, tmp_path, question, access=Access(retries=1))
    faults.plan = lambda *_: None
    assert run.facts["source"]["reading"]["read"] == 199


@pytest.mark.parametrize(
    ("answer", "how", "accents", "wanted"),
    [
        ("a  b", "normalized", True, {"$regex": r"(?i)a\s+b"}),
        ("1+1", "normalized", True, {"$regex": r"(?i)1\+1"}),
        ("a  b", "literal", True, {"$contains": "a  b"}),
        (("a", "b"), "literal", True, {"$and": [{"$contains": "a"}, {"$contains": "b"}]}),
        ("a.b", "regex", True, {"$regex": "a.b"}),
        ("a", "normalized", False, None),
        ("a", "fuzzy", True, None),
    ],
)
def test_the_servers_own_search(answer, how, accents, wanted):
    """The filter leaves out no chunk that holds the answer; where none is such, there is none."""
    assert search_of(answer, how, accents=accents) == wanted
