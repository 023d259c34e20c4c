"""Chroma directories that others made, or damaged: read, or refused in one line."""

import os
import shutil
import sqlite3
import struct
from contextlib import closing, suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import SourceError
from exporter.sources import open_source
from exporter.sources.hnsw import Index
from tests.conftest import collection, write_chroma
from tests.hostile.mutations import NASTY, changed, examples, harmless


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Two collections; most of the first is in its index."""
    metadatas = [{"source": f"doc{i % 3}.md", "page": i, "tags": ["a", "b"], "part": 0.5} for i in range(1010)]
    return write_chroma(
        tmp_path_factory.mktemp("chroma") / "db",
        collection("first", rows=1010, dimension=4, space="cosine", metadatas=metadatas),
        collection("second", rows=5, dimension=3, metadata={"author": "x"}),
    )


@pytest.fixture
def own(directory, tmp_path, monkeypatch):
    """A function that gives a fresh copy of it, in which nothing was written lately."""
    monkeypatch.setattr("exporter.sources.snapshot.SETTLING", 0.0)
    monkeypatch.setattr("exporter.sources.database.BUSY_TIMEOUT", 0.1)

    def copy():
        shutil.rmtree(tmp_path / "db", ignore_errors=True)
        return shutil.copytree(directory, tmp_path / "db")

    return copy


def read_all(path):
    """All that is read of a directory."""
    source = open_source(str(path))
    for found in source.collections():
        assert isinstance(found.name, str)

        def use(rows):
            batches = list(rows.batches(texts=True, metadatas=True))
            assert sum(map(len, batches)) == rows.count
            for batch in batches:
                assert all(isinstance(name, str) for name in batch.ids)
                assert all(text is None or isinstance(text, str) for text in batch.texts)
                assert batch.vectors.dtype == np.float32
            return rows.count

        harmless(lambda found=found, use=use: source.read(found, use))
        harmless(lambda found=found, use=use: source.read(found, use, where={"page": {"$gt": 3}}))


cells = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=40),
    st.sampled_from([name for name in NASTY if name.isprintable() or name == "a\0b"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["[" * 3000, '{"a": ' * 3000, "[]", "1", '{"hnsw": 3}', '{"embedding_function": []}', b"\xff\xfe"]),
)


@examples(60)
@given(data=st.data())
def test_cells_of_other_kinds(own, data):
    """Whatever stands in any cell of the database, of any type: rows are read, or one line says what is damaged."""
    path = own()
    with closing(sqlite3.connect(path / "chroma.sqlite3")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = [name for name in tables if not name.startswith(("sqlite_", "embedding_fulltext"))]
        for _ in range(data.draw(st.integers(1, 4))):
            table = data.draw(st.sampled_from(sorted(tables)))
            columns = [column[1] for column in database.execute(f"PRAGMA table_info({table})")]
            column = data.draw(st.sampled_from(columns))
            where = data.draw(st.sampled_from(["", f" WHERE rowid % 7 = {data.draw(st.integers(0, 6))}"]))
            with suppress(sqlite3.Error):
                database.execute(f"UPDATE OR IGNORE {table} SET {column} = ?{where}", (data.draw(cells),))
        database.commit()
    harmless(lambda: read_all(path))


@examples(40)
@given(data=st.data())
def test_bytes_of_the_database(own, data):
    """Whatever bytes of the database file are others: rows are read, or one line says what is damaged."""
    path = own()
    file = path / "chroma.sqlite3"
    raw = file.read_bytes()
    start = data.draw(st.integers(0, len(raw) // 4096)) * 4096
    length = data.draw(st.sampled_from([100, 4096, len(raw)]))
    file.write_bytes(raw[:start] + data.draw(changed(raw[start : start + length])) + raw[start + length :])
    harmless(lambda: read_all(path))


@pytest.mark.parametrize(
    ("cells", "waiting"),
    [
        ("string_value = NULL, int_value = 5", None),
        ("string_value = NULL, bool_value = 1", None),
        (None, '{"chroma:document": 5}'),
        (None, '{"chroma:document": ["a"]}'),
    ],
)
def test_a_document_that_is_no_text(own, cells, waiting):
    """In the tables or in the queue, it is refused."""
    path = own()
    with closing(sqlite3.connect(path / "chroma.sqlite3")) as database, database:
        if cells:
            database.execute(f"UPDATE embedding_metadata SET {cells} WHERE key = 'chroma:document'")
        else:
            database.execute(
                "INSERT INTO embeddings_queue (operation, topic, id, encoding, metadata)"
                " SELECT 2, topic, id, 'FLOAT32', ? FROM embeddings_queue WHERE operation = 0 LIMIT 1",
                [waiting],
            )
    source = open_source(str(path))
    with pytest.raises(SourceError, match=r"holds what Chroma never writes .*a document"):
        for found in source.collections():
            source.read(found, lambda rows: list(rows.batches(texts=True)))


def test_a_version_of_a_long_name(own):
    """Migrations of a name of any length, of a version that nobody knows, are told in part."""
    path = own()
    with closing(sqlite3.connect(path / "chroma.sqlite3")) as database, database:
        database.execute("UPDATE migrations SET dir = ? WHERE dir = 'metadb'", ("x" * 9000,))
    source = open_source(str(path))
    told = []
    for read in (source.collections, lambda: source.read(source.collections()[0], lambda rows: rows.count)):
        try:
            read()
        except SourceError as error:
            told.append(str(error))
    assert told
    assert max(map(len, told)) < 1000


def test_a_table_that_contradicts_its_index(own):
    """Ids of which the index says that they are texts, and the table that they are bytes, are refused."""
    file = own() / "chroma.sqlite3"
    row = b"\x06\x00\x55\x17\x02"  # its header: no rowid, 36 letters, 5 letters, 2 bytes of a number
    raw = file.read_bytes()
    assert row in raw
    file.write_bytes(raw.replace(row, row.replace(b"\x17", b"\x16")))
    source = open_source(str(file.parent))
    first = next(found for found in source.collections() if found.name == "first")
    with pytest.raises(SourceError, match="holds what Chroma never writes"):
        source.read(first, lambda rows: list(rows.batches()))


@examples(60)
@given(data=st.data())
def test_bytes_of_the_index(own, data):
    """Whatever bytes of the index are others: vectors are read, or one line says what is damaged."""
    path = own()
    (folder,) = (path for path in path.iterdir() if path.is_dir() and (path / "index_metadata.pickle").exists())
    file = folder / data.draw(st.sampled_from(["header.bin", "index_metadata.pickle", "length.bin", "data_level0.bin"]))
    file.write_bytes(data.draw(changed(file.read_bytes())))
    harmless(lambda: read_all(path))


sizes = st.sampled_from([0, 1, 3, 8, 100, 2**16, 2**31, 2**40, 2**62, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)


@examples(200)
@given(count=sizes, size=sizes, label_at=sizes, vector_at=sizes, dimension=sizes | st.just(4))
def test_headers(own, count, size, label_at, vector_at, dimension):
    """Whatever sizes and offsets an index claims, no more is read than there is."""
    path = own()
    (folder,) = (path for path in path.iterdir() if path.is_dir() and (path / "index_metadata.pickle").exists())
    header = bytearray((folder / "header.bin").read_bytes())
    struct.pack_into("<QQQQ", header, 20, count, size, label_at, vector_at)
    (folder / "header.bin").write_bytes(header)

    def read():
        index = Index(folder, dimension=dimension, cosine=True)
        try:
            rows = index.rows_of(["id0", "id1", "nobody"])
            return index.vectors(rows[rows >= 0])
        finally:
            index.close()

    harmless(read)


VIEWS = {
    "an endless view": "CREATE VIEW {0} AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    " SELECT i, 1 AS version, 'sysdb' AS dir FROM n",
    "a huge value": "CREATE TABLE {0} (a, dir AS (hex(zeroblob(1000))), version AS (1),"
    " name AS (hex(zeroblob(1000))), id AS (1))",
    "a virtual table": "CREATE VIRTUAL TABLE {0} USING rtree(id, a, b)",
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "table", ["migrations", "collections", "segments", "embeddings", "embeddings_queue", "max_seq_id"]
)
@pytest.mark.parametrize("trick", VIEWS)
def test_what_only_looks_like_a_table(own, trick, table):
    """A view or a computed column, which may go on for ever, does not pass for one of Chroma's tables."""
    path = own()
    with closing(sqlite3.connect(path / "chroma.sqlite3")) as database:
        database.execute("PRAGMA foreign_keys = 0")
        database.execute(f"DROP TABLE {table}")
        database.execute(VIEWS[trick].format(table))
        if trick == "a huge value":
            database.execute(f"INSERT INTO {table} (a) VALUES (1)")
        database.commit()
    with pytest.raises(SourceError):
        read_all(path)


