"""What was taken out of a run is in none of its files, whatever they are, and the rest is as it was."""

import base64
import gzip
import io
import json
import re
import shutil
import sys
import tempfile
import zlib
from itertools import combinations
from zipfile import ZipFile

import numpy as np
import pytest
from matplotlib.text import Text
from pyarrow.parquet import read_table

from exporter import export, open_run, share
from exporter.cli.app import run as run_cli
from exporter.errors import OutputError, SourceError, UsageError
from exporter.runs import manifest, tensors
from exporter.runs.metadata import read_as_the_page_does
from exporter.runs.tensors import has_tensorflow
from exporter.runs.verify import faults
from exporter.sources.directory import Directory
from exporter.workflows.compare import compare, join
from tests.conftest import collection, write_chroma
from tests.runs.test_dashboards import read as read_events
from tests.runs.test_dashboards import values
from tests.workflows.test_export import Lookup
from tests.workflows.test_question_set import ask as ask_set

ROWS = 24
SECRETS = {"text": "Zanzibar", "source": "Quokka", "id": "Xylograph", "author": "Wombat", "page_label": "Ytterbium"}
WAYS = {
    "no text": ({"text": False}, ["text"]),
    "anonymous": ({"anonymize_ids": True}, ["id"]),
    "source": ({"redact": ["source"]}, ["source"]),
    "source by its key": ({"redact": ["file_path"]}, ["source"]),
    "page": ({"redact": ["page"]}, ["page_label"]),
    "own column": ({"redact": ["author"]}, ["author"]),
    "all": (
        {"text": False, "anonymize_ids": True, "redact": ["source", "page", "author"]},
        ["text", "id", "source", "author", "page_label"],
    ),
}
LEFT = {
    "columns none": ({"columns": ()}, ["author", "page_label"]),
    "one column": ({"columns": ["author"]}, ["page_label"]),
}


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A collection in which every kind of text has a word of its own, and what to ask of it."""
    folder = tmp_path_factory.mktemp("secret")
    rows = range(ROWS)
    stored = collection(
        "papers",
        rows=ROWS,
        texts=[f"{SECRETS['text']} passage {i}" for i in rows],
        metadatas=[
            {
                "file_path": f"/home/{SECRETS['source']}/{SECRETS['source']}{i % 3}.pdf",
                "page": i,
                "page_label": f"{SECRETS['page_label'][:4]}{SECRETS['page_label'][4:]}{i}",
                "author": f"{SECRETS['author']} {i % 2}",
                "year": 2000 + i,
            }
            for i in rows
        ],
    )
    stored["ids"] = [f"{SECRETS['id']}-{i}" for i in rows]
    write_chroma(folder / "db", stored)
    vectors = np.random.default_rng(9).normal(size=(2, 8)).tolist()
    (folder / "questions.json").write_text(json.dumps(vectors))
    return folder


def ask(secret, logdir, **options):
    """Two questions, one of whose answers is missed; what an application returned; a filter; the other tabs, too."""
    asked = {
        "question": ["Where is it?", "Who wrote it?"],
        "answer": [f"{SECRETS['text']} passage 7", f"{SECRETS['text']} passage 11"],
        "question_vector": secret / "questions.json",
        "retrieved": [[f"{SECRETS['id']}-{i}" for i in (1, 2)], [f"{SECRETS['id']}-{i}" for i in (3, 4, 99)]],
        "where": {"author": {"$ne": f"{SECRETS['author']} the Third"}},
        "where_document": {"$contains": SECRETS["text"]},
        "top_k": 4,
        "dashboards": True,
    }
    return export(secret / "db", logdir=logdir, **{**asked, "run": "run", **options})


@pytest.fixture(scope="module")
def whole(secret, tmp_path_factory):
    return ask(secret, tmp_path_factory.mktemp("whole") / "logs")


def layers(raw):
    """The bytes of a file, and of what is packed in them."""
    yield raw
    if raw[:2] == b"PK":
        with ZipFile(io.BytesIO(raw)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from layers(archive.read(name))
    if raw[:8] == b"\x89PNG\r\n\x1a\n":
        for at in re.finditer(rb"(?:tEXt|iTXt|zTXt)", raw):
            yield raw[at.start() : at.start() + 2000]
            for start in range(at.end(), at.end() + 200):
                try:
                    yield zlib.decompressobj().decompress(raw[start:])
                except zlib.error:
                    continue
    if raw[:4] == b"PAR1":
        for column in read_table(io.BytesIO(raw)).to_pydict().values():
            yield "\n".join(map(str, column)).encode()
    for carried in re.findall(rb'class="file" data-name="[^"]*">([^<]*)<', raw):
        yield from layers(gzip.decompress(base64.b64decode(carried)))


def found_in(path, words):
    """Which of the words are in a file, or in any file of a folder, or its name; in any case."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    contents = [layer.lower() for one in files for layer in (one.name.encode(), *layers(one.read_bytes()))]
    return {word for word in words if any(SECRETS[word].lower().encode() in content for content in contents)}


