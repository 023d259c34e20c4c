"""Exports and ingests on a real Ray cluster: the same as here, to the last bit."""

import json

import numpy as np
import pytest

import exporter
from exporter.cli.app import run as command
from exporter.errors import NetworkError, UsageError
from exporter.sources import Access, open_source
from tests.conftest import collection, write_chroma
from tests.ingestion.little_model import LittleModel
from tests.ingestion.site import words
from tests.ray_cluster import cluster
from tests.sources.conftest import content_of
from tests.sources.fault_proxy import proxy
from tests.sources.served import running

pytestmark = pytest.mark.xdist_group("ray")

ROWS = 5400
"""More than one share of a worker, as many as one write takes."""
NAMES_AND_TIMES = {"created", "location", "from_logdir", "longest_lock_ms", "reading_rule", "space_from"}
"""The last two name how a kind of source is read, and where in it the metric stands."""


@pytest.fixture(scope="module")
def started():
    with pytest.MonkeyPatch.context() as patch, cluster(patch) as made:
        yield made


@pytest.fixture(scope="module")
def ray(started):
    return started[0]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    vectors = np.random.default_rng(5).normal(size=(ROWS, 12)).astype(np.float32)
    return write_chroma(tmp_path_factory.mktemp("spread") / "db", collection(vectors=vectors, space="cosine"))


@pytest.fixture(scope="module")
def served(directory):
    with running(directory) as (_, address), proxy(address) as (place, faults):
        yield place, faults


def same(run):
    """The manifest but for names and times; files that hold these are left to what they are made of."""
    facts = json.loads((run.path / "manifest.json").read_text())
    facts["files"] = {name: one for name, one in facts["files"].items() if not name.startswith("picture")}
    facts["source"] = {key: value for key, value in facts["source"].items() if key not in NAMES_AND_TIMES}
    return {key: value for key, value in facts.items() if key not in NAMES_AND_TIMES}


def test_the_same_export(directory, served, ray, tmp_path):
    """From a directory, from its server and on Ray: equal manifests, with every file's hash, but for names and times;
    with what an application returned, a filter and an answer, too.
    """
    place, _ = served
    np.save(tmp_path / "q.npy", np.random.default_rng(6).normal(size=(2, 12)))
    asked = {
        "question": ["a", "b"],
        "answer": ["TEXT 77", "text 999"],
        "question_vector": tmp_path / "q.npy",
        "max_points": 1500,
        "retrieved": [["id7", "id5000"], ["id30"]],
        "where": {"page": {"$gte": 3}},
        "projection": "pca",
        "run": "one",
    }
    on_ray = {"engine": "ray", "ray_address": ray}
    runs = [
        exporter.export(source, logdir=tmp_path / name / "logs", **asked, **more)
        for name, source, more in (("a", directory, {}), ("b", place, {}), ("c", place, on_ray))
    ]
    of_directory, of_server, of_ray = map(same, runs)
    assert of_server == of_directory
    assert of_ray == of_directory
    assert len(of_ray["files"]) >= 5
    assert of_ray["points"] == 1500


def test_a_worker_in_trouble(served, ray, tmp_path, vector_of_12):
    """What a worker meets is told as if it was met here: one line with its exit code."""
    place, faults = served
    faults.once_from(404, 2, times=1000)
    with pytest.raises(NetworkError, match=r"answers as Chroma never does: status 404"):
        exporter.export(
            place, question="a", question_vector=vector_of_12, logdir=tmp_path, engine="ray", ray_address=ray
        )
    faults.plan = lambda *_: None


@pytest.fixture
def vector_of_12(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((1, 12)))
    return tmp_path / "v.npy"


