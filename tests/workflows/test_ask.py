"""Questions asked of a run: what the new run holds, which model and source are used, what is kept, what is removed."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from exporter import export, open_run
from exporter.errors import ExporterError, ModelError, OutputError, UsageError
from exporter.layouts.placed import HOW
from exporter.records import no_progress
from exporter.runs.verify import faults, read_tensor
from exporter.workflows.asking import Asking
from tests.conftest import collection, write_chroma

ROWS, DIMENSION = 60, 8


class Words:
    """A model that knows numbers: text 7 and "7?" are near each other."""

    loaded = 0

    def __init__(self):
        type(self).loaded += 1

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        number = int("".join(filter(str.isdigit, text)) or 0)
        return np.random.default_rng(number).normal(size=DIMENSION) + 0.3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project: the collection in `db`, a run `base` of all chunks and one of 20 in `logs`."""
    project = tmp_path_factory.mktemp("made")
    texts = [f"text {row} of {'a long text ' * 40}" for row in range(ROWS)]
    vectors = [Words().embed_query(f"{row}") for row in range(ROWS)]
    write_chroma(project / "db", collection("chunks", vectors, texts=texts, space="cosine"))
    for name, options in {"base": {}, "some": {"max_points": 20, "top_k": 3}}.items():
        export(
            project / "db", question="7?", answer="text 7 ", model=Words(), logdir=project / "logs", run=name, **options
        )
    return project


