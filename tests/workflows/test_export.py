"""Exports of small collections, through the public Python interface."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import exporter
from exporter.errors import CollectionError, OutputError, UsageError
from exporter.runs.verify import faults
from exporter.workflows.request import default_name
from tests.conftest import collection, write_chroma


class Lookup:
    """A LangChain `Embeddings` that knows the vectors of the small collection's texts."""

    def __init__(self, dimension=8, rows=30):
        self.vectors = np.random.default_rng(7).normal(size=(rows, dimension)).astype(np.float32)

    def embed_documents(self, texts):
        return [self.vectors[int("".join(filter(str.isdecimal, text)) or 0)].tolist() for text in texts]

    def embed_query(self, text):
        return (self.vectors[int(text.split()[-1])] + 0.01).tolist()


def ask(source, tmp_path, **options):
    options = {"question": "text 3", "model": Lookup(), "logdir": tmp_path / "logs", **options}
    return exporter.export(source, **options)


def test_a_question_and_its_answer(chroma, tmp_path):
    """The run says what was asked, what came back, by which distance, and where the answer is."""
    run = ask(chroma, tmp_path, answer="TEXT  7", top_k=3)
    assert run.path == tmp_path / "logs" / "chunks-text-3"
    assert faults(run.path) == []
    assert run.collection == "chunks"
    assert run.metric == "l2"
    (question,) = run.questions
    assert [hit.rank for hit in question.hits] == [1, 2, 3]
    assert question.hits[0].id == "id3"
    assert (question.hits[0].source, question.hits[0].page, question.hits[0].text) == ("doc0.md", 3, "text 3")
    vectors = Lookup().vectors.astype(float)
    distances = np.linalg.norm(vectors - vectors[3].astype(np.float32) - 0.01, axis=1)
    assert question.hits[0].distance == pytest.approx(distances[3], rel=1e-4)
    assert question.first_answer_rank == 1 + (distances < distances[7]).sum()
    assert run.facts["model"]["median_cosine"] == pytest.approx(1)
    assert run.warnings == []


def test_points(chroma, tmp_path):
    """`run.points` holds every row's vector and columns, as arrays."""
    points = ask(chroma, tmp_path, answer="text 7").points
    assert points.vectors.shape == (31, 8)
    assert points["is_question"].tolist() == [False] * 30 + [True]
    assert points["contains_answer"].sum() == 1
    assert points["rank"][-1] == 0
    assert sorted(points["rank"]) == list(range(31))
    assert points["id"][-2] == "id3"


@pytest.mark.parametrize("space", ["l2", "cosine", "ip"])
def test_the_collections_own_metric(tmp_path, space):
    """Chunks rank as Chroma's own query ranks them, whatever the collection's space."""
    directory = write_chroma(tmp_path / "db", collection(space=space, rows=80))
    question = (Lookup(rows=80).vectors[3] + np.float32(0.5)).tolist()
    script = (
        "import chromadb, json, sys; client = chromadb.PersistentClient(sys.argv[1]);"
        "found = client.get_collection('chunks').query(query_embeddings=[json.loads(sys.argv[2])], n_results=10);"
        "print(json.dumps([found['ids'][0], found['distances'][0]]))"
    )
    (tmp_path / "q.json").write_text(json.dumps(question))
    run = ask(directory, tmp_path, question_vector=tmp_path / "q.json")
    done = subprocess.run(
        [sys.executable, "-c", script, directory, json.dumps(question)], capture_output=True, check=True
    )
    ids, distances = json.loads(done.stdout)
    hits = run.questions[0].hits
    assert [hit.id for hit in hits] == ids
    ours = [hit.distance**2 if space == "l2" else hit.distance for hit in hits]
    np.testing.assert_allclose(ours, distances, atol=1e-4)


