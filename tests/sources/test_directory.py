import shutil
import sqlite3
import string
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.errors import CollectionError, SourceError
from exporter.records import RecordedModel
from exporter.sources.directory import Directory
from tests.sources.conftest import MEMORY, content, content_of, fingerprint, read, rows

IDS = [f"id{i}" for i in range(12)] + ["ü-1", "名前"]
LETTERS = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
TEXTS = st.text(LETTERS, max_size=8)
SCALARS = st.one_of(
    st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), TEXTS
)
ARRAYS = st.one_of(
    st.lists(values, min_size=1, max_size=3)
    for values in (st.integers(-9, 9), st.floats(-9, 9), st.booleans(), st.text(string.ascii_letters, max_size=3))
)
KEYS = st.sampled_from(["source", "page", "a", "ключ"])
METADATA = st.none() | st.dictionaries(KEYS, SCALARS | ARRAYS | st.none(), min_size=1, max_size=3)


@st.composite
def steps(draw, dimension):
    operation = draw(st.sampled_from(["add", "upsert", "update", "delete"]))
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=6, unique=True))
    if operation == "delete":
        return [operation, {"ids": ids}]
    arguments = {
        "documents": draw(st.lists(TEXTS, min_size=len(ids), max_size=len(ids))),
        "metadatas": draw(st.lists(METADATA, min_size=len(ids), max_size=len(ids))),
        "embeddings": {
            "rows": len(ids),
            "dimension": dimension,
            "seed": draw(st.integers(1, 99)),
            "scale": draw(st.sampled_from([1.0, 37.5, 1e-20])),
        },
    }
    left_out = draw(st.sampled_from([[], ["documents"], ["metadatas"], ["documents", "metadatas"]]))
    if operation == "update" and draw(st.booleans()):
        left_out = ["documents", "embeddings"]  # a new document alone would be embedded
    for name in left_out:
        del arguments[name]
    return [operation, {"ids": ids, **arguments}]


HISTORIES = st.sampled_from([1, 3, 8, 33]).flatmap(lambda dimension: st.lists(steps(dimension), min_size=1, max_size=8))


