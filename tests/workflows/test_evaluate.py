"""Question sets against small collections, each built so that one verdict, and just it, is true."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import exporter
from exporter.errors import QueryError, UsageError
from exporter.evaluation.metrics import MEASURES
from exporter.evaluation.question_sets import from_records
from exporter.records import Batch, Collection
from exporter.workflows.assess import assess
from exporter.workflows.assessment import Setting
from exporter.workflows.evaluate import thresholds, write_trec
from exporter.workflows.request import RankingRequest
from tests.conftest import collection, write_chroma
from tests.sources.conftest import fingerprint
from tests.workflows.test_export import Lookup

VECTORS = Lookup().vectors


def ask(source, questions, **options):
    return exporter.evaluate(source, questions, **{"model": Lookup(), "index": False, **options})


def only(found):
    """The one question; its verdict is the only one."""
    (one,) = found.per_question
    assert {kind: count for kind, count in found.verdicts.items() if count} == {one.verdict.kind: 1}
    return one


def ranks(question, vectors=VECTORS):
    """The exact rank of each chunk, worked out here."""
    away = np.linalg.norm(vectors.astype(float) - (VECTORS[question].astype(np.float32) + 0.01), axis=1)
    return np.argsort(np.argsort(away)) + 1


def test_found(chroma):
    """An answer in the top k, which Chroma's own query returns too."""
    one = only(ask(chroma, [{"question": "text 3", "answers": ["TEXT 3"]}], top_k=2, index=True))
    assert (one.verdict.kind, one.first_rank, one.verdict.evidence) == ("found", 1, "rank 1 of 30")


def test_ranked_too_low(chroma):
    """An answer below the top k, with its rank and by how much closer the winners are."""
    far = int(np.argmax(ranks(3)))
    found = ask(chroma, [{"question": "text 3", "relevant": [f"id{far}"]}], top_k=4)
    one = only(found)
    away = np.sort(np.linalg.norm(VECTORS.astype(float) - VECTORS[3] - 0.01, axis=1))
    assert one.verdict.kind == "ranked_too_low"
    assert one.first_rank == 30
    assert f"rank 30 of 30, at {away[-1]:.4f}; rank 4 is nearer by {away[-1] - away[3]:.4f}" in one.verdict.evidence
    assert "depth" in one.verdict.repair


def test_ranked_far_below(tmp_path):
    """The rank of a right chunk is exact even far below what the ranking keeps."""
    model = Lookup(rows=700)
    vectors = model.vectors
    directory = write_chroma(tmp_path / "db", collection(vectors=vectors))
    for chunk in (699, 350):
        one = only(ask(directory, [{"question": "text 3", "relevant": [f"id{chunk}"]}], model=model))
        assert one.first_rank == ranks(3, vectors)[chunk]
    assert len(one.ranking) == 100


def test_in_no_chunk(chroma):
    """Words that no chunk holds, not even two together."""
    one = only(ask(chroma, [{"question": "text 3", "answers": ["nowhere"]}]))
    assert (one.verdict.kind, one.first_rank) == ("in_no_chunk", None)
    assert one.scores["hit@20"] == 0


def cut(tmp_path, first, second, sources=("a.md", "a.md")):
    texts = [f"text {i}" for i in range(30)]
    texts[10], texts[12] = first, second
    metadatas = [{"source": f"other{i}.md"} for i in range(30)]
    metadatas[10], metadatas[12] = ({"source": source} for source in sources)
    return write_chroma(tmp_path / "db", collection(texts=texts, metadatas=metadatas))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The answer is forty", "two. So it is said."),
        ("The answer is for", "ty two. So it is said."),
        ("It is known: the answer is forty", "the answer is forty two. So it is said."),
    ],
)
def test_cut_in_two(tmp_path, first, second):
    """An answer that begins in one chunk and ends in the next of its source, with an overlap or without."""
    one = only(ask(cut(tmp_path, first, second), [{"question": "text 3", "answers": ["known: the answer is forty two."
        if "known" in first else "answer is forty two."]}]))  # fmt: skip
    assert (one.verdict.kind, one.verdict.evidence) == ("cut_in_two", "begins in id10 and ends in id12")


def test_not_cut(tmp_path):
    """Two sources are not read together, whatever their chunks say."""
    directory = cut(tmp_path, "The answer is forty", "two. So it is said.", ("a.md", "b.md"))
    assert (
        only(ask(directory, [{"question": "text 3", "answers": ["answer is forty two"]}])).verdict.kind == "in_no_chunk"
    )


