"""What an application really returned, beside the exact ranking."""

import json

import pytest

from exporter.cli.app import run as run_cli
from exporter.errors import UsageError
from exporter.workflows.request import read_retrieved
from tests.workflows.test_export import ask


@pytest.fixture
def plain(chroma, tmp_path):
    """The exact ranking of the small collection."""
    return ask(chroma, tmp_path, top_k=30, run="plain")


def ranked(run):
    return [hit.id for hit in run.questions[0].hits]


def test_roles_and_ranks(chroma, tmp_path, plain):
    """The returned chunks are the retrieved ones, in the application's order; `rank` stays the exact one."""
    order = ranked(plain)
    given = [order[4], order[0], order[19]]
    run = ask(chroma, tmp_path, top_k=5, retrieved=given, answer="text 7")
    rows = {name: row for row, name in enumerate(run.points["id"])}
    assert [row for row, role in enumerate(run.points["role"]) if role.startswith("retrieved")] == sorted(
        rows[name] for name in given
    )
    assert [run.points["app_rank"][rows[name]] for name in given] == [1, 2, 3]
    assert [run.points["rank"][rows[name]] for name in given] == [5, 1, 20]
    assert (run.points["app_rank"] > 0).sum() == 3
    question = run.questions[0]
    assert [hit.id for hit in question.returned] == given
    assert [hit.id for hit in question.hits] == order[:5]
    assert question.lost == (
        f"the application returned 3, 2 of the true top 5 among them; "
        f"it lost #2 {order[1]}, #3 {order[2]}, #4 {order[3]}"
    )
    assert question.lost in (run.path / "README.txt").read_text()


def test_the_pictures_follow(chroma, tmp_path, plain):
    """Lines lead to what was returned, and a bookmark selects it in its order."""
    order = ranked(plain)
    given = [order[9], order[0]]
    run = ask(chroma, tmp_path, top_k=5, retrieved=given)
    rows = {name: row for row, name in enumerate(run.points["id"])}
    (path,) = (run.path / "assets").glob("bookmarks-around_question-*.json")
    views = json.loads(path.read_text())
    (selected,) = (
        view["selectedPoints"] for view in views if view["label"].startswith("as the application returned them")
    )
    assert selected == [30, *(rows[name] for name in given)]
    assert any(view["label"].startswith("★ question ● returned ■ answer") for view in views)
    joined = [row for row, cell in enumerate(run.points["__seq_next__"]) if cell]
    assert joined == sorted(rows[name] for name in given)


def test_far_ones_are_shown(chroma, tmp_path, plain):
    """What was returned is always shown, however few points there may be."""
    last = ranked(plain)[-1]
    run = ask(chroma, tmp_path, top_k=2, max_points=5, retrieved=[last])
    assert last in run.points["id"]


def test_each_question_its_own(chroma, tmp_path):
    """With several questions there is a list for each, and a chunk of both counts for the one it is nearer to."""
    lists = [["id3", "id9"], ["id9", "id4"]]
    run = ask(chroma, tmp_path, question=["text 3", "text 9"], retrieved=lists)
    assert [[hit.id for hit in question.returned] for question in run.questions] == lists
    row = list(run.points["id"]).index("id9")
    assert (run.points["app_rank"][row], run.points["rank"][row]) == (1, 1)
    with pytest.raises(UsageError, match="1 lists of ids for 2 questions"):
        ask(chroma, tmp_path, question=["text 3", "text 9"], retrieved=["id3"])


def test_unknown_ids(chroma, tmp_path):
    """Ids that the collection has not are named in a warning; when it has none of them, that is an error."""
    run = ask(chroma, tmp_path, retrieved=["gone", "id3"])
    assert "1 ids of --retrieved are not among the chunks read: gone" in run.warnings
    with pytest.raises(UsageError, match="none of the 1 ids"):
        ask(chroma, tmp_path, run="other", retrieved=["gone"])
    assert not (tmp_path / "logs" / "other").exists()


@pytest.mark.parametrize(
    "text",
    [
        "id3\n\n  id9 \nid3\n",
        '["id3", "id9"]',
        '[{"id": "id3", "page_content": "x"}, {"id": "id9"}]',
        '[["id3", "id9"]]',
        '{"ids": [["id3", "id9"]], "distances": [[0.1, 0.2]], "included": ["distances"]}',
        '{"ids": ["id3", "id9"], "documents": null}',
        '{"id": "id3", "page_content": "x"}\n\n{"id": "id9"}\n',
        '["id3", "id9"]\n',
        '{\n  "ids": [["id3", "id9"]]\n}',
    ],
)
def test_forms(text):
    """Ids a line, or JSON, whole or line by line: ids, what has an id, Chroma's answer; each id counts once."""
    assert read_retrieved(text) == (("id3", "id9"),)


@pytest.mark.parametrize(
    "text",
    [
        '[["id3", "id9"], ["id4"]]',
        '{"ids": [["id3", "id9"], ["id4"]], "distances": null}',
        '["id3", "id9"]\n["id4"]\n',
        '{"ids": [["id3", "id9"]]}\n{"ids": [["id4"]]}\n',
        '{"ids": ["id3", "id9"]}\n[{"id": "id4"}]\n',
    ],
)
def test_forms_of_several_questions(text):
    """A list for each question may be one of lists, Chroma's one answer to all, or a line for each."""
    assert read_retrieved(text) == (("id3", "id9"), ("id4",))


def test_chromas_own_answer_is_taken_as_it_is(chroma, tmp_path):
    """What `collection.query` returned goes in unchanged."""
    answer = {
        "ids": [["id9", "id3"]],
        "embeddings": None,
        "documents": [["text 9", "text 3"]],
        "distances": [[0.1, 0.2]],
    }
    (question,) = ask(chroma, tmp_path, retrieved=answer).questions
    assert [hit.id for hit in question.returned] == ["id9", "id3"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n", "no ids"),
        ("[1]", "holds 1"),
        ("[", "is none"),
        ("[[], []]", "no ids"),
        ('{"id": 5}', "holds {'id': 5}"),
        ('{"ids": null}', "holds None where a list of ids"),
        ('{"ids": [[]]}', "no ids"),
        ('{"id": "a"}\nplain', "is none"),
        ("{}", "holds {} where an id"),
    ],
)
def test_bad_forms(text, said):
    """Anything else is one clear line."""
    with pytest.raises(UsageError, match=said):
        read_retrieved(text)


def test_from_a_pipe(chroma, vector, tmp_path, monkeypatch, capsys):
    """`--retrieved -` reads what another command prints."""
    ids = tmp_path / "ids"
    ids.write_text("id5\nid6\n")
    options = ["-q", "x", "--question-vector", str(vector), "--logdir", str(tmp_path / "logs"), "--projection", "none"]
    with ids.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert run_cli(["export", str(chroma), *options, "--retrieved", "-", "--json"]) == 0
    (question,) = json.loads(capsys.readouterr().out)["questions"]
    assert [hit["id"] for hit in question["returned"]] == ["id5", "id6"]
    assert "the application returned 2" in question["lost"]