SET = [
    *({"question": f"Where is {i}", "answers": [f"{SECRETS['text']} passage {(i + 7) % ROWS}"]} for i in range(12)),
    {"question": "Cut 3", "answers": [f"{SECRETS['text']} passage 3 {SECRETS['text']} passage 4"]},
    {
        "question": "Judged 5",
        "relevant": [f"{SECRETS['id']}-9", f"{SECRETS['id']}-999", f"/home/{SECRETS['source']}/gone.pdf"],
    },
]


def ask_a_set(secret, logdir, **options):
    """A question set: answers that are found, missed, cut in two; judgements of what is not there."""
    given = {"question_set": SET, "model": Lookup(rows=ROWS), "top_k": 4, "run": "run", "index": False}
    return export(secret / "db", logdir=logdir, **{**given, **options})


def ask_for_two(secret, logdir, **options):
    """Two sets on one map."""
    filters = ({"author": {"$ne": f"{SECRETS['author']} the Third"}}, None)
    documents = ({"$contains": SECRETS["text"]}, None)
    asked = zip("ab", filters, documents, strict=True)
    runs = [
        ask_a_set(secret, logdir, **{**options, "run": name, "where": where, "where_document": document})
        for name, where, document in asked
    ]
    return join(*runs, compare(*runs), logdir=logdir, run="run")


KINDS = {
    "a set": (ask_a_set, {"parquet": True}),
    "other tabs": (ask, {"dashboards": True, "parquet": True}),
    "as text": (ask, {"tensor_format": "tsv", "tsv": False}),
    "no map": (ask, {"projection": "none", "sprites": False, "lines": False}),
}
"""Kinds of runs beside the one of most tests, and how they are made."""


@pytest.fixture(scope="module")
def kinds(secret, tmp_path_factory):
    """A whole run of each."""
    return {
        name: made(secret, tmp_path_factory.mktemp("kind") / "logs", **options)
        for name, (made, options) in {**KINDS, "two runs": (ask_for_two, {})}.items()
    }


def words_of_the_picture(run):
    """All that is written in the run's picture."""
    return " ".join(text.get_text() for text in run.plot().findobj(Text))


def test_there_to_begin_with(whole, tmp_path):
    """Each word is in a run that nothing was taken out of, and in what is made of it: else no test here could fail."""
    assert found_in(whole.path, SECRETS) == set(SECRETS)
    for kind in ("zip", "html"):
        assert found_in(share(whole.path, tmp_path / f"run.{kind}"), SECRETS) == set(SECRETS)


@pytest.mark.parametrize("way", WAYS)
def test_gone_at_export(way, secret, tmp_path):
    """What export is told to take out is in no file of the run, names, manifest, labels, bookmarks, README and all."""
    options, gone = WAYS[way]
    run = ask(secret, tmp_path / "logs", **options)
    assert found_in(run.path, SECRETS) == set(SECRETS) - set(gone)
    assert not any(SECRETS[word] in words_of_the_picture(run) for word in gone)
    assert faults(run.path) == []