@pytest.fixture
def project(made, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(made, tmp_path / "project")


@pytest.fixture
def asking(project):
    """Asks in the copy; closed at the end."""
    found = Asking(project / "logs", model=Words())
    yield found
    found.close()


def ask(asking, question, answer="", run="base"):
    """The name of the new run."""
    return asking.answer({"do": "ask", "run": run, "question": question, "answer": answer}, no_progress)["run"]


def keep(asking, run, name=""):
    return asking.answer({"do": "keep", "run": run, "name": name}, no_progress)["run"]


def by_id(run, column):
    return dict(zip(run.points["id"].tolist(), run.points[column].tolist(), strict=True))


def places_of(run, kind="map"):
    """The places of a run's rows by id; those of the flat map for `flat`."""
    if kind == "flat":
        values = read_tensor(run.path, run.facts["flat_map"], (len(run.points), 2))
    else:
        entry = next(entry for entry in run.facts["tensors"] if entry["kind"] == kind)
        values = read_tensor(run.path, entry["file"], tuple(entry["shape"]))
    return dict(zip(run.points["id"].tolist(), values.tolist(), strict=True))


def test_as_exported(asking, project, tmp_path):
    """A question asked of a run gives the hits, ranks and verdict that `export` gives, in a run without fault."""
    name = ask(asking, "  33?  ", "text 33 ")
    asked = open_run(project / "logs" / name)
    exported = export(project / "db", question="33?", answer="text 33 ", model=Words(), logdir=tmp_path / "other")
    assert asked.questions == exported.questions
    assert asked.questions[0].first_answer_rank == 1
    assert asked.metric == exported.metric == "cosine"
    assert asked.facts["asked"] == {"of": "base", "kept": False, "over": "source", "placed": HOW}
    assert asked.facts["source"]["longest_lock_ms"] > 0
    assert asked.facts["source"]["private_copy"] is None
    assert faults(asked.path) == []
    assert sorted(asked.points["id"]) == sorted(exported.points["id"])


@pytest.mark.parametrize("reached", [False, True])
def test_what_was_taken_out_stays_out(reached, project):
    """Asked of a redacted run, over what is left of it or over the collection, a question brings nothing back."""
    gone = {"text": False, "redact": ["source", "note"], "anonymize_ids": not reached}
    texts = [f"text {row} Zanzibar" for row in range(ROWS)]
    vectors = [Words().embed_query(f"{row}") for row in range(ROWS)]
    metadatas = [{"source": f"Quokka{row % 3}.md", "page": row, "note": "Wombat", "year": 2000} for row in range(ROWS)]
    write_chroma(project / "secret", collection("chunks", vectors, texts=texts, metadatas=metadatas))
    export(project / "secret", question="7?", model=Words(), logdir=project / "logs", run="gone", **gone)
    asking = Asking(project / "logs", model=Words(), source=project / "secret" if reached else None)
    try:
        asked = open_run(project / "logs" / ask(asking, "21?", run="gone"))
        assert asked.facts["asked"]["over"] == ("source" if reached else "run")
        assert "year" in asked.facts["columns"]
        for path in asked.path.rglob("*"):
            if path.is_file():
                assert not any(word in path.read_bytes() for word in (b"Zanzibar", b"Quokka", b"Wombat")), path
    finally:
        asking.close()


def test_no_old_point_moves(asking, project):
    """Every chunk is where it was, to the bit, in space and on the plane; the question is placed among them, and the
    manifest says so.
    """
    base, asked = open_run(project / "logs/base"), open_run(project / "logs" / ask(asking, "21?"))
    for kind in ("map", "flat"):
        before, after = places_of(base, kind), places_of(asked, kind)
        chunks = before.keys() - {"question-1"}
        assert after.keys() == before.keys()
        assert {chunk: before[chunk] for chunk in chunks} == {chunk: after[chunk] for chunk in chunks}
        among = np.array([before[chunk] for chunk in chunks])
        assert (among.min(axis=0) <= after["question-1"]).all()
        assert (after["question-1"] <= among.max(axis=0)).all()
    assert "placed at the weighted mean" in asked.facts["asked"]["placed"]
    assert "The question was placed at the weighted mean" in (asked.path / "README.txt").read_text()
    before, after = (
        {layout["name"]: (layout["made_by"], layout["trustworthiness"]) for layout in run.facts["layouts"]}
        for run in (base, asked)
    )
    for layout in ("map", "flat map"):
        assert before[layout] == after[layout]


def test_the_base_stays_as_it_was(asking, project):
    """Asking changes no file of the run that is asked, nor of the collection."""
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    ask(asking, "21?")
    assert {path: path.read_bytes() for path in before} == before


def test_ranked_over_the_collection(asking, project):
    """Ranks are those of all chunks, not of those shown; hits that are not on the map are placed on it."""
    base = open_run(project / "logs/some")
    asked = open_run(project / "logs" / ask(asking, "33?", "text 33 ", run="some"))
    assert asked.questions[0].hits[0].id == "id33"
    assert asked.facts["source"]["rows_after_filter"] == ROWS
    assert set(base.points["id"]) <= set(asked.points["id"])
    assert {hit.id for hit in asked.questions[0].hits} <= set(asked.points["id"])
    assert len(asked.questions[0].hits) == 3
    before, after = places_of(base), places_of(asked)
    assert all(after[chunk] == place for chunk, place in before.items() if chunk != "question-1")
    assert np.isfinite(list(after.values())).all()


def test_many_chunks_hold_the_answer(asking, project, monkeypatch):
    """Where many chunks hold the answer, the nearest of them are shown beside those on the map; all are counted."""
    monkeypatch.setattr("exporter.workflows.ask.MORE_ANSWERS", 5)
    base = open_run(project / "logs/some")
    asked = open_run(project / "logs" / ask(asking, "33?", "a long text", run="some"))
    assert asked.facts["questions"][0]["chunks_with_answer"] == ROWS
    assert len(base.points) <= len(asked.points) <= len(base.points) + 3 + 5
    assert asked.facts["left_out_with_answer"] == ROWS + 1 - len(asked.points)
    ranks = sorted(rank for row, rank in by_id(asked, "rank").items() if row not in set(base.points["id"]))
    assert ranks[-1] < ROWS // 2
    assert faults(asked.path) == []


def test_of_a_run_that_was_asked(asking, project):
    """Asking of a run that was itself asked for asks of the run on whose map it is."""
    first = ask(asking, "21?", run="some")
    second = open_run(project / "logs" / ask(asking, "22?", run=first))
    assert second.facts["asked"]["of"] == "some"


def test_a_source_that_is_gone(asking, project):
    """Without the source the run's own vectors are ranked, with the same hits where all chunks are shown, and it says
    so; another place can be named.
    """
    there = open_run(project / "logs" / ask(asking, "33?", "text 33 "))
    (project / "db").rename(project / "moved")
    gone = open_run(project / "logs" / ask(asking, "33?", "text 33 "))
    assert gone.facts["asked"]["over"] == "run"
    assert gone.facts["asked"]["why"]
    assert any("not over its source" in warning for warning in gone.warnings)
    assert [(hit.rank, hit.id, hit.source, hit.page) for hit in gone.questions[0].hits] == [
        (hit.rank, hit.id, hit.source, hit.page) for hit in there.questions[0].hits
    ]
    assert gone.questions[0].hits[0].distance == there.questions[0].hits[0].distance
    assert faults(gone.path) == []
    for column in ("source_group", "source", "page", "role", "rank", "distance"):
        assert by_id(gone, column) == by_id(there, column)
    named = Asking(project / "logs", model=Words(), source=project / "moved")
    assert open_run(project / "logs" / ask(named, "33?")).facts["asked"]["over"] == "source"
    named.close()


def test_another_collection_of_that_name(asking, project):
    """Where another collection stands in the source's place, the run's own chunks are ranked."""
    shutil.rmtree(project / "db")
    ids = collection("chunks", rows=5, dimension=DIMENSION)
    write_chroma(project / "db", {**ids, "ids": [f"other{row}" for row in range(5)]})
    asked = open_run(project / "logs" / ask(asking, "33?"))
    assert asked.facts["asked"]["over"] == "run"
    assert asked.questions[0].hits[0].id == "id33"


def test_a_source_farther_away_is_not_recorded(made, tmp_path):
    """A run says where its source is only when that is beside its log directory."""
    assert open_run(made / "logs/base").facts["source"]["from_logdir"] == "../db"
    far = export(made / "db", question="7?", model=Words(), logdir=tmp_path / "deep/logs", projection="none")
    assert far.facts["source"]["from_logdir"] is None
    assert str(made) not in (far.path / "manifest.json").read_text()


@pytest.mark.parametrize("model", ["os:getcwd", "openai:text-embedding-3-small"])
def test_a_manifest_names_no_code_and_no_host(project, model):
    """A model that runs code or asks another host is not taken from a manifest: the user must name it."""
    manifest = project / "logs/base/manifest.json"
    facts = json.loads(manifest.read_text())
    facts["asked_with"] |= {"model": model, "base_url": "http://evil.example"}
    manifest.write_text(json.dumps(facts))
    asking = Asking(project / "logs")
    with pytest.raises(ModelError, match="--model"):
        ask(asking, "33?")
    asking.close()


@pytest.mark.parametrize("model", ["trap:Model", "./trap", "openai:text-embedding-3-small", "stranger/model"])
@pytest.mark.parametrize("asked_with", ["auto", None])
def test_no_code_without_the_source_either(project, model, asked_with, monkeypatch):
    """Where the source is gone the name of the model decides: no module is imported for it, no folder of a stranger's
    is read, no host is asked.
    """
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    (project / "trap.py").write_text("raise SystemExit('it ran')")
    (project / "trap").mkdir()
    shutil.rmtree(project / "db")
    manifest = project / "logs/base/manifest.json"
    facts = json.loads(manifest.read_text())
    facts["asked_with"]["model"], facts["model"]["name"] = asked_with, model
    manifest.write_text(json.dumps(facts))
    asking = Asking(project / "logs")
    with pytest.raises(ModelError, match=f"this run's model is {model}: start the server with --model"):
        ask(asking, "33?")
    asking.close()


def test_a_pattern_is_not_taken_from_the_page(made, tmp_path):
    """What is typed as an answer is words, also where the run's own answers were patterns: one may take for ever."""
    shutil.copytree(made / "db", tmp_path / "db")
    export(
        tmp_path / "db", question="7?", answer="text [7]", answer_match="regex", model=Words(), logdir=tmp_path / "l"
    )
    (run,) = (path.name for path in (tmp_path / "l").iterdir() if path.is_dir() and not path.name.startswith("."))
    asking = Asking(tmp_path / "l", source=tmp_path / "db", model=Words())
    found = open_run(tmp_path / "l" / ask(asking, "33?", "(t|a)*$", run=run)).questions[0]
    assert found.first_answer_rank is None
    asking.close()


def test_a_log_directory_that_is_a_run(project):
    """Where a run itself is served nothing is asked: the new run would lie inside it."""
    before = sorted((project / "logs/base").rglob("*"))
    asking = Asking(project / "logs/base", model=Words())
    with pytest.raises(OutputError, match="itself a run"):
        ask(asking, "33?", run=".")
    asking.close()
    assert sorted((project / "logs/base").rglob("*")) == before


def test_a_link_to_a_run(project):
    """A run that its owner has linked into the log directory is asked like any other."""
    (project / "logs/base").rename(project / "elsewhere")
    (project / "logs/base").symlink_to(project / "elsewhere")
    asking = Asking(project / "logs", source=project / "db", model=Words())
    assert (project / "logs" / ask(asking, "33?")).is_dir()
    asking.close()


def test_a_manifest_names_no_place_outside(project, tmp_path):
    """The way to the source that a manifest gives leads nowhere but beside the log directory."""
    shutil.copytree(project / "db", tmp_path / "elsewhere")
    manifest = project / "logs/base/manifest.json"
    facts = json.loads(manifest.read_text())
    facts["source"]["from_logdir"] = "../../elsewhere"
    manifest.write_text(json.dumps(facts))
    asking = Asking(project / "logs", model=Words())
    assert open_run(project / "logs" / ask(asking, "33?")).facts["asked"]["over"] == "run"
    asking.close()


def test_a_model_of_another_dimension(project):
    """A model that does not fit is told, nothing is published, and the next question may be asked."""

    class Short(Words):
        def embed_query(self, text):
            return [1.0, 2.0]

    asking = Asking(project / "logs", model=Short())
    before = sorted((project / "logs").iterdir())
    with pytest.raises(ModelError, match="2 dimensions"):
        ask(asking, "33?")
    assert sorted((project / "logs").iterdir()) == before
    asking.close()


def test_the_model_is_loaded_once(project, monkeypatch):
    """The model is kept between questions."""
    monkeypatch.setattr(Words, "loaded", 0)
    asking = Asking(project / "logs", model="tests.workflows.test_ask:Words")
    for number in (3, 4):
        ask(asking, f"{number}?")
    assert Words.loaded == 1
    asking.close()


@pytest.mark.parametrize("run", ["no-such-run", "../../elsewhere", "/", "", "a\0b"])
def test_an_unknown_run(asking, run):
    """A run that is not there, or not in the log directory, is told."""
    with pytest.raises((OutputError, UsageError)):
        ask(asking, "33?", run=run)


def test_the_same_question_twice(asking, project):
    """Each question has a run of its own, asked twice or not."""
    assert ask(asking, "33?") != ask(asking, "33?")


def test_what_is_not_kept_is_removed(asking, project):
    """Closing removes the runs that were asked for, and leaves the one that was kept, with a name of the user's or the
    usual one, and whole: vectors.tsv and picture.png too.
    """
    before = {path.name for path in (project / "logs").iterdir()}
    first, second, third = ask(asking, "11?"), ask(asking, "12?"), ask(asking, "13?")
    assert keep(asking, first, "my question") == "my question"
    assert keep(asking, second) == "chunks-12"
    assert not (project / "logs" / first).exists()
    for name in ("my question", "chunks-12"):
        run = project / "logs" / name
        assert faults(run) == []
        assert {"vectors.tsv", "metadata.tsv", "picture.png", "README.txt"} <= {path.name for path in run.iterdir()}
        assert open_run(run).facts["asked"]["kept"]
    assert (project / "logs" / third).exists()
    asking.close()
    assert {path.name for path in (project / "logs").iterdir()} == before | {"my question", "chunks-12"}
    assert [path.name for path in project.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["base", "a/b", "../x", ".hidden", "x" * 121])
def test_names_that_can_t_be_kept(asking, project, name):
    """A name that is taken, or that no run may have, is told, and the run stays as it is."""
    run = ask(asking, "11?")
    with pytest.raises(ExporterError, match=r"give another (name|one)") as refused:
        keep(asking, run, name)
    assert "--" not in str(refused.value)
    assert faults(project / "logs" / run) == []
    assert keep(asking, run, "good") == "good"


@pytest.mark.parametrize("run", ["base", "no-such-run"])
def test_only_what_was_asked_is_kept(asking, run):
    """Only runs that were asked for in this server can be kept."""
    with pytest.raises(UsageError):
        keep(asking, run)


def test_what_a_killed_server_left(project):
    """Runs that a killed server left are removed by the next; those of one that lives, and kept ones, stay."""
    script = f"""
import os
from pathlib import Path
from tests.workflows.test_ask import Asking, Words, ask, keep
asking = Asking(Path({str(project / "logs")!r}), model=Words())
ask(asking, "11?"), keep(asking, ask(asking, "12?"), "kept")
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", script], check=False, cwd=sys.path[0] or None)
    assert (project / "logs/asked-11").exists()
    living = Asking(project / "logs", model=Words())
    assert not (project / "logs/asked-11").exists()
    assert (project / "logs/kept").exists()
    mine = ask(living, "13?")
    other = Asking(project / "logs", model=Words())
    assert (project / "logs" / mine).exists()
    other.close()
    assert (project / "logs" / mine).exists()
    living.close()
    assert sorted(path.name for path in (project / "logs").iterdir()) == [".gitignore", "base", "kept", "some"]


def test_a_log_directory_that_can_t_be_written(project, monkeypatch):
    """Where nothing can be written the server runs all the same, and a question is refused with the reason."""

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("exporter.scratch._claim", refuse)
    asking = Asking(project / "logs", model=Words())
    with pytest.raises(OutputError, match="can't be written"):
        ask(asking, "33?")
    asking.close()


def test_serving_imports_no_model(made):
    """A server that may be asked is up without what embeds, ranks and draws having been imported."""
    script = f"""
import sys
from exporter import serve
with serve({str(made / "logs")!r}, port=0):
    print(sorted({{name.partition(".")[0] for name in sys.modules}}
        & {{"torch", "sentence_transformers", "chromadb", "sklearn", "matplotlib", "scranpy", "tensorboard"}}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_of_a_run_of_several_questions(made, asking, project):
    """Of a run of several questions, of a whole set, or of what an application returned, one more question is asked as
    of any other: only it is on the map, no chunk moves, and it is answered as `export` answers it.
    """
    plain = by_hits(open_run(project / "logs" / ask(asking, "33?", "TÉXT 33 ")))
    options = {
        "two": {"question": ["7?", "8?"], "ignore_accents": True},
        "set": {"question_set": [{"question": f"{i}?", "answers": [f"text {i} "]} for i in range(5)], "index": False},
        "application": {"question": "7?", "retrieved": ["id20", "id3"]},
    }
    for name, given in options.items():
        base = export(made / "db", model=Words(), logdir=project / "logs", run=name, **given)
        asked = open_run(project / "logs" / ask(asking, "33?", "TÉXT 33 ", run=name))
        assert by_hits(asked) == plain, name
        assert asked.questions[0].first_answer_rank == (1 if name == "two" else None)
        before, after = places_of(base), places_of(asked)
        chunks = {row for row in before if not row.startswith("question-")}
        assert {chunk: before[chunk] for chunk in chunks} == {chunk: after[chunk] for chunk in chunks}
        assert after.keys() == {*chunks, "question-1"}
        assert faults(asked.path) == []


def by_hits(run):
    return [(hit.rank, hit.id, hit.distance) for hit in run.questions[0].hits]