def test_hidden_by_filter(chroma):
    """An answer that is in the collection, but not in what the filter leaves."""
    one = only(ask(chroma, [{"question": "text 3", "answers": ["text 4"]}], where={"source": "doc0.md"}))
    assert one.verdict.kind == "hidden_by_filter"
    assert one.verdict.evidence.startswith("1 right chunk,")
    by_id = only(ask(chroma, [{"question": "text 3", "relevant": ["id4"]}], where={"source": "doc0.md"}))
    assert by_id.verdict.kind == "hidden_by_filter"
    nowhere = only(ask(chroma, [{"question": "text 3", "answers": ["nowhere"]}], where={"source": "doc0.md"}))
    assert nowhere.verdict.kind == "in_no_chunk"


def test_model_disagrees(tmp_path):
    """A right chunk below the top k whose stored vector another model made, as it alone shows when embedded again."""
    vectors = VECTORS.copy()
    vectors[20] = -3 * VECTORS[3]
    directory = write_chroma(tmp_path / "db", collection(vectors=vectors))
    found = ask(directory, [{"question": "text 3", "relevant": ["id20"]}], top_k=4)
    one = only(found)
    assert one.verdict.kind == "model_disagrees"
    assert f"cosine of {cosine(vectors[20], VECTORS[20]):.3f}" in one.verdict.evidence
    assert "two_models" in kinds(found)


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def kinds(found):
    return [finding.kind for finding in found.findings]


def test_wrong_model(tmp_path):
    """When another model made all of it, a miss is the model's by the cosine of its own right chunk; the finding has
    the median, and the texts are not counted in a model's tokens that is not theirs.
    """
    vectors = np.random.default_rng(99).normal(size=(30, 8))
    directory = write_chroma(tmp_path / "db", collection(vectors=vectors))
    model = Lookup()
    model.longest, model.tokens = 1, lambda texts: [9 for _ in texts]
    found = ask(directory, [{"question": "text 3", "answers": ["text 3"]}], top_k=1, model=model)
    assert only(found).verdict.kind == "model_disagrees"
    assert f"cosine of {cosine(vectors[3], VECTORS[3]):.3f}" in only(found).verdict.evidence
    (finding,) = [finding for finding in found.findings if finding.kind == "wrong_model"]
    assert "median cosine" in finding.text
    assert finding.of == 30
    assert "cut_by_model" not in kinds(found)


def test_two_models(tmp_path):
    """When the foreign part is the larger one it is still a part, and a miss whose chunk is this model's is no fault
    of the model.
    """
    vectors = VECTORS.copy()
    vectors[:18] = np.random.default_rng(5).normal(size=(18, 8))
    directory = write_chroma(tmp_path / "db", collection(vectors=vectors))
    far = 18 + int(np.argmax(ranks(3)[18:]))
    found = ask(directory, [{"question": "text 3", "relevant": [f"id{far}"]}], top_k=1)
    assert only(found).verdict.kind == "ranked_too_low"
    (finding,) = [finding for finding in found.findings if finding.kind == "two_models"]
    assert "18 of 30" in finding.text
    assert "wrong_model" not in kinds(found)


def test_zero_vectors(tmp_path):
    """A vector of zeros is a finding of its own, and says nothing of the model."""
    vectors = VECTORS.copy()
    vectors[3] = 0
    directory = write_chroma(tmp_path / "db", collection(vectors=vectors))
    found = ask(directory, [{"question": "text 3", "answers": ["text 3"]}], top_k=1)
    assert only(found).verdict.kind == "ranked_too_low"
    assert "zeros" in only(found).verdict.evidence
    assert "zero_vectors" in kinds(found)
    assert "two_models" not in kinds(found)
    assert found.check.checked == 29


def test_copies_are_not_lost(tmp_path):
    """Of chunks with one vector the index may return any: none of them is lost while nothing farther came instead."""
    vectors = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    vectors[100:1100] = vectors[100]
    model = Lookup()
    model.vectors = vectors
    directory = write_chroma(tmp_path / "db", collection(vectors=vectors))
    asked = [{"question": "text 100", "relevant": [f"id{i}"]} for i in range(100, 110)]
    found = ask(directory, asked, model=model, index=True)
    assert found.verdicts["found"] == 10
    assert found.warnings == ()