@pytest.mark.parametrize("kind", ["zip", "html"])
@pytest.mark.parametrize("way", [*WAYS, *LEFT])
def test_gone_at_share(way, kind, whole, tmp_path, monkeypatch):
    """The same of a run that is on disk; the run itself stays as it is, and no copy of it stays behind."""
    options, gone = {**WAYS, **LEFT}[way]
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()}
    lines = []
    made = share(whole.path, tmp_path / f"run.{kind}", notice=lines.append, **options)
    assert found_in(made, SECRETS) == set(SECRETS) - set(gone)
    assert before == {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()}
    assert not list((tmp_path / "tmp").iterdir())
    assert f"{made} will hold 2 questions" in lines[0]
    assert ("with the answers given" in lines[0]) == ("text" not in gone)
    for name, told in {"id": " ids,", "text": " texts (", "source": " sources,", "author": " author,"}.items():
        assert (told in lines[0]) == (name not in gone), told
    if kind == "zip":
        with ZipFile(made) as archive:
            archive.extractall(tmp_path / "logs")
        assert faults(tmp_path / "logs" / "run") == []


@pytest.mark.parametrize("kind", KINDS)
def test_gone_from_every_kind_of_run(kind, kinds, secret, tmp_path):
    """So it is in a run of a question set, in what the other tabs show, in points.parquet, as text, without a map."""
    assert found_in(kinds[kind].path, SECRETS) == set(SECRETS)
    made, options = KINDS[kind]
    run = made(secret, tmp_path / "logs", **options, **WAYS["all"][0])
    assert found_in(run.path, SECRETS) == set()
    assert faults(run.path) == []
    for ending in ("zip", "html", "parquet"):
        assert found_in(share(kinds[kind].path, tmp_path / f"run.{ending}", **WAYS["all"][0]), SECRETS) == set()


FLAGS = {
    "text": {"text": False},
    "id": {"anonymize_ids": True},
    "source": {"redact": ["source"]},
    "page_label": {"redact": ["page"]},
    "author": {"redact": ["author"]},
    "columns": {"columns": ["file_path", "author"]},
}


def test_gone_in_every_combination(kinds, tmp_path):
    """Whatever is asked for together, just that is gone."""
    for asked in (set(chosen) for count in range(1, 7) for chosen in combinations(FLAGS, count)):
        options = {key: value for flag in asked for key, value in FLAGS[flag].items() if key != "redact"}
        options["redact"] = [name for flag in sorted(asked) for name in FLAGS[flag].get("redact", ())]
        made = share(kinds["no map"].path, tmp_path / "run.zip", **options)
        gone = {"page_label" if flag == "columns" else flag for flag in asked}
        assert found_in(made, SECRETS) == set(SECRETS) - gone, asked
        with ZipFile(made) as archive:
            record = json.loads(archive.read("run/manifest.json"))["redacted"]
        assert (record["text"], record["ids"]) == ("text" in asked, "id" in asked)


