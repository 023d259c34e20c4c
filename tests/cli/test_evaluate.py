"""`evaluate` on the command line: what it prints, and when it fails."""

import json

import numpy as np
import pytest

from exporter.evaluation.metrics import MEASURES
from exporter.evaluation.verdicts import REPAIRS
from tests.workflows.test_export import Lookup


@pytest.fixture
def asked(chroma, tmp_path):
    """Arguments for three questions: one found, one in no chunk, one that says no answer."""
    (tmp_path / "set.jsonl").write_text(
        '{"id": "a", "question": "text 3", "answers": ["text 3"]}\n'
        '{"id": "b", "question": "<b>text|4</b>", "answers": ["no*where"]}\n'
        '{"id": "c", "question": "text 5"}\n'
    )
    np.save(tmp_path / "vectors.npy", Lookup().vectors[3:6] + np.float32(0.01))
    return [
        "evaluate", chroma, "--questions", tmp_path / "set.jsonl", "--question-vector", tmp_path / "vectors.npy",
        "--no-index",
    ]  # fmt: skip


def test_table(cli, asked):
    """The tables are on stdout, with figures, verdicts and what mends them; warnings on stderr."""
    done = cli(*asked)
    assert done.code == 0
    assert done.out.startswith("2 questions to chunks, 30 chunks by l2, 1 more says no answer")
    assert "0.500 (0.000 to 1.000)" in done.out
    assert "in_no_chunk" in done.out
    assert "ingest it" in done.out
    assert "Warning: 1 question says neither" in done.err


def test_beside_the_vectors(cli, asked):
    """What plain words find and what the index returns are each told where they are wanted, and only there."""
    with_index = [one for one in asked if one != "--no-index"]
    words, index = "plain words (BM25)", "Chroma's own index"
    for arguments, told in (
        (asked, (True, False)),
        ([*asked, "--no-words"], (False, False)),
        ([*with_index, "--no-words"], (False, True)),
        (with_index, (True, True)),
    ):
        out = cli(*arguments).out
        assert (words in out, index in out) == told


def test_json(cli, asked):
    """--json prints one value with the keys that stay."""
    done = cli(*asked, "--json")
    found = json.loads(done.out)
    assert found["questions"] == 3
    assert set(found["metrics"]) == {*MEASURES, "first_rank"}
    assert found["metrics"]["hit@1"] == {"value": 0.5, "low": 0.0, "high": 1.0}
    assert list(found["verdicts"]) == list(REPAIRS)
    assert {kind for kind, count in found["verdicts"].items() if count} == {"found", "in_no_chunk", "answer_unknown"}
    assert [one["id"] for one in found["per_question"]] == ["a", "b", "c"]
    assert found["per_question"][0]["hits"][0]["id"] == "id3"
    assert {"kind", "text", "count", "of", "examples"} == set(found["findings"][0])
    assert done.err == ""


def test_markdown(cli, asked):
    """--markdown is whole tables, in which foreign text opens no tag, cell or emphasis."""
    done = cli(*asked, "--markdown")
    lines = done.out.splitlines()
    assert lines[0].startswith("### 2 questions to chunks")
    tables = [line for line in lines if line.startswith("|")]
    assert any(r"&lt;b&gt;text\|4&lt;/b&gt;" in line for line in tables)
    unescaped = [line.replace(r"\|", "").count("|") for line in tables]
    widths = [count for line, count in zip(tables, unescaped, strict=True) if line.startswith("|---")]
    assert len(widths) == 5
    assert all(count in widths for count in unescaped)


def test_both_forms(cli, asked):
    """Two forms at once are refused."""
    assert cli(*asked, "--json", "--markdown").code == 2


def test_trec_is_checked_first(cli, asked, tmp_path):
    """A place where the ranking can't be written is told before anything is read."""
    (tmp_path / "file").write_text("")
    for bad in (tmp_path, tmp_path / "file" / "demo.run"):
        done = cli(*asked, "--trec", bad)
        assert done.code == 7
        assert done.out == ""
        assert "--trec" in done.err