@pytest.mark.parametrize("dimension", [-1, 0, 2**31, 2**62, "four", 3.5, None, b"4"])
def test_dimensions_that_can_not_be(own, dimension):
    """A dimension that no collection has is damage, not memory."""
    path = own()
    with closing(sqlite3.connect(path / "chroma.sqlite3")) as database:
        database.execute("UPDATE collections SET dimension = ?", (dimension,))
        database.commit()
    harmless(lambda: read_all(path))


def test_a_folder_outside(own, tmp_path):
    """The id of a segment, after which its folder is named, can't lead out of the directory."""
    path = own()
    outside = tmp_path / "outside"
    (folder,) = (path for path in path.iterdir() if path.is_dir() and (path / "index_metadata.pickle").exists())
    folder.rename(outside)
    with closing(sqlite3.connect(path / "chroma.sqlite3")) as database:
        database.execute("PRAGMA foreign_keys = 0")
        for table, column in (("segments", "id"), ("max_seq_id", "segment_id"), ("segment_metadata", "segment_id")):
            database.execute(f"UPDATE OR IGNORE {table} SET {column} = '../outside' WHERE {column} = ?", (folder.name,))
        database.commit()
    with pytest.raises(SourceError, match="outside"):
        open_source(str(path)).collections()


def pipe(file):
    os.mkfifo(file)