@pytest.mark.parametrize("ending", ["zip", "html", "parquet"])
def test_gone_from_two_runs_on_one_map(ending, kinds, tmp_path):
    """And of two runs on one map, whose labels keep the letter of their run, and what the map is for stays."""
    words = {"text", "source", "id", "page_label"}
    joint = kinds["two runs"]
    assert found_in(joint.path, SECRETS) == {*words, "author"}
    for name in ("README.txt", "manifest.json"):
        assert found_in(joint.path / name, {"author"}) == {"author"}
    for way, gone in (("no text", {"text"}), ("source", {"source"}), ("anonymous", {"id"}), ("page", {"page_label"})):
        made = share(joint.path, tmp_path / f"{way}.{ending}", **WAYS[way][0])
        assert found_in(made, SECRETS) == words - gone - ({"page_label"} if way != "no text" else set())
    made = share(joint.path, tmp_path / f"run.{ending}", text=False, redact=["source", "page"], anonymize_ids=True)
    assert found_in(made, SECRETS) == set()
    if ending == "zip":
        with ZipFile(made) as archive:
            archive.extractall(tmp_path / "logs")
        copy = open_run(tmp_path / "logs" / "run")
        assert faults(copy.path) == []
        for before, after in zip(rows_of(joint), rows_of(copy), strict=True):
            assert after["label"][:2] == before["label"][:2]
            assert (after["system"], after["moved"]) == (before["system"], before["moved"])
        lines = [set((run.path / "README.txt").read_text().splitlines()) for run in (joint, copy)]
        assert lines[1] < lines[0]
        assert [line.split()[0] for line in lines[0] - lines[1]] == ["filter"]
        assert "| mrr |" in str(values(read_events(copy.path), "comparison"))


def test_the_other_tabs_stay(kinds, tmp_path):
    """In the other tabs a redacted copy shows the same figures, histograms and curves; texts and settings are new."""
    with ZipFile(share(kinds["a set"].path, tmp_path / "run.zip", text=False)) as archive:
        archive.extractall(tmp_path / "logs")
    from tensorboard.plugins.hparams import metadata

    before, after = read_events(kinds["a set"].path), read_events(tmp_path / "logs" / "run")
    tags = before.Tags()["tensors"]
    assert sorted(tags) == sorted(after.Tags()["tensors"])
    assert len(tags) > 20
    for tag in tags:
        if before.SummaryMetadata(tag).plugin_data.plugin_name not in ("text", "hparams"):
            old, new = values(before, tag), values(after, tag)
            assert [step for step, _ in old] == [step for step, _ in new]
            assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(old, new, strict=True))
    (_, text), *_ = values(after, "set")
    assert "14 questions of questions" in str(text)
    content = after.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert metadata.parse_session_start_info_plugin_data(content).group_name.startswith("run ")


@pytest.mark.skipif(not has_tensorflow(), reason="TensorFlow is not installed")
def test_vectors_in_a_checkpoint_only(secret, whole, tmp_path):
    """A run whose vectors only TensorFlow can read is redacted and shared all the same, with the same vectors."""
    run = ask(secret, tmp_path / "logs", tensor_format="checkpoint", tsv=False)
    assert not list(run.path.glob("assets/vectors-*"))
    with ZipFile(share(run.path, tmp_path / "run.zip", **WAYS["all"][0])) as archive:
        archive.extractall(tmp_path / "unpacked")
    copy = open_run(tmp_path / "unpacked" / "run")
    assert found_in(copy.path, SECRETS) == set()
    assert faults(copy.path) == []
    assert np.array_equal(copy.points.vectors, whole.points.vectors)


def test_vectors_in_a_checkpoint_without_tensorflow(secret, whole, tmp_path, monkeypatch):
    """Where TensorFlow is not installed, that is said in one line, and what to do; a map alone needs none."""
    run = shutil.copytree(whole.path, tmp_path / "run")
    facts = json.loads((run / "manifest.json").read_text())
    next(entry for entry in facts["tensors"] if entry["kind"] == "vectors")["file"] = None
    (run / "manifest.json").write_text(json.dumps(facts))
    (run / "vectors.tsv").unlink()
    (run / "checkpoint").write_text("")
    monkeypatch.setattr(tensors, "has_tensorflow", lambda: False)
    for options in ({}, {"text": False}):
        with pytest.raises(OutputError, match="in a checkpoint only, and reading it needs TensorFlow"):
            share(run, tmp_path / "run.html", **options)
    assert not (tmp_path / "run.html").exists()
    share(run, tmp_path / "run.html", map_only=True)