@pytest.mark.parametrize("space", ["l2", "cosine", "ip"])
@settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(history=HISTORIES, sync=st.sampled_from([3, 10, 1000]))
def test_a_directory_reads_as_collection_get_does(worker, space, history, sync):
    """Whatever was added, updated, upserted and deleted, every id, text, value and bit is the one of `get`."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / "chroma"
        metadata = {"hnsw:space": space, "hnsw:sync_threshold": sync, "hnsw:batch_size": min(sync, 100)}
        worker("write", path=path, collection="chunks", steps=history, metadata=metadata, forgiving=True)
        living = read(path)
        worker("close", path=path)
        assert read(path) == living == content(*worker("get", path=path, collection="chunks"))


def test_values_come_back_with_their_types(worker, tmp_path):
    """No text, an empty text, no metadata, arrays, numbers, booleans and any letters are told apart."""
    stored = rows(5, documents=["", "naïve ☃\n\t𝄞", "x", "y", "z"])
    stored["metadatas"] = [None, {"n": 1, "f": 1.0, "b": True}, {"t": "1"}, {"l": ["b", "a", "b"]}, {"ü ": [1.0, 2.0]}]
    worker("write", path=tmp_path / "db", collection="chunks", steps=[["add", stored], ["add", rows(1, 5)]])
    worker("write", path=tmp_path / "db", collection="chunks", steps=[["add", {**rows(1, 6), "documents": None}]])
    worker("close", path=tmp_path / "db")
    found = read(tmp_path / "db")
    assert found == content(*worker("get", path=tmp_path / "db", collection="chunks"))
    assert found.texts == ["", "naïve ☃\n\t𝄞", "x", "y", "z", "text 5", None]
    assert found.metadatas[:4] == [
        None,
        {"n": (int, 1), "f": (float, 1.0), "b": (bool, True)},
        {"t": (str, "1")},
        {"l": (list, ["b", "a", "b"])},
    ]


def test_chroma_keeps_keys_of_its_own_to_itself(worker, tmp_path):
    """A URI is stored among the metadata, under a key that `get` does not show."""
    worker("write", path=tmp_path / "db", collection="chunks", steps=[["add", rows(2, uris=["a.png", "b.png"])]])
    worker("write", path=tmp_path / "db", collection="chunks", steps=[["add", rows(1, 2, metadatas=None, uris=["c"])]])
    worker("close", path=tmp_path / "db")
    assert read(tmp_path / "db") == content(*worker("get", path=tmp_path / "db", collection="chunks"))


def test_only_what_is_asked_for_is_read(written):
    """Vectors always come; texts and metadata only when asked for, and then one a row."""

    def use(found):
        plain = next(found.batches())
        texts = next(found.batches(texts=True))
        metadatas = next(found.batches(metadatas=True))
        return plain, texts, metadatas

    plain, texts, metadatas = read(written, use=use)
    assert (plain.texts, plain.metadatas) == ((), ())
    assert (texts.texts[0], texts.metadatas) == ("text 0", ())
    assert (metadatas.texts, metadatas.metadatas[0]) == ((), {"page": 0, "source": "doc0.md"})
    assert plain.vectors.tobytes() == texts.vectors.tobytes() == metadatas.vectors.tobytes()


def test_rows_can_be_taken_by_position(written):
    """`take` gives the rows at the positions asked for, with texts and metadata, as `batches` would."""
    positions = np.array([0, 3, 48, 52])

    def use(found):
        (taken,) = found.take(positions)
        return found.count, content_of(found), content(taken.ids, taken.texts, taken.metadatas, taken.vectors)

    count, everything, taken = read(written, use=use)
    assert count == len(everything.ids) == 53
    assert taken == tuple([part[position] for position in positions] for part in everything)


def test_batches_are_bounded(worker, tmp_path):
    """No batch has more than some thousands of rows, and together they are all rows in stored order."""
    steps = [["add", rows(2500)], ["add", rows(600, 2500)]]
    worker("write", path=tmp_path / "db", collection="chunks", steps=steps)
    worker("close", path=tmp_path / "db")
    sizes, found = read(
        tmp_path / "db", use=lambda found: ([len(batch) for batch in found.batches()], content_of(found))
    )
    assert max(sizes) <= 2000
    assert found == content(*worker("get", path=tmp_path / "db", collection="chunks"))


def test_collections_say_what_they_are(worker, tmp_path):
    """Each tells name, rows, dimension, metric and where that was found; in the order of names, and when empty too."""
    path = tmp_path / "db"
    worker(
        "write", path=path, collection="later", steps=[["add", rows(3)]], metadata={"hnsw:space": "cosine", "a": 1.5}
    )
    worker("write", path=path, collection="empty", steps=[], configuration={"hnsw": {"space": "ip"}})
    worker("write", path=path, collection="first", steps=[["add", rows(2, dimension=7)]])
    worker("close", path=path)
    empty, first, later = Directory(path).collections()
    assert (empty.name, empty.rows, empty.dimension, empty.space) == ("empty", 0, None, "ip")
    assert (first.name, first.rows, first.dimension, first.space) == ("first", 2, 7, "l2")
    assert (later.name, later.rows, later.dimension, later.space) == ("later", 3, 4, "cosine")
    assert (later.space_from, later.metadata, later.model) == ("schema", {"a": 1.5, "hnsw:space": "cosine"}, None)
    assert (later.tenant, later.database) == ("default_tenant", "default_database")
    assert read(path, "empty", lambda found: (found.count, list(found.batches()))) == (0, [])


def test_a_directory_without_collections_has_none(worker, tmp_path):
    """A directory that was opened only, or whose collections were all deleted, is no error."""
    worker("write", path=tmp_path / "db", collection="gone", steps=[["add", rows(3)]])
    worker("drop", path=tmp_path / "db", collection="gone")
    worker("close", path=tmp_path / "db")
    assert Directory(tmp_path / "db").collections() == []


def test_the_recorded_model_is_found(written, directory):
    """What Chroma recorded as the embedding function is given out with its configuration."""
    recorded = {"type": "known", "name": "ollama", "config": {"model_name": "all-minilm"}}
    with sqlite3.connect(directory / "chroma.sqlite3") as database:
        database.execute(
            "UPDATE collections SET schema_str = json_set(schema_str,"
            " '$.keys.#embedding.float_list.vector_index.config.embedding_function', json(?))",
            [str(recorded).replace("'", '"')],
        )
    assert Directory(directory).collections()[0].model == RecordedModel("ollama", {"model_name": "all-minilm"})


def test_reading_changes_nothing(directory):
    """Every byte and every file of the directory is what it was, whatever was read."""
    before = fingerprint(directory)
    read(directory, where={"page": {"$gt": 3}})
    read(directory)
    assert fingerprint(directory) == before


def read_as_nobody(directory):
    """What a user without any right prints when he counts the rows; to root everything is readable and writable."""
    code = f"""
import os
from exporter.errors import SourceError
from exporter.sources.directory import Directory
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    source = Directory({str(directory)!r})
    print(source.read(source.collections()[0], lambda rows: sum(len(batch) for batch in rows.batches(texts=True))))