def test_thresholds(cli, asked):
    """--min passes what is reached, and ends with 10 and all figures that are not, after the report."""
    assert cli(*asked, "--min", "hit@5=0.5", "--min", "mrr=0.5").code == 0
    done = cli(*asked, "--min", "hit@5=0.6", "--min", "mrr=0.5", "--min", "recall@3=0.9")
    assert done.code == 10
    assert "verdict" in done.out
    assert "hit@5 is 0.5000, below 0.6; recall@3 is 0.5000, below 0.9" in done.err
    assert cli(*asked, "--min", "hit@6=0.5").code == 2


def test_a_threshold_that_nothing_can_reach(cli, asked, tmp_path):
    """A set that says no answers passes no threshold."""
    (tmp_path / "set.jsonl").write_text('{"question": "a"}\n{"question": "b"}\n{"question": "c"}\n')
    done = cli(*asked, "--min", "hit@5=0")
    assert done.code == 10
    assert "not known" in done.err


def test_trec(cli, asked, tmp_path):
    """--trec writes the ranking and the judgements, which ir-measures reads."""
    import ir_measures

    done = cli(*asked, "--trec", tmp_path / "out" / "ours.run", "--json")
    found = json.loads(done.out)
    run = list(ir_measures.read_trec_run(str(tmp_path / "out" / "ours.run")))
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "out" / "ours.run.qrels")))
    assert [one.doc_id for one in run if one.query_id == "a"][:10] == [
        hit["id"] for hit in found["per_question"][0]["hits"]
    ]
    value = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]
    assert value == pytest.approx(found["metrics"]["ndcg@10"]["value"])
    (tmp_path / "file").write_text("")
    assert cli(*asked, "--trec", tmp_path / "file" / "x").code == 7


def test_bad_sets(cli, asked, tmp_path):
    """A set that can't be understood is one line with the place, and exit code 11."""
    (tmp_path / "set.jsonl").write_text('{"question": "a"}\nnonsense\n')
    done = cli(*asked)
    assert done.code == 11
    assert "set.jsonl: line 2: not JSON" in done.err
    assert done.err.count("\n") == 1
    asked[3] = tmp_path / "nowhere.jsonl"
    done = cli(*asked, "--json")
    assert done.code == 11
    assert json.loads(done.err)["exit_code"] == 11


def test_vectors_that_do_not_fit(cli, asked, tmp_path):
    """As many vectors as questions, of the collection's dimension."""
    np.save(tmp_path / "vectors.npy", np.zeros((2, 8)))
    assert cli(*asked).code == 2
    np.save(tmp_path / "vectors.npy", np.zeros((3, 9)))
    assert cli(*asked).code == 5


def test_a_run_too(cli, asked, tmp_path):
    """--logdir or --run writes a run of the set, and --json says where."""
    done = cli(*asked, "--logdir", tmp_path / "logs", "--run", "judged", "--json")
    assert done.code == 0
    assert json.loads(done.out)["run"] == str(tmp_path / "logs" / "judged")
    assert (tmp_path / "logs" / "judged" / "questions.tsv").is_file()
    assert cli(*asked, "--logdir", tmp_path / "logs", "--run", "judged").code == 7
    assert cli(*asked, "--logdir", tmp_path / "logs", "--run", "judged", "--overwrite").code == 0


def test_export_of_a_set(cli, asked, tmp_path):
    """`export --questions` prints the report and where the run is; a set and a question don't go together."""
    asked[0] = "export"
    done = cli(*asked, "--logdir", tmp_path / "logs")
    assert done.code == 0
    assert done.out.startswith("2 questions to chunks")
    assert "trustworthiness" in done.out
    assert (tmp_path / "logs" / "chunks-set" / "manifest.json").is_file()
    assert cli(*asked, "-q", "another").code == 2