def test_taken_out_twice(secret, tmp_path):
    """What was left out at export is still known to be when more is taken out of the run, and more later."""
    run = ask(secret, tmp_path / "logs", text=False)
    lines = []
    with ZipFile(share(run.path, tmp_path / "run.zip", redact=["author"], notice=lines.append)) as archive:
        archive.extractall(tmp_path / "unpacked")
    copy = open_run(tmp_path / "unpacked" / "run")
    assert "texts" not in lines[0]
    assert copy.facts["redacted"] == {"text": True, "ids": False, "columns": ["author"], "left_out": []}
    again = share(copy.path, tmp_path / "again.zip", columns=["year"])
    with ZipFile(again) as archive:
        record = json.loads(archive.read("run/manifest.json"))["redacted"]
    assert record == {
        "text": True,
        "ids": False,
        "columns": ["author"],
        "left_out": ["author", "file_path", "page_label"],
    }


def test_what_leaves_is_listed_at_export(secret, tmp_path, capsys):
    """Export with something to take out says first what the run will hold; without, it says nothing of that."""
    lines = []
    run = ask(secret, tmp_path / "logs", text=False, redact=["source"], notice=lines.append)
    assert lines == [
        f"{run.path} will hold 2 questions; of 24 chunks: ids, pages, author, page_label, year, vectors (from which "
        "much of a text can be guessed), ranks, distances and places on the map"
    ]
    ask(secret, tmp_path / "logs", run="other", notice=lines.append)
    assert len(lines) == 1
    command = ["export", str(secret / "db"), "-q", "a", "-q", "b", "--question-vector", str(secret / "questions.json")]
    command += ["--logdir", str(tmp_path / "logs"), "--anonymize-ids"]
    assert run_cli([*command, "--run", "third"]) == 0
    assert "third will hold 2 questions; of 24 chunks: texts" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [(), ("year",), ("author", "year")])
def test_a_printed_page_goes_with_its_column(columns, secret, tmp_path):
    """`--columns` without page_label leaves it out of the labels too, at export as at share."""
    run = ask(secret, tmp_path / "logs", columns=columns)
    assert found_in(run.path, {"page_label"}) == set()
    plain = ask(secret, tmp_path / "logs", run="plain")
    with ZipFile(share(plain.path, tmp_path / "plain.zip", columns=columns)) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert [row["label"] for row in rows_of(open_run(tmp_path / "unpacked" / "plain"))] == [
        row["label"] for row in rows_of(run)
    ]


def test_unknown_columns(secret, whole, tmp_path, capsys):
    """A name in --columns that no chunk has is a warning at export, as others may have it, and refused at share."""
    run = ask(secret, tmp_path / "logs", columns=["autor", "year", "source", "text"])
    assert [w for w in run.warnings if "--columns" in w] == [
        "--columns: no chunk that is shown has a key autor: there are author, file_path, page_label, year"
    ]
    assert not any("--columns" in w for w in ask(secret, tmp_path / "logs", run="b", columns=["year"]).warnings)
    with pytest.raises(UsageError, match="no column autor to keep: of the collection's own the run has author, file_p"):
        share(whole.path, tmp_path / "run.zip", columns=["autor"])
    assert run_cli(["share", str(whole.path), "-o", str(tmp_path / "run.zip"), "--columns", "year, author"]) == 0


def test_redacting_what_is_not_shown(secret, tmp_path):
    """A column that --columns leaves out may be redacted, too: it is gone."""
    run = ask(secret, tmp_path / "logs", columns=["year"], redact=["author", "file_path"])
    assert found_in(run.path, SECRETS) == {"text", "id"}


WARNINGS = [
    "3 chunks have no vector in the index or the log, and are left out: Xylograph-1, Xylograph-2, ...",
    "1 ids of --retrieved are not among the chunks read: Xylograph-99",
    "2 relevant ids or sources of the set are of no chunk (Xylograph-99, /home/Quokka/gone.pdf)",
    "ranked over the 24 chunks of the run a, not over its source: Quokka does not exist",
    "Chroma's own index could not be asked, so what it loses is not known: Quokka can't be read",
    "--columns: no chunk that is shown has a key autor: there are Wombat, year",
]


