"""Comparing two systems: how often chance alone is called a difference, and what is said of how they were made."""

import json
import shutil

import numpy as np
import pytest

import exporter
from exporter.errors import OutputError, UsageError
from exporter.evaluation.comparison import LEVEL, Outcome, System, compare
from exporter.evaluation.metrics import Judged, score
from exporter.records import Batch
from exporter.retrieval.nearest import Ranker
from tests.conftest import collection, write_chroma
from tests.workflows.test_export import Lookup

QUESTIONS, CHUNKS, DIMENSION, DRAWS = 40, 250, 30, 120


def system(asked, seed, noise):
    """One sample of a made-up system: a chunk about each question's subject, `noise` away from it, among others drawn
    anew; ranked and scored as `evaluate` does.
    """
    random = np.random.default_rng(seed)
    right = asked + random.normal(size=asked.shape) * noise
    others = random.normal(size=(CHUNKS - QUESTIONS, DIMENSION))
    ids = [*(f"right{i}" for i in range(QUESTIONS)), *(f"other{i}" for i in range(CHUNKS - QUESTIONS))]
    ranker = Ranker(asked, "l2", CHUNKS)
    ranker.add(Batch(ids, np.concatenate([right, others]).astype(np.float32)))
    nearest = ranker.nearest()
    firsts = [int(np.flatnonzero(nearest.positions[i] == i)[0]) + 1 for i in range(QUESTIONS)]
    judged = [
        Judged(f"q{i}", [ids[place] for place in nearest.positions[i, :50]], {f"right{i}": 1}, first)
        for i, first in enumerate(firsts)
    ]
    outcomes = [
        Outcome(one.question, one.question, "found", one.first_rank, scores)
        for one, scores in zip(judged, score(judged), strict=True)
    ]
    return System(f"seed {seed}", 10, outcomes)


def draw(number, *noises):
    """Two systems, asked the same sample of questions."""
    asked = np.random.default_rng(1000 + number).normal(size=(QUESTIONS, DIMENSION)).astype(np.float32)
    return compare(*(system(asked, 2 * number + side, noise) for side, noise in enumerate(noises)))


def test_one_system_sampled_twice():
    """Two samples of one system, ranked, scored and compared as real ones are, differ by proof about once in twenty:
    within three standard errors; and B is the better one half of the time.
    """
    found = [draw(number, 1.0, 1.0) for number in range(DRAWS)]
    error = np.sqrt(LEVEL * (1 - LEVEL) * DRAWS)
    for name in ("mrr", "ndcg@10"):
        proven = sum(one.metrics[name].proven for one in found)
        assert 0 < proven < LEVEL * DRAWS + 3 * error
    # a difference of few whole numbers has few p, so it is proven less often
    assert sum(one.metrics["hit@5"].proven for one in found) < LEVEL * DRAWS + 3 * error
    assert 0.2 < np.mean([one.metrics["mrr"].a for one in found]) < 0.8  # or nothing could differ
    better = sum(one.metrics["mrr"].difference > 0 for one in found)
    assert abs(better - DRAWS / 2) < 3 * np.sqrt(DRAWS / 4)


def test_a_planted_difference():
    """The same system with chunks nearer to what is asked is found to be better each time."""
    found = [draw(number, 1.0, 0.7) for number in range(15)]
    assert all(one.metrics["mrr"].proven and one.metrics["mrr"].difference > 0 for one in found)


ASKED = [{"id": f"s{i}", "question": f"text {i}", "answers": [f"text {i}"]} for i in range(8)]


def exported(folder, name, space="l2", **options):
    """A run of the small set over a collection of its own."""
    directory = write_chroma(folder / f"db-{name}", collection(name, space=space))
    given = {"question_set": ASKED, "model": Lookup(), "logdir": folder / "logs", "index": False, "top_k": 3}
    return exporter.export(directory, run=name, **{**given, **options})


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("compared"), "plain")


def test_what_they_were_made_with(plain, tmp_path):
    """Settings that differ are told, by name, with both values; those that are the same are not."""
    other = exported(tmp_path, "cosine", space="cosine", top_k=5, ignore_accents=True, where={"page": {"$lt": 20}})
    found = exporter.compare(plain, other)
    assert found.settings == {
        "collection": ("plain", "cosine"),
        "space": ("l2", "cosine"),
        "metric": ("l2", "cosine"),
        "k": (3, 5),
        "filter": ("none", '{"where": {"page": {"$lt": 20}}}'),
        "chunks": (30, 20),
        "accents": ("told apart", "ignored"),
    }
    assert found.to_json()["settings"]["space"] == {"a": "l2", "b": "cosine"}
    assert exporter.compare(plain, plain).settings == {}


def test_other_answers(plain, tmp_path):
    """Questions whose answers are others in B are named, as another thing is right there; their order means nothing."""
    changed = [{**one, "answers": ["text 9", *one["answers"]]} if one["id"] == "s2" else one for one in ASKED]
    other = exported(tmp_path, "changed", question_set=changed)
    (warning,) = exporter.compare(plain, other).warnings
    assert warning.startswith("1 of the shared questions ask")
    assert warning.endswith(": s2")
    turned = [{**one, "answers": one["answers"][::-1]} for one in changed]
    assert exporter.compare(other, exported(tmp_path, "turned", question_set=turned)).warnings == ()


def test_what_was_taken_out(plain, tmp_path):
    """A run without texts is compared like any other: only its answers' words are not known, and none is made up."""
    other = exported(tmp_path, "silent", text=False, anonymize_ids=True)
    found = exporter.compare(plain, other)
    assert len(found.pairs) == len(ASKED)
    assert found.warnings == ()
    assert found.metrics["mrr"].difference == 0


def test_a_run_that_is_not_whole(plain, tmp_path):
    """A manifest that lacks what is needed, and a folder that is gone, are told in a line."""
    broken = tmp_path / "broken"
    shutil.copytree(plain.path, broken)
    manifest = broken / "manifest.json"
    facts = json.loads(manifest.read_text())
    del facts["evaluation"]["top_k"]
    manifest.write_text(json.dumps(facts))
    with pytest.raises(OutputError, match="is not as `export` writes a run"):
        exporter.compare(plain, broken)
    shutil.rmtree(broken)
    with pytest.raises(OutputError, match="is not a run"):
        exporter.compare(plain, broken)


def test_a_run_by_its_own_folder(plain, tmp_path, monkeypatch):
    """A run that is named by a dot has its folder's name."""
    monkeypatch.chdir(plain.path)
    assert exporter.open_run(".").name == "plain"


def test_one_question(tmp_path):
    """Of one question there are figures, no interval, and no proof."""
    a, b = (exported(tmp_path, name, question_set=ASKED[:1]) for name in ("one", "two"))
    found = exporter.compare(a, b)
    assert (found.metrics["mrr"].low, found.metrics["mrr"].high, found.metrics["mrr"].p) == (None, None, 1)


def test_a_question_without_a_set(plain, chroma, tmp_path):
    """A run of questions that are no set is refused with what to do."""
    run = exporter.export(chroma, question="text 3", model=Lookup(), logdir=tmp_path)
    with pytest.raises(UsageError, match="--questions"):
        exporter.compare(plain, run)
