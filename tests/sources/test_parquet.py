"""Directories of before 0.4, as written by Chroma 0.3.29."""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from exporter import errors
from exporter.sources import open_source
from exporter.sources.parquet import COLLECTIONS, EMBEDDINGS
from tests.sources.conftest import content, content_of, fingerprint


@pytest.fixture
def oldest(tmp_path):
    with zipfile.ZipFile(Path(__file__).parent / "older" / "chroma-0.3.29.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


def by_id(found):
    return sorted(zip(*found, strict=True), key=lambda row: row[0])


def read(directory, name, use=content_of, **which):
    source = open_source(directory)
    (wanted,) = (one for one in source.collections() if one.name == name)
    return source.read(wanted, use, **which)


@pytest.mark.parametrize("space", ["l2", "cosine"])
def test_it_reads_as_its_own_version_did(oldest, space):
    """Ids, texts, metadata and the bits of the vectors are those of 0.3's `get`, which gives them in any order."""
    before = fingerprint(oldest)
    expected = json.loads((oldest / "expected.json").read_text())[f"by-{space}"]
    assert by_id(read(oldest, f"by-{space}")) == by_id(content(*expected))
    assert read(oldest, f"by-{space}", lambda rows: rows.rule) == "Chroma before 0.4"
    assert fingerprint(oldest) == before


def test_collections_say_what_they_are(oldest):
    """Name, rows, dimension, metric and metadata."""
    cosine, l2 = open_source(oldest).collections()
    assert (cosine.name, cosine.space, cosine.rows, cosine.dimension) == ("by-cosine", "cosine", 29, 5)
    assert (l2.name, l2.space, l2.metadata["owner"], l2.model) == ("by-l2", "l2", "me", None)


def test_filters_and_positions(oldest):
    """The filters are those of every source; rows are taken by their places among what is left."""

    def some(rows):
        taken = list(rows.take(np.array([0, rows.count - 1])))
        return rows.count, [name for batch in taken for name in batch.ids]

    whole = read(oldest, "by-l2")
    high = [
        name
        for name, metadata in zip(whole.ids, whole.metadatas, strict=True)
        if metadata and metadata.get("page", (int, 0))[1] > 10
    ]
    assert 1 < len(high) < len(whole.ids)
    assert read(oldest, "by-l2", some, where={"page": {"$gt": 10}}) == (len(high), [high[0], high[-1]])
    found = read(oldest, "by-l2", lambda rows: rows.count, where_document={"$contains": "text of id0"})
    assert found == sum("text of id0" in (text or "") for text in whole.texts)


def test_a_persist_in_between_starts_the_read_over(oldest):
    """Rows of two persists are never mixed."""
    calls = []

    def use(rows):
        calls.append(rows)
        batches = rows.batches()
        next(batches)
        if len(calls) == 1:
            file = oldest / EMBEDDINGS
            whole = file.read_bytes()
            file.unlink()
            file.write_bytes(whole)
        return sum(len(batch) for batch in rows.batches())

    assert read(oldest, "by-l2", use) == 29
    assert len(calls) == 2


def test_damage_is_told_in_one_line(oldest):
    """A file that is cut off, or missing, is an error that names it."""
    file = oldest / EMBEDDINGS
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.SourceError, match=f"{EMBEDDINGS} can't be read .*backup"):
        open_source(oldest).collections()
    file.unlink()
    with pytest.raises(errors.SourceError, match=f"{EMBEDDINGS} can't be read"):
        open_source(oldest).collections()


def test_damaged_metadata_is_told(oldest):
    """Metadata that is no JSON is an error of one line."""
    file = oldest / COLLECTIONS
    table = pyarrow.parquet.read_table(file)
    broken = pyarrow.array(["{broken"] * table.num_rows)
    pyarrow.parquet.write_table(table.set_column(2, "metadata", broken), file)
    with pytest.raises(errors.SourceError, match=r"metadata in .* is damaged"):
        open_source(oldest).collections()


OTHERS = [5, {"a": 1}, b"\xff", None]
TEXTS = {COLLECTIONS: ("uuid", "name", "metadata"), EMBEDDINGS: ("collection_uuid", "id", "document", "metadata")}
NOT_CHROMAS = [(name, column, other) for name, columns in TEXTS.items() for column in columns for other in OTHERS]
NOT_CHROMAS += [(EMBEDDINGS, "embedding", other) for other in (*OTHERS, ["a"] * 5, [[1.0]] * 5)]


@pytest.mark.parametrize(("name", "column", "value"), NOT_CHROMAS)
def test_columns_of_other_kinds_are_told_in_one_line(oldest, name, column, value):
    """A column that is missing (None), or holds what Chroma never wrote, is an error that names file and column."""
    table = pyarrow.parquet.read_table(oldest / name)
    place = table.schema.get_field_index(column)
    rest = table.remove_column(place)
    made = rest if value is None else rest.add_column(place, column, pyarrow.array([value] * table.num_rows))
    pyarrow.parquet.write_table(made, oldest / name)
    with pytest.raises(errors.SourceError, match=f"{name} can't be read .*{column}.*; restore"):
        read(oldest, "by-l2")


@pytest.mark.parametrize(
    ("name", "column"),
    [(COLLECTIONS, "uuid"), (COLLECTIONS, "name"), (EMBEDDINGS, "collection_uuid"), (EMBEDDINGS, "id")],
)
def test_a_row_without_a_name_is_told_in_one_line(oldest, name, column):
    """A row without an id, or a collection without a name, is damage."""
    table = pyarrow.parquet.read_table(oldest / name)
    nothing = pyarrow.array([None] * table.num_rows, pyarrow.string())
    pyarrow.parquet.write_table(table.set_column(table.schema.get_field_index(column), column, nothing), oldest / name)
    with pytest.raises(errors.SourceError, match=f"{name} can't be read .*{column}.*; restore"):
        read(oldest, "by-l2")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_odd_values_are_told_in_one_line(oldest):
    """Metadata that no filter can look at is an error; of a number too big for float32 comes infinity, and no noise."""
    table = pyarrow.parquet.read_table(oldest / EMBEDDINGS)
    nested = pyarrow.array(['{"page": {"a": 1}}'] * table.num_rows)
    table = table.set_column(table.schema.get_field_index("metadata"), "metadata", nested)
    big = pyarrow.array([[1e300] * 5] * table.num_rows)
    table = table.set_column(table.schema.get_field_index("embedding"), "embedding", big)
    pyarrow.parquet.write_table(table, oldest / EMBEDDINGS)
    assert np.isinf(next(read(oldest, "by-l2", lambda rows: next(rows.batches())).vectors.flat))
    with pytest.raises(errors.SourceError, match="holds what Chroma never writes"):
        read(oldest, "by-l2", where={"page": 1})


def test_without_pyarrow_the_extra_is_named(oldest, monkeypatch):
    """Who has no pyarrow is told what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert (oldest / COLLECTIONS).exists()
    with pytest.raises(errors.SourceError, match=r"before 0.4 .*chroma-projector\[parquet\]"):
        open_source(oldest)