def test_a_token_reaches_the_workers_and_no_log(served, started, tmp_path, vector_of_12):
    """Workers ask with the token and the headers that this process was given; no log of Ray's holds either."""
    place, faults = served
    address, folder = started
    secrets = ("s3cret-for-all-workers", "h1dden-value")
    faults.token = secrets[0]
    access = Access(token=secrets[0], headers={"X-Team": secrets[1]})
    on_ray = {"engine": "ray", "ray_address": address, "access": access}
    faults.seen.clear()
    try:
        exporter.export(place, question="a", question_vector=vector_of_12, logdir=tmp_path, projection="none", **on_ray)
    finally:
        faults.token = None
    assert {headers["X-Team"] for *_, headers in faults.seen} == {secrets[1]}
    logs = [path for path in (folder / "logs").rglob("*") if path.is_file()]
    assert len(logs) > 5
    assert not [path for path in logs if any(secret.encode() in path.read_bytes() for secret in secrets)]


def test_what_ray_is_not_for(directory, served, tmp_path, vector_of_12):
    """A directory, a question set and a sample are told to be for one machine, before a cluster is looked for."""
    place, _ = served
    for source, more, words_ in (
        (directory, {}, "a directory is read by this machine"),
        (place, {"read": "sample"}, "leave --read sample away"),
    ):
        with pytest.raises(UsageError, match=words_):
            exporter.export(source, question="a", question_vector=vector_of_12, logdir=tmp_path, engine="ray", **more)


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """Files of several windows; one is empty, one broken in the middle, one of an unknown kind, one there twice."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(12):
        text = "\n\n".join(words(1000 * number + paragraph, 8) for paragraph in range(100))
        (folder / f"{number:02}.txt").write_text(text)
    (folder / "empty.txt").write_text("")
    (folder / "rows.jsonl").write_text('{"text": "good one"}\nbroken\n{"text": "good two"}\n')
    (folder / "odd.xyz").write_text("?")
    (folder / "page.html").write_text("<html><body><main><h1>T</h1><p>A page of some length.</p></main></body></html>")
    return folder


def test_the_same_ingest(docs, ray, tmp_path):
    """Two collections of one server, filled here and on Ray: every id, text, metadata and bit is the same, in the same
    order, and so is what is told; a second run on Ray finds nothing new, a file that is gone is pruned.
    """
    with running(tmp_path / "served") as (_, place):
        asked = {"files": [docs, docs / "03.txt"], "model": LittleModel(), "chunk_size": 80, "chunk_overlap": 0}
        here = exporter.ingest(place, collection="here", **asked)
        on_ray = {**asked, "engine": "ray", "ray_address": ray}
        there = exporter.ingest(place, collection="there", **on_ray)
        assert here.added > 1000
        assert {**there.to_json(), "collection": ""} == {**here.to_json(), "collection": ""}
        assert len(there.failed) == 1
        source = open_source(place)
        first, second = source.collections()
        assert (first.metadata, first.dimension) == (second.metadata, second.dimension)
        assert source.read(first, content_of) == source.read(second, content_of)
        again = exporter.ingest(place, collection="there", **on_ray)
        assert (again.added, again.unchanged) == (0, there.chunks)
        (docs / "11.txt").unlink()
        pruned = exporter.ingest(place, collection="there", **on_ray, prune=True)
        assert pruned.removed > 90


def test_from_the_command_line(docs, ray, tmp_path, capfd, monkeypatch):
    """`ingest --engine ray` and `export --engine ray` by RAY_ADDRESS, sizes in tokens of the real model."""
    monkeypatch.setenv("RAY_ADDRESS", ray)
    with running(tmp_path / "served") as (_, place):
        options = ["--files", docs / "00.txt", "-c", "docs", "--engine", "ray", "--workers", "1"]
        options += ["--chunk-unit", "tokens", "--chunk-size", "40", "--chunk-overlap", "0", "--json"]
        assert command(["ingest", place, *map(str, options)]) == 0, capfd.readouterr().err
        told = json.loads(capfd.readouterr().out)
        assert told["added"] == told["chunks"] > 5
        asked = ["-q", "a", "--engine", "ray", "--projection", "none", "--quiet"]
        assert command(["export", place, *asked]) == 0
        assert capfd.readouterr().out == ""