def test_another_metric_is_said(chroma, tmp_path):
    """Ranking by another metric than the collection's is a warning."""
    run = ask(chroma, tmp_path, metric="cosine")
    assert run.metric == "cosine"
    assert any("the collection retrieves by l2" in warning for warning in run.warnings)


def test_several_questions(chroma, tmp_path):
    """Each question is a row and has its own hits and answer; a column says which one a chunk is nearest to."""
    run = ask(chroma, tmp_path, question=["text 3", "text 9"], answer=["text 4", "text 9"], top_k=2)
    assert [question.hits[0].id for question in run.questions] == ["id3", "id9"]
    assert run.questions[1].first_answer_rank == 1
    assert run.questions[0].first_answer_rank > 1
    assert set(run.points["question"]) == {"q1", "q2"}
    assert run.points["label"][-1].startswith("★ q1 text 3")
    assert run.points["is_question"].sum() == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"question": ["a", "b", "c"], "answer": ["x", "y"]}, "2 answers for 3 questions"),
        ({"question": []}, "nothing is asked"),
        ({"question": " "}, "blank"),
        ({"top_k": 0}, "--top-k"),
        ({"metric": "l1"}, "l1"),
    ],
)
def test_what_does_not_fit_together(chroma, tmp_path, options, words):
    """Options that don't fit together are refused before anything is read."""
    with pytest.raises(UsageError, match=words):
        ask(chroma, tmp_path, **options)


def test_max_points(chroma, tmp_path):
    """Fewer points: question, top k and answer stay; ranks are those of all; what is left out is counted."""
    run = ask(chroma, tmp_path, answer="text 7", top_k=3, max_points=12)
    assert len(run.points) == 12
    assert run.facts["left_out"] == 19
    assert run.facts["left_out_with_answer"] == 0
    whole = ask(chroma, tmp_path, answer="text 7", top_k=3, run="whole")
    assert run.questions == whole.questions
    ranks = dict(zip(whole.points["id"], whole.points["rank"], strict=True))
    assert all(ranks[id] == rank for id, rank in zip(run.points["id"], run.points["rank"], strict=True))


def test_where(chroma, tmp_path):
    """A filter leaves what Chroma's would, and ranks count what it leaves."""
    run = ask(chroma, tmp_path, where={"source": "doc1.md"}, where_document={"$contains": "1"})
    assert set(run.points["source"][:-1]) == {"doc1.md"}
    assert run.facts["source"]["rows_after_filter"] == len(run.points) - 1
    assert max(run.points["rank"]) == len(run.points) - 1


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_tiny_collections(tmp_path, rows):
    """One, two and three chunks are normal input."""
    run = ask(write_chroma(tmp_path / "db", collection(rows=rows, dimension=8)), tmp_path, question="text 0")
    assert len(run.points) == rows + 1
    assert faults(run.path) == []


def test_odd_but_normal_input(tmp_path):
    """Texts and metadata that are None, lists, numbers, booleans, tabs and newlines, zero vectors: all in the run."""
    vectors = np.random.default_rng(7).normal(size=(6, 8)).astype(np.float32)
    vectors[2] = 0
    odd = collection(
        vectors=vectors,
        space="cosine",
        texts=["text 0", "a\tb\nc\r\nd", "text 2", "", "œuf ☃ \u2028", "<script>alert(1)</script>"],
        metadatas=[{"a": 1}, {"a": 2.5, "flag": True}, {"tags": ["x", "y"]}, None, {"source": "é\t☃"}, {"page": 3}],
    )
    odd["texts"] = [text or None for text in odd["texts"]]
    run = ask(write_chroma(tmp_path / "db", odd), tmp_path, question="text 0", strict_model=False)
    assert faults(run.path) == []
    points = run.points
    rows = {id: row for row, id in enumerate(points["id"])}
    assert points["text"][rows["id1"]] == "a b c d"
    assert points["text"][rows["id3"]] == "-"
    assert points["tags"][rows["id2"]] == "x, y"
    assert points["flag"][rows["id1"]] == "true"
    assert points["source"][rows["id4"]] == "é ☃"
    assert points["distance"][rows["id2"]] == 1
    assert any("1 chunks have a vector of zeros, distance 1 by cosine" in warning for warning in run.warnings)