def test_the_index_has_one_metric(chroma):
    """By another metric than the collection's its index loses nothing: it is not asked, and that is said."""
    asked = [{"question": f"text {i}", "relevant": [f"id{i}"]} for i in range(6)]
    found = ask(chroma, asked, metric="cosine", top_k=2, index=True)
    assert found.verdicts["lost_by_index"] == 0
    assert "ranks by l2" in found.warnings[0]


def test_gone_ids_count(chroma, tmp_path):
    """Relevant ids that the collection has not stay in every denominator, as with the judgements that were given."""
    import ir_measures

    asked = [
        {"id": "a", "question": "text 3", "relevant": ["id3", "gone1", "gone2", "gone3"]},
        {"id": "b", "question": "text 4", "relevant": {"gone": 3, "id4": 1, "id5": 0}},
        {"id": "c", "question": "text 5", "relevant": ["gone"]},
    ]
    found = ask(chroma, asked)
    assert found.per_question[0].scores["recall@10"] == 0.25
    assert found.per_question[0].right_chunks == 1
    qrels = [ir_measures.Qrel("a", one, 1) for one in asked[0]["relevant"]]
    qrels += [ir_measures.Qrel("b", one, grade) for one, grade in asked[1]["relevant"].items()]
    qrels.append(ir_measures.Qrel("c", "gone", 1))
    run = tmp_path / "demo.run"
    write_trec(found, run)
    measures = {ir_measures.parse_measure(theirs): ours for ours, theirs in MEASURES.items()}
    for judgements in (qrels, list(ir_measures.read_trec_qrels(str(run) + ".qrels"))):
        theirs = ir_measures.calc_aggregate(list(measures), judgements, ir_measures.read_trec_run(str(run)))
        for measure, value in theirs.items():
            assert found.metrics[measures[measure]].value == pytest.approx(value, abs=1e-9), measure


def test_gone_sources_count(chroma):
    """So do sources and pages that the collection has not."""
    asked = [{"question": "text 3", "relevant": [{"source": "doc0.md", "page": 3}, {"source": "gone.pdf"}]}]
    assert ask(chroma, asked).metrics["recall@10"].value == 0.5


def test_hidden_chunks_count(chroma):
    """What the filter hides stays in the denominator."""
    found = ask(chroma, [{"question": "text 3", "answers": ["text 3", "text 4"]}], where={"source": "doc0.md"})
    assert only(found).verdict.kind == "found"
    assert found.metrics["recall@10"].value == 0.5


def test_the_filter_hides_the_nearer(chroma):
    """A filter that leaves a far right chunk and hides one that would have come back is what is to blame."""
    far = int(np.argmax(ranks(3)))
    asked = [{"question": "text 3", "relevant": ["id3", f"id{far}"]}]
    one = only(ask(chroma, asked, where={"page": {"$ne": 3}}, top_k=2))
    assert one.verdict.kind == "hidden_by_filter"
    assert "1 right chunk nearer" in one.verdict.evidence
    low = int(np.argsort(ranks(3))[-2])
    asked = [{"question": "text 3", "relevant": [f"id{low}", f"id{far}"]}]
    one = only(ask(chroma, asked, where={"page": {"$ne": low}}, top_k=2))
    assert one.verdict.kind == "ranked_too_low"
    assert "the filter hides 1 nearer" in one.verdict.evidence


def test_stale_ids(chroma):
    """Ids of a collection that was built anew: what holds the words is said beside them."""
    one = only(ask(chroma, [{"question": "text 3", "relevant": ["old"], "answers": ["text 9"]}]))
    assert one.verdict.kind == "in_no_chunk"
    assert "its words are in 1 of 30" in one.verdict.evidence


def test_no_vector():
    """A right chunk that lost its vector never comes back, and is not said to be missing."""
    vectors = VECTORS.astype(np.float32)
    vectors[3] = np.nan
    ids, texts = [f"id{i}" for i in range(30)], [f"text {i}." for i in range(30)]

    class Rows:
        count, rule = 30, "x"

        def batches(self, *, texts=False, metadatas=False):
            yield self._batch(range(30))

        def take(self, positions):
            yield self._batch(positions)

        def _batch(self, rows):
            return Batch([ids[i] for i in rows], vectors[list(rows)], [texts[i] for i in rows], [None for _ in rows])

    class Source:
        location = "x"

        def read(self, collection, use, where=None, where_document=None):
            return use(Rows())

    asked = from_records([{"question": "text 3", "answers": ["text 3."]}])
    setting = Setting(Source(), Collection("c", 30, 8, "l2", "x"), "l2", None, 10, index=False)
    found = assess(asked, RankingRequest(source=None).matchers_of(asked), VECTORS[3:4], setting, lambda *_: None)
    assert only(found).verdict.kind == "lost_by_index"
    assert only(found).verdict.evidence == "1 right chunk, but it has no vector"