def test_warnings_lose_their_names(whole, tmp_path):
    """A warning that ends in ids, sources or keys keeps its figures, and loses those."""
    run = shutil.copytree(whole.path, tmp_path / "run")
    facts = json.loads((run / "manifest.json").read_text())
    facts["warnings"] = WARNINGS
    facts["estimates"] = [
        "first_answer_rank: there may be nearer ones (the server could not search for the answer: Zanzibar)"
    ]
    (run / "manifest.json").write_text(json.dumps(facts))
    with ZipFile(share(run, tmp_path / "run.zip", **WAYS["all"][0])) as archive:
        archive.extractall(tmp_path / "unpacked")
    copy = open_run(tmp_path / "unpacked" / "run")
    assert found_in(copy.path, SECRETS) == set()
    assert [len(warning) > 20 for warning in copy.warnings] == [True] * len(WARNINGS)


def rows_of(run):
    with manifest.located(run.path, run.facts, "metadata.tsv").open(encoding="utf-8") as file:
        names, lines = read_as_the_page_does(file)
        return [dict(zip(names, line, strict=True)) for line in lines]


def test_the_rest_stays(whole, secret, tmp_path):
    """Ranks, distances, roles, answers, layouts, vectors, glyphs and years are those of the whole run."""
    run = ask(secret, tmp_path / "logs", **WAYS["all"][0])
    for before, after in zip(rows_of(whole), rows_of(run), strict=True):
        for column in ("rank", "distance", "role", "contains_answer", "closeness", "app_rank", "year", "__seq_next__"):
            assert after[column] == before[column]
    assert np.array_equal(run.points.vectors, whole.points.vectors)
    assert run.facts["layouts"] == whole.facts["layouts"]
    assert [q.first_answer_rank for q in run.questions] == [q.first_answer_rank for q in whole.questions]
    sprites = [sorted(one.path.glob("assets/sprite-*")) for one in (whole, run)]
    assert [path.name for path in sprites[0]] == [path.name for path in sprites[1]]


def test_shared_is_as_exported(secret, whole, tmp_path):
    """Taking it out of a run on disk makes the same table as not writing it at all, but for the secret in the ids."""
    exported = ask(secret, tmp_path / "logs", text=False, redact=["source", "page"])
    with ZipFile(share(whole.path, tmp_path / "run.zip", text=False, redact=["source", "page"])) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert rows_of(open_run(tmp_path / "unpacked" / "run")) == rows_of(exported)


def test_unpacked_by_hand(whole, tmp_path):
    """What any zip tool unpacks, without the second names of files, is read in Python and shared again all the same."""
    with ZipFile(share(whole.path, tmp_path / "run.zip")) as archive:
        archive.extractall(tmp_path / "unpacked")
    by_hand = open_run(tmp_path / "unpacked" / "run")
    assert not (by_hand.path / "metadata.tsv").exists()
    assert by_hand.points["id"].tolist() == whole.points["id"].tolist()
    for kind in ("zip", "html"):
        again = share(by_hand.path, tmp_path / f"again.{kind}")
        assert found_in(again, SECRETS) == set(SECRETS)
        assert found_in(share(by_hand.path, again, text=False), SECRETS) == set(SECRETS) - {"text"}


def test_labels(secret, tmp_path):
    """Without its source a point is labelled by its id, without that by the one in its place; ranks and ticks stay."""
    run = ask(secret, tmp_path / "logs", anonymize_ids=True, redact=["source", "page"])
    ids = {row["id"] for row in rows_of(run) if row["role"] != "question"}
    assert len(ids) == ROWS
    assert all(re.fullmatch("id-[0-9a-f]{12}", one) for one in ids)
    for row in rows_of(run):
        if row["role"] != "question":
            assert re.fullmatch(rf"(q\d (#\d+ )?(✓ )?(rank \d+ · )?)?{row['id']}", row["label"]), row["label"]
    assert {hit.id for question in run.questions for hit in question.hits} <= ids
    again = ask(secret, tmp_path / "other", anonymize_ids=True)
    assert not ids & {row["id"] for row in rows_of(again)}


