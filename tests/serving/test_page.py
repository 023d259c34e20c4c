"""What the page's script is told of a run."""

import json

import pytest

from exporter.runs import manifest
from exporter.serving.page import told_of, with_script
from tests.workflows.test_export import ask
from tests.workflows.test_question_set import ask as ask_set


def test_a_question(chroma, tmp_path):
    """The script is told the question, its hits, and how many chunks hold the answer, all as the manifest has it."""
    run = ask(chroma, tmp_path, answer="text 7", top_k=3)
    told = told_of(run.path)
    question = told["questions"][0]
    assert (told["metric"], told["count"], told["focus"], told["asked"]) == ("l2", 1, 0, None)
    assert question["text"] == "text 3"
    assert [hit["id"] for hit in question["hits"]] == [hit.id for hit in run.questions[0].hits]
    assert (question["answers"], question["holding"], question["top_k"], question["lost"]) == (1, 1, 3, None)
    assert question["first_answer_rank"] == run.questions[0].first_answer_rank


def test_what_an_application_returned(chroma, tmp_path):
    """Where an application's own hits are known, these are told, and what it lost; the top k stays the true one."""
    run = ask(chroma, tmp_path, top_k=5, retrieved=["id20", "id21"])
    question = told_of(run.path)["questions"][0]
    assert [hit["id"] for hit in question["hits"]] == ["id20", "id21"]
    assert (question["top_k"], question["lost"]) == (5, run.questions[0].lost)


def test_of_a_whole_set(chroma, tmp_path):
    """Of a whole set only the questions are told that the box can show: the first, and that of the dartboard."""
    run = ask_set(chroma, tmp_path)
    told = told_of(run.path)
    assert told["count"] == len(run.questions) > 2
    assert told["questions"].keys() == {0, run.facts["focus"]}
    assert told["questions"][run.facts["focus"]]["text"] == run.questions[run.facts["focus"]].text


@pytest.mark.parametrize(
    "broken",
    [
        {"questions": None},
        {"questions": []},
        {"questions": [1]},
        {"far": True},
        {"questions": "text"},
        {"focus": 99},
        {"focus": {}},
        {"asked": "yes"},
        {"asked": []},
        {"metric": None, "asked_with": []},
    ],
)
def test_a_broken_manifest(chroma, tmp_path, broken):
    """Whatever a manifest holds, nothing fails that all runs need: of a run that is not as ours are nothing is told."""
    run = ask(chroma, tmp_path, projection="none")
    facts = manifest.read(run.path)
    if "far" in broken:
        facts["questions"][0]["hits"][0]["distance"] = "far"
    (run.path / manifest.MANIFEST).write_text(json.dumps({**facts, **broken}))
    assert told_of(run.path) is None


def test_a_page_without_a_head():
    """A page that has no head stays as it is; in any other the script comes before everything else in the body."""
    assert with_script("<p>") == "<p>"
    assert with_script("<head></head><body>", "t") == (
        '<head><script src="opening.js" data-token="t"></script></head><body>'
    )