def test_one_source(tmp_path):
    """Chunks whose source is not known are not a source."""
    metadatas = [{"source": f"d{i}"} if i > 25 else {"x": 1} for i in range(30)]
    directory = write_chroma(tmp_path / "db", collection(metadatas=metadatas))
    asked = [{"question": f"text {i}", "answers": [f"text {i}"]} for i in (3, 4)]
    assert "one_source" not in kinds(ask(directory, asked, top_k=1))


def test_answer_unknown(chroma):
    """A question that says nothing of its answer is left out of the figures, and counted."""
    found = ask(chroma, [{"question": "text 3"}])
    assert only(found).verdict.kind == "answer_unknown"
    assert found.metrics == {}
    both = ask(chroma, [{"question": "text 3"}, {"question": "text 4", "answers": ["text 4"]}])
    assert both.metrics["hit@1"].value == 1
    assert both.verdicts["answer_unknown"] == 1


LOSSY = """
import sys, chromadb, numpy
vectors = numpy.load(sys.argv[2])
client = chromadb.PersistentClient(sys.argv[1])
made = client.create_collection("chunks", embedding_function=None, configuration={
    "hnsw": {"max_neighbors": 2, "ef_construction": 2, "ef_search": 1}})
made.add(ids=[f"id{i}" for i in range(len(vectors))], embeddings=vectors,
         documents=[f"text {i}" for i in range(len(vectors))])
client.close()
"""
QUERY = """
import sys, json, chromadb, numpy
client = chromadb.PersistentClient(sys.argv[1])
made = client.get_collection("chunks", embedding_function=None)
found = made.query(query_embeddings=numpy.load(sys.argv[2]), n_results=1)
print(json.dumps(found["ids"]))
"""


def test_lost_by_index(tmp_path):
    """An index of few links loses true neighbours: just those that Chroma's own query does not return."""
    random = np.random.default_rng(5)
    np.save(tmp_path / "chunks.npy", random.normal(size=(1500, 24)).astype(np.float32))
    questions = random.normal(size=(40, 24)).astype(np.float32)
    np.save(tmp_path / "questions.npy", questions)
    subprocess.run([sys.executable, "-c", LOSSY, tmp_path / "db", tmp_path / "chunks.npy"], check=True)
    copy = shutil.copytree(tmp_path / "db", tmp_path / "copy")
    done = subprocess.run(
        [sys.executable, "-c", QUERY, copy, tmp_path / "questions.npy"], check=True, capture_output=True, text=True
    )
    returned = [ids[0] for ids in json.loads(done.stdout)]
    chunks = np.load(tmp_path / "chunks.npy").astype(float)
    nearest = [int(np.argmin(np.linalg.norm(chunks - question, axis=1))) for question in questions]
    asked = [{"question": f"which? {i}", "relevant": [f"id{chunk}"]} for i, chunk in enumerate(nearest)]
    before = fingerprint(tmp_path / "db")
    options = {"question_vector": tmp_path / "questions.npy", "top_k": 1}
    found = exporter.evaluate(tmp_path / "db", asked, **options)
    lost = [one.verdict.kind == "lost_by_index" for one in found.per_question]
    assert lost == [id != f"id{chunk}" for id, chunk in zip(returned, nearest, strict=True)]
    assert any(lost)
    assert found.verdicts["found"] + found.verdicts["lost_by_index"] == 40
    assert found.metrics["hit@1"].value == 1, "the figures are the exact ranking's"
    assert fingerprint(tmp_path / "db") == before, "the index is asked on a private copy"
    assert exporter.evaluate(tmp_path / "db", asked, **options, index=False).verdicts["found"] == 40


def test_figures_at_ones_own_k(chroma):
    """There are figures at the k that the application retrieves, however large."""
    asked = [{"question": f"text {i}", "relevant": [f"id{(i + 11) % 30}"]} for i in range(30)]
    found = ask(chroma, asked, top_k=7)
    assert found.metrics["hit@7"].value == pytest.approx(np.mean([ranks(i)[(i + 11) % 30] <= 7 for i in range(30)]))
    assert found.metrics["hit@7"].value == pytest.approx(found.verdicts["found"] / 30)