except SourceError as error:
    print(error)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_permission_to_read_is_enough_and_needed(written):
    """A read-only mount is read; a file that this user may not read is an error that says so."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        directory = Path(shutil.copytree(written, Path(folder) / "chroma"))
        for path in directory.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        directory.chmod(0o555)
        assert read_as_nobody(directory) == "53"
        (directory / "chroma.sqlite3").chmod(0)
        assert "chroma.sqlite3 can't be read (Permission denied); check" in read_as_nobody(directory)
        (directory / "chroma.sqlite3").chmod(0o444)
        (folder,) = [path for path in directory.iterdir() if path.is_dir()]
        folder.chmod(0)
        assert f"{folder.name}/index_metadata.pickle can't be read (Permission denied); check" in read_as_nobody(
            directory
        )
        directory.chmod(0)
        assert "can't be read (Permission denied); check" in read_as_nobody(directory)
        directory.chmod(0o755)
        for path in directory.rglob("*"):
            path.chmod(0o755)


def test_characters_that_mean_something_in_an_address_are_no_trouble(written, tmp_path):
    """A directory may be called `a?b#c%41 d`."""
    odd = tmp_path / "a?b#c%41 dü"
    shutil.copytree(written, odd)
    assert read(odd) == read(written)
    assert Directory(odd).location == "a?b#c%41 dü"


def test_lost_vectors_are_nan(directory, index):
    """Rows whose vector is in no file any more are given out with NaN, all others as they are."""

    def whole(found):
        batches = list(found.batches())
        return [name for batch in batches for name in batch.ids], np.concatenate([batch.vectors for batch in batches])

    ids, before = read(directory, use=whole)
    shutil.rmtree(index)
    left, after = read(directory, use=whole)
    assert left == ids
    assert not np.isnan(after[-4:]).any()
    np.testing.assert_array_equal(after[-4:], before[-4:])
    assert np.isnan(after[:40]).all()


def test_a_collection_that_is_gone_is_named(written):
    """A collection that was deleted since it was listed is an error that names those that are there."""
    source = Directory(written)
    (collection,) = source.collections()
    gone = type(collection)("gone", 1, 4, "l2", "")
    with pytest.raises(CollectionError, match=r"no collection 'gone' .*chunks"):
        source.read(gone, content_of)


def refused(path, *, match):
    """The one line with which a path is refused."""
    with pytest.raises(SourceError, match=match) as caught:
        source = Directory(path)
        source.read(source.collections()[0], content_of)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_wrong_path_is_refused_and_creates_nothing(tmp_path):
    """A path that is not there is an error, and is not there afterwards."""
    refused(tmp_path / "nothing" / "here", match="nothing/here does not exist; give the directory")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_refused(directory):
    """The database's own path is an error that gives the directory."""
    refused(directory / "chroma.sqlite3", match=rf"is not a directory; .*{directory} looks like it")


def test_a_directory_without_a_database_is_refused(directory, index):
    """A directory beside the right one is an error that suggests it, whether it lies above or below."""
    refused(directory.parent, match=rf"holds no chroma.sqlite3; did you mean {directory}\?")
    refused(index, match=rf"holds no chroma.sqlite3; did you mean {directory}\?")
    empty = directory / "a" / "b"
    empty.mkdir(parents=True)
    refused(empty, match="holds no chroma.sqlite3; give the directory that Chroma wrote")
    assert list(empty.iterdir()) == []


def test_a_git_lfs_pointer_is_refused(directory):
    """A database that git-lfs has not fetched is an error that says how to fetch it."""
    (directory / "chroma.sqlite3").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused(directory, match="git-lfs pointer, .*git lfs pull")


@pytest.mark.parametrize("bytes_", [b"", b"not a database at all"])
def test_what_is_no_database_is_refused(directory, bytes_):
    """A file of another kind is an error that shows how it begins."""
    (directory / "chroma.sqlite3").write_bytes(bytes_)
    refused(directory, match="is not a SQLite database .it (is empty|begins with b'not a database)")


def test_another_database_is_refused(directory):
    """A SQLite database without Chroma's tables is an error."""
    (directory / "chroma.sqlite3").unlink()
    with sqlite3.connect(directory / "chroma.sqlite3") as database:
        database.execute("CREATE TABLE t (x)")
    refused(directory, match="holds no tables of Chroma")


def test_a_damaged_description_is_refused(directory):
    """What Chroma records of a collection is not guessed when it can't be read."""
    with sqlite3.connect(directory / "chroma.sqlite3") as database:
        database.execute("UPDATE collections SET schema_str = '{'")
    refused(directory, match="schema_str of the collection chunks is damaged")


def test_a_truncated_database_is_refused(directory):
    """A database that is cut off is an error that names it, wherever it is cut, and nothing is written."""
    whole = (directory / "chroma.sqlite3").read_bytes()
    for length in (60, 5000, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        (directory / "chroma.sqlite3").write_bytes(whole[:length])
        before = fingerprint(directory)
        refused(directory, match="chroma.sqlite3 is damaged .*backup")
        assert fingerprint(directory) == before


def test_a_locked_database_is_refused(directory, monkeypatch):
    """A writer that does not end is waited for, but not for ever."""
    monkeypatch.setattr("exporter.sources.database.BUSY_TIMEOUT", 0.2)
    writer = sqlite3.connect(directory / "chroma.sqlite3", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    refused(directory, match="is locked by another process .*try again")
    writer.close()


def test_a_hot_journal_is_refused_and_left_alone(directory):
    """A write that was cut short is an error; undoing it is left to who did it."""
    code = f"""
import os, sqlite3
database = sqlite3.connect({str(directory / "chroma.sqlite3")!r}, isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
for i in range(2000):
    database.execute("INSERT INTO acquire_write (lock_status) VALUES (zeroblob(2000))")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    before = fingerprint(directory)
    refused(directory, match="cut short .*journal is there.*; let the service that owns it finish")
    assert fingerprint(directory) == before