def test_verify_knows(secret, tmp_path, capsys):
    """The check says what was taken out, and finds it when it is there all the same."""
    run = ask(secret, tmp_path / "logs", text=False, anonymize_ids=True, redact=["source"])
    assert run_cli(["verify", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert "whole; taken out of it: text, ids" in said
    assert "source" in said
    whole = ask(secret, tmp_path / "whole")
    manifest = json.loads((whole.path / "manifest.json").read_text())
    manifest["redacted"] = run.facts["redacted"]
    (whole.path / "manifest.json").write_text(json.dumps(manifest))
    found = " ".join(faults(whole.path))
    for fault in ("holds texts", "holds ids", "column source holds", "manifest.json holds texts", "holds answers"):
        assert fault in found


def test_verify_looks_into_parquet(secret, whole, tmp_path, monkeypatch):
    """points.parquet is looked into as well; where that can't be, it is said."""
    options = {"text": False, "anonymize_ids": True, "redact": ["source", "author"], "parquet": True}
    run = ask(secret, tmp_path / "logs", **options)
    assert faults(run.path) == []
    share(whole.path, tmp_path / "points.parquet")
    shutil.copy(tmp_path / "points.parquet", run.path)
    found = [fault for fault in faults(run.path) if fault.startswith("points.parquet: ")]
    for fault in ("holds texts", "holds ids", "column source holds", "column author holds", "column file_path holds"):
        assert any(fault in one for one in found), fault
    (run.path / "points.parquet").write_bytes(b"PAR1 no more")
    assert any("points.parquet can't be read" in fault for fault in faults(run.path))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert any("can't be looked into without pyarrow" in fault for fault in faults(run.path))


def test_verify_knows_our_coordinates_from_a_key(tmp_path):
    """A key of the collection that is called as our coordinates are is left out or redacted without a false alarm."""
    metadatas = [{"source": "a", "x": f"Wombat {i}", "z": i} for i in range(ROWS)]
    write_chroma(tmp_path / "db", collection("papers", rows=ROWS, metadatas=metadatas))
    (tmp_path / "question.json").write_text(json.dumps([1.0] * 8))
    asked = {"question": "Which?", "question_vector": tmp_path / "question.json", "parquet": True}
    run = export(tmp_path / "db", logdir=tmp_path / "logs", redact=["x"], **asked)
    assert found_in(run.path, {"author"}) == set()
    assert faults(run.path) == []
    with ZipFile(share(run.path, tmp_path / "run.zip", columns=())) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert faults(tmp_path / "unpacked" / run.name) == []


def test_a_question_set(chroma, tmp_path):
    """Of a whole set too: hits, verdicts, findings and questions.tsv lose the texts and ids."""
    run = ask_set(chroma, tmp_path)
    before = b"".join(path.read_bytes() for path in run.path.rglob("*") if path.is_file())
    assert b"id3\t" in before
    with ZipFile(share(run.path, tmp_path / "run.zip", text=False, anonymize_ids=True)) as archive:
        archive.extractall(tmp_path / "unpacked")
    copy = open_run(tmp_path / "unpacked" / run.name)
    assert faults(copy.path) == []
    ids = {hit.id for question in copy.questions for hit in question.hits}
    assert all(re.fullmatch("id-[0-9a-f]{12}", one) for one in ids)
    assert all(hit.text == "" for question in copy.questions for hit in question.hits)
    assert not any(finding["examples"] for finding in copy.facts["evaluation"]["findings"])
    assert copy.facts["evaluation"]["metrics"] == run.facts["evaluation"]["metrics"]
    for path in copy.path.rglob("*"):
        if path.is_file() and path.suffix in (".tsv", ".json", ".txt"):
            assert not re.search(rb"(?<![\w.-])id\d+\b", path.read_bytes()), path


@pytest.mark.parametrize("way", WAYS)
def test_a_set_at_export(way, secret, tmp_path):
    """A set's run has texts, sources and ids in the other tabs as well: there, too, nothing is that was taken out."""
    options, gone = WAYS[way]
    asked = [{"id": f"q{i}", "question": f"Where is {i}?", "answers": [f"passage {i}"]} for i in (7, 11)]
    given = {"question_set": asked, "question_vector": secret / "questions.json", "top_k": 4, "index": False}
    whole = export(secret / "db", logdir=tmp_path / "whole", run="run", **given)
    run = export(secret / "db", logdir=tmp_path / "logs", run="run", **given, **options)
    for path in [one.path for one in (whole, run)]:
        assert len(list(path.glob("*tfevents*"))) == 1
    assert found_in(whole.path, SECRETS) == set(SECRETS)
    assert found_in(run.path, SECRETS) == set(SECRETS) - set(gone)


def test_wrong_columns(secret, whole, tmp_path):
    """A column that is not there, or that the export makes, is told with those that can go; nothing is written."""
    with pytest.raises(UsageError, match=r"no column autor to redact: the run has source, page, text, id, author"):
        share(whole.path, tmp_path / "run.zip", redact=["autor"])
    with pytest.raises(UsageError, match="rank is made by the export"):
        ask(secret, tmp_path / "logs", redact=["rank"])
    assert list(tmp_path.iterdir()) == []


def test_where_it_was_is_not_told(secret, tmp_path):
    """A run names its source by the last part of its path; a redacted one doesn't say the way to it either."""
    shutil.copytree(secret / "db", tmp_path / "db")
    shutil.copy(secret / "questions.json", tmp_path)
    whole = ask(tmp_path, tmp_path / "logs")
    redacted = ask(tmp_path, tmp_path / "logs", run="other", text=False)
    assert whole.facts["source"]["location"] == redacted.facts["source"]["location"] == "db"
    assert (whole.facts["source"]["from_logdir"], redacted.facts["source"]["from_logdir"]) == ("../db", None)
    for path in whole.path.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_where_it_was_is_not_told_in_a_warning(secret, tmp_path, monkeypatch):
    """Nor is the whole path in a run when Chroma's own index could not be asked."""

    def refuse(self, *_, **__):
        raise SourceError(f"{self.path} can't be read now")

    monkeypatch.setattr(Directory, "query", refuse)
    run = ask_a_set(secret, tmp_path / "logs", index=True)
    assert any(warning.endswith("not known: db can't be read now") for warning in run.warnings)
    for path in run.path.rglob("*"):
        assert path.is_dir() or str(secret).encode() not in path.read_bytes()


def test_where_it_is_written(whole, tmp_path, capsys):
    """A file that is there is replaced, and that is said first; the run itself, and no folder, are no place for one."""
    for line in ("run.zip will hold", "run.zip (in place of the one that is there) will hold"):
        assert run_cli(["share", str(whole.path), "-o", str(tmp_path / "run.zip")]) == 0
        assert line in capsys.readouterr().err
    for output, line in (
        (whole.path / "points.parquet", "lies in the run"),
        (tmp_path / "no" / "run.zip", f"there is no folder {tmp_path / 'no'}"),
    ):
        assert run_cli(["share", str(whole.path), "-o", str(output)]) in (2, 7)
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert line in err
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        share(whole.path, tmp_path / "folder.html")
    assert faults(whole.path) == []


def test_a_new_log_directory_is_ignored(secret, tmp_path):
    """A log directory that export makes has a .gitignore; one that was there gets none."""
    ask(secret, tmp_path / "new")
    assert (tmp_path / "new" / ".gitignore").read_text().splitlines()[-1] == "*"
    (tmp_path / "old").mkdir()
    ask(secret, tmp_path / "old")
    assert not (tmp_path / "old" / ".gitignore").exists()
