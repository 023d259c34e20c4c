"""An index that was cut short while Chroma wrote it is put back; a whole one is left."""

import json
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from exporter.errors import OutputError
from exporter.ingestion.safeguard import Safeguard, mend
from exporter.ingestion.split import Chunk
from exporter.ingestion.store import Stored, open_directory
from exporter.sources.directory import Directory

DIMENSION = 16


def chunks(first, last):
    """Chunks with their vectors, (n, 16)."""
    made = [Chunk(f"id{row}", f"text {row}", {"source": "s", "content_hash": "x"}) for row in range(first, last)]
    return made, np.random.default_rng(first).normal(size=(last - first, DIMENSION)).astype(np.float32)


def read(directory):
    """Vectors by id."""
    source = Directory(directory)
    found = {}
    source.read(
        source.collections()[0],
        lambda rows: [found.update(zip(batch.ids, batch.vectors, strict=True)) for batch in rows.batches()],
    )
    return found


@pytest.fixture
def killed(tmp_path):
    """A directory as it is in the middle of a write: 2,500 rows, of which the index has had 2,000; and its copy."""
    directory, state = tmp_path / "db", tmp_path / "state"
    state.mkdir()
    stored = Stored(
        partial(open_directory, directory), "docs", {"a": 1}, OutputError, partial(Safeguard, directory, state)
    )
    for first in range(0, 2500, 500):
        stored.add(*chunks(first, first + 500))
    stored.known(["id0"])
    shutil.copytree(state, tmp_path / "kept")
    stored.close()
    (index,) = (path.parent for path in directory.glob("*/index_metadata.pickle"))
    return directory, tmp_path / "kept", index


@pytest.mark.parametrize("damage", ["index_metadata.pickle", "data_level0.bin", "header.bin", "everything"])
def test_a_torn_index_is_put_back(killed, damage):
    """Whatever file of the index is cut short, every vector is there again, and Chroma opens it."""
    directory, state, index = killed
    before = read(directory)
    assert len(before) == 2500
    for path in index.iterdir() if damage == "everything" else [index / damage]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    mend(directory, state)
    after = read(directory)
    assert after.keys() == before.keys()
    assert all((after[key] == before[key]).all() for key in before)
    client = open_directory(directory)
    found = client.get_collection("docs", embedding_function=None).query([before["id7"].tolist()], n_results=1)
    client.close()
    assert found["ids"] == [["id7"]]
    assert not (state / "index").exists()


def test_a_newer_index_is_left(killed):
    """Where Chroma had come to the end of its write, the copy is too old, and the index stays as it is."""
    directory, state, index = killed
    facts = json.loads((state / "index" / "facts.json").read_text())
    (state / "index" / "facts.json").write_text(json.dumps({**facts, "number": "31"}))
    before = {path: path.read_bytes() for path in index.iterdir()}
    mend(directory, state)
    assert {path: path.read_bytes() for path in index.iterdir()} == before


def test_a_mend_that_is_killed(killed, monkeypatch):
    """A mend that is itself cut short can be done again."""
    directory, state, index = killed
    before = read(directory)
    (index / "header.bin").write_bytes(b"")

    def cut_short(source, target):
        target.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copytree", cut_short)
        mend(directory, state)
    mend(directory, state)
    assert read(directory).keys() == before.keys()


def test_a_collection_that_is_gone(killed):
    """A copy of a collection that somebody has deleted is dropped."""
    directory, state, _ = killed
    client = open_directory(directory)
    client.delete_collection("docs")
    client.close()
    mend(directory, state)
    assert not (state / "index").exists()


def strangers(directory, segment):
    """A directory of somebody else's, whose index is called `segment`, and in it what an ingest of his left."""
    copy = directory / ".ingest" / "index"
    copy.mkdir(parents=True)
    with closing(sqlite3.connect(directory / "chroma.sqlite3")) as database, database:
        database.execute("CREATE TABLE segments (id, collection, scope)")
        database.execute("CREATE TABLE max_seq_id (segment_id, seq_id)")
        database.execute("INSERT INTO segments VALUES (?, 'theirs', 'VECTOR')", [segment])
    (copy / "facts.json").write_text(json.dumps({"collection": "theirs", "segment": segment, "number": ""}))
    return directory / ".ingest"


@pytest.mark.parametrize("segment", ["{outside}", "../outside", "", "."])
def test_a_copy_of_a_strangers(tmp_path, segment):
    """Nothing is removed or written but the folder of an index, whatever a stranger's database and notes say."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("mine")
    state = strangers(tmp_path / "db", segment.format(outside=tmp_path / "outside"))
    mend(tmp_path / "db", state)
    assert (tmp_path / "outside" / "precious").read_text() == "mine"
    assert (tmp_path / "db" / "chroma.sqlite3").exists()
    collection = SimpleNamespace(id="theirs")
    with pytest.raises(OutputError, match="no copy can be made of its index"):
        Safeguard(tmp_path / "db", state, collection).renew()


@pytest.mark.parametrize(
    "facts", ["", "5", "[]", "{}", '{"segment": 5}', "[" * 100_000, '{"segment": "x", "number": 1}']
)
def test_notes_that_are_none(killed, facts):
    """What is not what an ingest notes is dropped."""
    directory, state, index = killed
    (state / "index" / "facts.json").write_text(facts)
    mend(directory, state)
    assert (index / "header.bin").exists()
    assert not (state / "index").exists()


def test_a_database_that_is_none(tmp_path):
    """What can't be mended is told in one line."""
    state = strangers(tmp_path / "db", "x")
    (tmp_path / "db" / "chroma.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(OutputError, match="can't be undone: file is not a database"):
        mend(tmp_path / "db", state)