def device(file):
    file.symlink_to("/dev/zero")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("made", [pipe, device])
@pytest.mark.parametrize(
    "name",
    ["chroma.sqlite3", "chroma.sqlite3-wal", "header.bin", "index_metadata.pickle", "length.bin", "data_level0.bin"],
)
def test_what_never_ends(own, name, made):
    """A pipe or a device in place of a file is refused, and neither waited for nor read nor copied for ever."""
    path = own()
    (folder,) = (path for path in path.iterdir() if path.is_dir() and (path / "index_metadata.pickle").exists())
    file = (path if name.startswith("chroma") else folder) / name
    file.unlink(missing_ok=True)
    made(file)
    with pytest.raises(SourceError, match=f"{name} is a pipe or a device|holds no chroma.sqlite3"):
        source = open_source(str(path))
        for found in source.collections():
            source.read(found, lambda rows: list(rows.batches()))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("made", [pipe, device])
def test_what_never_ends_is_not_copied(own, made):
    """Nor where the whole folder of an index is copied, under whatever name."""
    path = own()
    with closing(sqlite3.connect(path / "chroma.sqlite3")) as database:
        database.execute("PRAGMA journal_mode = WAL")  # read from a private copy only
    (folder,) = (path for path in path.iterdir() if path.is_dir() and (path / "index_metadata.pickle").exists())
    made(folder / "more.bin")
    source = open_source(str(path))
    with pytest.raises(SourceError, match=r"more\.bin is a pipe or a device"):
        for found in source.collections():
            source.read(found, lambda rows: list(rows.batches()))
