import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.errors import SourceError
from exporter.sources.directory import Directory
from exporter.sources.queue import replay_metadata, through_cosine_index
from tests.sources.conftest import MEMORY, content, read, rows

WRITER = Path(__file__).parent / "writer.py"
ADD, UPDATE, UPSERT, DELETE = range(4)
IDS = [f"id{i}" for i in (0, 3, 20, 48, 51, 54)] + ["new0", "new1", "новый"]
CHANGES = st.dictionaries(
    st.sampled_from(["source", "page", "chroma:document", "l"]),
    st.sampled_from(["text", "☃", "", None]),
    max_size=3,
).map(lambda change: {key: value for key, value in change.items() if key != "chroma:document" or value is not None})
RECORDS = st.lists(
    st.tuples(st.sampled_from([ADD, UPDATE, UPSERT, DELETE]), st.sampled_from(IDS), CHANGES, st.booleans()),
    min_size=1,
    max_size=25,
)


def crash(directory, records, seed=1):
    """Put records into the queue, as a writer does that dies before it applies them to its tables."""
    random = np.random.default_rng(seed)
    with sqlite3.connect(directory / "chroma.sqlite3") as database:
        ((topic,),) = database.execute("SELECT DISTINCT topic FROM embeddings_queue")
        for operation, name, change, with_vector in records:
            vector = (random.standard_normal(4) * 3).astype("<f4").tobytes()
            if operation == DELETE or (operation == UPDATE and not with_vector):
                vector = None
            database.execute(
                "INSERT INTO embeddings_queue (operation, topic, id, vector, encoding, metadata)"
                " VALUES (?, ?, ?, ?, 'FLOAT32', ?)",
                (operation, topic, name, vector, json.dumps(change)),
            )
    database.close()


@pytest.fixture(scope="module")
def directories(worker, tmp_path_factory):
    """For each metric a directory of which most vectors are in the index."""
    made = {}
    for space in ("l2", "cosine"):
        made[space] = tmp_path_factory.mktemp(space) / "db"
        metadata = {"hnsw:space": space, "hnsw:sync_threshold": 50, "hnsw:batch_size": 10}
        steps = [["add", rows(50)], ["add", rows(5, 50)], ["delete", {"ids": ["id3", "id51"]}]]
        worker("write", path=made[space], collection="chunks", steps=steps, metadata=metadata)
        worker("close", path=made[space])
    return made


@pytest.mark.parametrize("space", ["l2", "cosine"])
@settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(records=RECORDS)
def test_a_queue_that_was_not_applied_reads_as_chroma_will_apply_it(worker, directories, space, records):
    """After a crash between the two commits of a write, the rows are those that the next `get` of Chroma gives."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(shutil.copytree(directories[space], Path(folder) / "chroma"))
        crash(path, records)
        found = read(path)
        assert Directory(path).collections()[0].rows == len(found.ids)
        assert found == content(*worker("get", path=path, collection="chunks"))


def test_a_record_that_is_added_again_comes_last(directories, tmp_path):
    """A record that is deleted and added again in the queue has a new place, one that is only changed keeps its own."""
    path = Path(shutil.copytree(directories["l2"], tmp_path / "chroma"))
    before = read(path).ids
    crash(path, [(DELETE, "id0", {}, False), (UPSERT, "id0", {}, True), (UPSERT, "id1", {"page": 5}, True)])
    assert read(path).ids == [*before[1:], "id0"]


def test_a_big_queue_is_read_in_pieces(worker, tmp_path):
    """Thousands of records that wait, of several collections, are put to the right rows."""
    steps = [["add", rows(3000)], ["update", {"ids": ["id7"], "embeddings": [[9, 9, 9, 9]]}], ["add", rows(2500, 3000)]]
    metadata = {"hnsw:sync_threshold": 100_000}
    for part in range(3):
        worker("write", path=tmp_path / "db", collection="chunks", steps=steps[part : part + 1], metadata=metadata)
        worker("write", path=tmp_path / "db", collection="others", steps=[["add", rows(900, 900 * part)]])
    worker("close", path=tmp_path / "db")
    for name in ("chunks", "others"):
        assert read(tmp_path / "db", name) == content(*worker("get", path=tmp_path / "db", collection=name))


def test_a_damaged_record_is_refused(directories, tmp_path):
    """A vector of another length, or a change that is no JSON, is an error with the record's number."""
    for number, (column, value) in enumerate([("vector", b"\0" * 12), ("metadata", "{")]):
        path = Path(shutil.copytree(directories["l2"], tmp_path / f"chroma{number}"))
        crash(path, [(UPSERT, "id0", {}, True)])
        with sqlite3.connect(path / "chroma.sqlite3") as database:
            database.execute(f"UPDATE embeddings_queue SET {column} = ? WHERE id = 'id0' AND operation = 2", [value])
        with pytest.raises(SourceError, match=r"record \d+ of the queue (has a vector of 12 bytes|is damaged)"):
            read(path)


def test_a_change_merges_and_null_takes_away():
    """A record's keys are kept, replaced or taken away one by one; an empty list takes away, too."""
    stored = {"a": {"x": 1, "y": 2, "z": 3}}
    log = [(1, UPDATE, "a", '{"x": null, "y": 5, "w": [1]}'), (2, UPSERT, "a", '{"z": []}'), (3, UPDATE, "b", "{}")]
    new = replay_metadata(log, stored)
    assert (new.changed, new.added) == ({"a": {"y": 5, "w": [1]}}, {})


@pytest.mark.parametrize("dimension", [1, 2, 7, 8, 384, 1025])
def test_a_cosine_vector_is_rounded_as_the_index_rounds_it(worker, tmp_path, dimension):
    """The bits that a cosine collection hands out are those that the arithmetic of its index gives, zeros too."""
    steps = [["add", rows(40, dimension=dimension)], ["add", rows(20, 40, dimension=dimension)]]
    worker("write", path=tmp_path / "db", collection="chunks", steps=steps, metadata={"hnsw:space": "cosine"})
    *_, given = worker("get", path=tmp_path / "db", collection="chunks", on_a_copy=False)
    worker("close", path=tmp_path / "db")
    drawn = np.concatenate(
        [
            np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
            for count, seed in ((40, 1), (20, 41))
        ]
    )
    assert through_cosine_index(drawn).tobytes() == given.tobytes()
    assert not through_cosine_index(np.zeros((2, 3), np.float32)).any()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_cosine_vector_too_long_to_be_squared_makes_no_noise():
    """What float32 can't hold comes out as NaN, as of the index, which is refused by the chunk's id; no warning."""
    assert np.isnan(through_cosine_index(np.full((2, 3), 1e30, np.float32))).all()


def test_a_writer_that_is_killed_leaves_what_its_successor_finds(worker, tmp_path):
    """Whenever a service is killed, the rows are those that Chroma itself gives after it, or the write is not over."""
    killed, whole = 4, 0
    for number in range(killed):
        path = tmp_path / f"db{number}"
        arguments = [str(path), "60", "100000", "60"]
        with subprocess.Popen([sys.executable, WRITER, *arguments], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(0.05 + 0.037 * number)
            writer.send_signal(signal.SIGKILL)
        try:
            found = read(path)
        except SourceError as error:
            found = str(error)
        if isinstance(found, str):
            assert "cut short" in found  # the journal of a commit: whoever owns it undoes that
        else:
            whole += 1
            assert found == content(*worker("get", path=path, collection="chunks"))
    assert whole