def test_two_dimensions(tmp_path):
    """Vectors of two dimensions are padded, and that is said."""
    directory = write_chroma(tmp_path / "db", collection(rows=10, dimension=2))
    run = ask(directory, tmp_path, model=Lookup(2, 10))
    assert any("padded" in warning for warning in run.warnings)
    assert run.points.vectors.shape == (11, 3)


@pytest.mark.parametrize("tensor_format", ["bytes", "tsv", "checkpoint"])
def test_tensor_formats(chroma, tmp_path, tensor_format):
    """Every format is published only when TensorBoard itself can read it, and `points` are the same."""
    run = ask(chroma, tmp_path, tensor_format=tensor_format)
    assert faults(run.path) == []
    np.testing.assert_allclose(run.points.vectors[:-1].sum(), Lookup().vectors.sum(), rtol=1e-4)


def test_whose_answer(chroma, tmp_path):
    """With several questions an answer's label names the question that it answers, and its rank for that one."""
    run = ask(chroma, tmp_path, question=["text 3", "text 9"], answer=["text 20", "text 25"], top_k=2)
    labels = dict(zip(run.points["id"], run.points["label"], strict=True))
    for number, chunk in ((1, "id20"), (2, "id25")):
        rank = run.questions[number - 1].first_answer_rank
        assert labels[chunk].startswith(f"q{number} ✓ rank {rank} ")


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"run": "x" * 300}, {"projection": "tsne"}, {"tensor_format": "npz"}, {"columns": "tags"}]
)
def test_bad_values(chroma, tmp_path, options):
    """A value that can't be is refused before anything is read."""
    with pytest.raises(UsageError):
        ask(chroma, tmp_path, **options)


def test_rewriting(chroma, tmp_path):
    """A run is replaced only when asked."""
    first = ask(chroma, tmp_path, run="a")
    with pytest.raises(OutputError, match="--overwrite"):
        ask(chroma, tmp_path, run="a")
    second = ask(chroma, tmp_path, run="a", overwrite=True, question="text 4")
    assert first.path == second.path
    assert exporter.open_run(first.path).questions[0].text == "text 4"


def test_nothing_in_the_source_changes(chroma, tmp_path):
    """Every file of the user's directory has the same bytes, size and time afterwards."""

    def state():
        return {
            path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, path.stat().st_size)
            for path in chroma.rglob("*")
            if path.is_file()
        }

    before = state()
    ask(chroma, tmp_path)
    exporter.collections(chroma)
    assert state() == before


def test_the_same_request_gives_the_same_bytes(chroma, tmp_path):
    """Two exports of one request differ in nothing but the time."""
    one, two = (ask(chroma, tmp_path, run=name, max_points=20) for name in "ab")
    names = sorted(path.relative_to(one.path) for path in one.path.rglob("*") if path.is_file())
    assert [name for name in names if "tfevents" not in name.name] == sorted(
        path.relative_to(two.path) for path in two.path.rglob("*") if path.is_file() and "tfevents" not in path.name
    )
    assert one.facts["files"] == two.facts["files"]


