"""What was taken out of a run is in none of its files, whatever they are, and the rest is as it was."""

import base64
import gzip
import io
import json
import re
import shutil
import tempfile
import zlib
from zipfile import ZipFile

import numpy as np
import pytest
from matplotlib.text import Text

from exporter import export, open_run, share
from exporter.cli.app import run as run_cli
from exporter.errors import UsageError
from exporter.runs import manifest
from exporter.runs.metadata import read_as_the_page_does
from exporter.runs.verify import faults
from tests.conftest import collection, write_chroma
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
    for carried in re.findall(rb'class="file" data-name="[^"]*">([^<]*)<', raw):
        yield from layers(gzip.decompress(base64.b64decode(carried)))


def found_in(path, words):
    """Which of the words are in a file, or in any file of a folder, or its name; in any case."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    contents = [layer.lower() for one in files for layer in (one.name.encode(), *layers(one.read_bytes()))]
    return {word for word in words if any(SECRETS[word].lower().encode() in content for content in contents)}


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
    assert ("their ids" in lines[0]) == ("id" not in gone)
    assert ("the texts of 24 chunks" in lines[0]) == ("text" not in gone)
    assert ("their sources" in lines[0]) == ("source" not in gone)
    if kind == "zip":
        with ZipFile(made) as archive:
            archive.extractall(tmp_path / "logs")
        assert faults(tmp_path / "logs" / "run") == []


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
    for fault in ("holds texts", "holds ids", "column source holds", "manifest.json holds texts"):
        assert fault in found


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


def test_a_new_log_directory_is_ignored(secret, tmp_path):
    """A log directory that export makes has a .gitignore; one that was there gets none."""
    ask(secret, tmp_path / "new")
    assert (tmp_path / "new" / ".gitignore").read_text().splitlines()[-1] == "*"
    (tmp_path / "old").mkdir()
    ask(secret, tmp_path / "old")
    assert not (tmp_path / "old" / ".gitignore").exists()