def test_what_is_relevant(chroma):
    """Ids; sources and pages; with answers, of a source the chunks that hold one; without, every chunk of it."""
    questions = [
        {"id": "ids", "question": "text 3", "relevant": ["id3", "id4"]},
        {"id": "source", "question": "text 3", "source": "doc0.md"},
        {"id": "page", "question": "text 3", "source": "doc0.md", "page": 3},
        {"id": "both", "question": "text 3", "source": "doc0.md", "answers": ["text 1", "text 9"]},
        {"id": "answer", "question": "text 3", "answers": ["text 9", ["text", "5"]]},
        {"id": "ids rule", "question": "text 3", "relevant": ["id3"], "answers": ["nowhere"]},
    ]
    found = ask(chroma, questions)
    right = {one.asked.id: sorted(judged.right) for one, judged in zip(found.per_question, found.judged, strict=True)}
    assert right == {
        "ids": ["id3", "id4"],
        "source": sorted(f"id{i}" for i in range(0, 30, 3)),
        "page": ["id3"],
        "both": ["id12", "id15", "id18", "id9"],
        "answer": ["id15", "id25", "id5", "id9"],
        "ids rule": ["id3"],
    }


def test_metrics_of_a_small_set(chroma):
    """Figures of a whole evaluation, worked out by hand from exact ranks."""
    questions = [{"question": f"text {i}", "relevant": [f"id{(i * 7) % 30}", f"id{i}"]} for i in range(30)]
    found = ask(chroma, questions)
    place = [sorted(int(ranks(i)[chunk]) for chunk in {(i * 7) % 30, i}) for i in range(30)]
    for k in (1, 3, 5, 10, 20):
        assert found.metrics[f"hit@{k}"].value == pytest.approx(np.mean([row[0] <= k for row in place]))
        recall = np.mean([np.mean([rank <= k for rank in row]) for row in place])
        assert found.metrics[f"recall@{k}"].value == pytest.approx(recall)
    assert found.metrics["mrr"].value == pytest.approx(np.mean([1 / row[0] for row in place]))
    assert found.metrics["map"].value == pytest.approx(
        np.mean([np.mean([(i + 1) / rank for i, rank in enumerate(row)]) for row in place])
    )
    assert found.metrics["first_rank"].value == np.median([row[0] for row in place])
    assert [one.first_rank for one in found.per_question] == [row[0] for row in place]


def test_unknown_ids(chroma):
    """Relevant ids that no chunk has are counted, with an example, and can't be found."""
    found = ask(
        chroma, [{"question": "text 3", "relevant": ["id3", "gone"]}, {"question": "text 4", "relevant": ["x"]}]
    )
    assert found.warnings == ("2 relevant ids or sources of the set are of no chunk (gone, x)",)
    assert [one.verdict.kind for one in found.per_question] == ["found", "in_no_chunk"]


def test_grades_and_qrels(chroma, tmp_path):
    """BEIR's and TREC's files: queries in one, judgements in the other."""
    (tmp_path / "queries.jsonl").write_text('{"_id": "a", "text": "text 3"}\n{"_id": "b", "text": "text 4"}\n')
    (tmp_path / "test.tsv").write_text("query-id\tcorpus-id\tscore\na\tid3\t2\nb\tid3\t0\nb\tid4\t1\n")
    found = ask(chroma, tmp_path / "queries.jsonl", qrels=tmp_path / "test.tsv")
    assert [one.right_chunks for one in found.per_question] == [1, 1]
    assert found.judged[1].right == {"id3": 0, "id4": 1}
    assert found.metrics["hit@1"].value == 1


def test_answer_matching(chroma):
    """Ways to look for the answer are those of `export`."""
    asked = [{"question": "text 3", "answers": ["txet 3"]}]
    assert ask(chroma, asked).verdicts["in_no_chunk"] == 1
    assert ask(chroma, asked, answer_match="fuzzy", fuzzy_threshold=60).verdicts["found"] == 1
    accented = [{"question": "text 3", "answers": ["téxt 3"]}]
    assert ask(chroma, accented).verdicts["in_no_chunk"] == 1
    assert ask(chroma, accented, ignore_accents=True).verdicts["found"] == 1
    with pytest.raises(QueryError, match="entry 1: the answer"):
        ask(chroma, [{"question": "text 3", "answers": ["("]}], answer_match="regex")