def test_langchain(tmp_path):
    """A LangChain `Chroma` is a source, and its `Embeddings` a model: the hits are those of its own search."""
    script = """
import sys
from langchain_chroma import Chroma
from langchain_core.documents import Document
import exporter
sys.path.insert(0, sys.argv[2])
from tests.workflows.test_export import Lookup
model = Lookup()
store = Chroma(collection_name="own", embedding_function=model, persist_directory=sys.argv[1] + "/db")
store.add_documents([Document(f"text {i}", metadata={"source": "s", "page": i}) for i in range(30)])
run = exporter.export(store, question="text 5", answer="text 5", model=model, logdir=sys.argv[1] + "/logs")
found = store.similarity_search("text 5", k=10)
assert [hit.text for hit in run.questions[0].hits] == [one.page_content for one in found], found
collection = store._collection
again = exporter.export(collection, question="text 5", model=model, logdir=sys.argv[1] + "/logs", run="again")
assert [hit.id for hit in again.questions[0].hits] == [hit.id for hit in run.questions[0].hits]
assert run.collection == again.collection == "own"
"""
    root = __file__.rsplit("/tests/", 1)[0]
    done = subprocess.run([sys.executable, "-c", script, tmp_path, root], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_choosing_a_collection(tmp_path):
    """Of several collections one must be named; with one it need not be."""
    directory = write_chroma(tmp_path / "db", collection("one"), collection("two"))
    assert ask(directory, tmp_path, collection="two").collection == "two"
    with pytest.raises(CollectionError, match="--collection"):
        ask(directory, tmp_path)


@pytest.mark.parametrize(
    ("collection_name", "question", "name"),
    [
        ("docs", "How do I pause?", "docs-how-do-i-pause"),
        ("docs", "Où est l'été ?", "docs-ou-est-l-ete"),
        ("Docs.v2", "A_B", "docs.v2-a_b"),
    ],
)
def test_default_names(collection_name, question, name):
    """A run is named after collection and question, in characters that the page's addresses bear."""
    assert default_name(collection_name, [question]) == name


@pytest.mark.parametrize("question", ["这是什么？", "w" * 100, "¿Qué? Что?"])
def test_default_names_that_lose_letters(question):
    """A name that loses letters or is cut carries a hash, so that two questions don't meet; 60 characters at most."""
    name = default_name("docs", [question])
    assert name != default_name("docs", [question + "?!"]) or question.isascii()
    assert len(name) <= 60
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert len(name.rsplit("-", 1)[1]) == 6


def test_names_that_would_meet():
    """Questions that differ by a sign alone have runs of their own."""
    assert len({default_name("docs", [f"What is C{sign}?"]) for sign in ("", "+", "++", "#")}) == 4


def test_ways_to_match(chroma, tmp_path):
    """All of several answers, nearly the words, and letters without their accents mark chunks when asked for."""

    def marked(**options):
        points = ask(chroma, tmp_path, run="a", overwrite=True, **options).points
        return sorted(points["id"][points["contains_answer"]])

    assert marked(answer=["text", "7"]) == sorted(f"id{i}" for i in range(30))
    assert marked(answer=["text", "7"], all_answers=True) == ["id17", "id27", "id7"]
    assert marked(answer="tèxt 7") == []
    assert marked(answer="tèxt 7", ignore_accents=True) == ["id7"]
    assert marked(answer="txet 17", answer_match="fuzzy", fuzzy_threshold=85) == ["id17"]
    with pytest.raises(UsageError, match="--fuzzy-threshold"):
        marked(answer="x", answer_match="fuzzy", fuzzy_threshold=101)


def test_a_private_copy_is_told_and_recorded(tmp_path, chroma):
    """A directory that can't be read where it is is no silent matter: a line beforehand, and a key of the manifest."""
    path, told = Path(shutil.copytree(chroma, tmp_path / "db")), []
    plain = ask(path, tmp_path, run="plain", notice=told.append)
    assert plain.facts["source"]["private_copy"] is None
    assert told == []
    with closing(sqlite3.connect(path / "chroma.sqlite3")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    run = ask(path, tmp_path, run="copied", notice=told.append)
    assert run.facts["source"]["private_copy"] == "is in SQLite's WAL mode, in which even a reader writes"
    assert run.facts["source"]["longest_lock_ms"] == 0
    (line,) = told
    assert line.startswith(
        f"{path} is in SQLite's WAL mode, in which even a reader writes: a private copy of it is made"
    )