@pytest.mark.parametrize("options", [{"top_k": 0}, {"metric": "l1"}, {"answer_match": "best"}, {"fuzzy_threshold": 0}])
def test_bad_values(chroma, options):
    """A value that can't be is refused before anything is read."""
    with pytest.raises(UsageError):
        ask(chroma, [{"question": "text 3"}], **options)


def test_thresholds():
    """Thresholds are names of metrics and numbers between 0 and 1."""
    assert thresholds(["hit@5=0.8", "MRR = .5"], 10) == {"hit@5": 0.8, "mrr": 0.5}
    assert thresholds(["hit@50=0.8"], 50) == {"hit@50": 0.8}
    assert set(thresholds((f"{name}=0" for name in MEASURES), 10)) == {*MEASURES}
    for wrong in ("hit@5", "hit@6=0.5", "hit@5=x", "hit@5=80", "hit@5=nan"):
        with pytest.raises(UsageError, match="--min"):
            thresholds([wrong], 50)


def test_live_collection(tmp_path):
    """A chromadb `Collection` is a source, and its own query is asked."""
    script = """
import sys, chromadb, numpy, exporter
client = chromadb.PersistentClient(sys.argv[1])
made = client.create_collection("live", embedding_function=None)
vectors = numpy.random.default_rng(0).normal(size=(20, 4)).astype("f4")
made.add(ids=[f"id{i}" for i in range(20)], embeddings=vectors, documents=[f"text {i}" for i in range(20)])
numpy.save(sys.argv[1] + "/q.npy", vectors[:3] + 0.01)
found = exporter.evaluate(made, [{"question": f"q {i}", "relevant": [f"id{i}"]} for i in range(3)],
                          question_vector=sys.argv[1] + "/q.npy", top_k=1)
assert found.verdicts["found"] == 3 and found.warnings == (), found
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_plain_words(tmp_path):
    """What words find and vectors miss, and the reverse; a question without a known answer is in neither count."""
    texts = ["alpha", "beta", *(f"filler {i}" for i in range(28))]
    directory = write_chroma(tmp_path / "db", collection(vectors=VECTORS, texts=texts))
    np.save(tmp_path / "asked.npy", np.stack([-VECTORS[0], VECTORS[5], VECTORS[1], VECTORS[2]]))
    asked = [
        {"id": "words", "question": "what is alpha", "relevant": ["id0"]},
        {"id": "vectors", "question": "nothing alike", "relevant": ["id5"]},
        {"id": "both", "question": "beta?", "relevant": ["id1"]},
        {"id": "unknown", "question": "alpha"},
    ]
    found = exporter.evaluate(directory, asked, question_vector=tmp_path / "asked.npy", top_k=2, index=False)
    told = found.to_json()["lexical"]
    assert (told["only_words"], told["only_vectors"], told["both"], told["neither"]) == (
        ["words"], ["vectors"], ["both"], [],
    )  # fmt: skip
    assert told["ranks"] == {"words": 1, "vectors": None, "both": 1}
    assert told["hit"] == pytest.approx(2 / 3)
    assert found.index_recall is None


def test_without_plain_words(chroma, monkeypatch):
    """What is not wanted is not done: no word is looked at, and the report has no line of it."""
    monkeypatch.setattr("exporter.evaluation.lexical._library", lambda: pytest.fail("words were ranked"))
    asked = [{"question": f"text {i}", "answers": [f"text {i}"]} for i in range(3, 6)]
    found = ask(chroma, asked, top_k=4, words=False)
    assert found.lexical is None
    assert found.to_json()["lexical"] is None
    assert found.metrics["hit@1"].value == 1


def test_recall_of_the_index(chroma, monkeypatch):
    """The share of the exact top k that Chroma's own query returns: all of a small collection's, less what it loses."""
    asked = [{"question": f"text {i}", "answers": [f"text {i}"]} for i in range(3, 6)]
    assert ask(chroma, asked, top_k=4, index=True).index_recall == 1

    def forgetful(self, collection, vectors, top_k, **filters):
        order = [np.argsort(np.linalg.norm(VECTORS - one, axis=1)) for one in vectors]
        return [[f"id{place}" for place in one[1 : top_k + 1]] for one in order]

    from exporter.sources.directory import Directory

    monkeypatch.setattr(Directory, "query", forgetful)
    assert ask(chroma, asked, top_k=4, index=True).index_recall == pytest.approx(3 / 4)
