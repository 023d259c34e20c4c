"""points.parquet: a run's rows with their types, and the coordinates of its map."""

from zipfile import ZipFile

import numpy as np
import pyarrow.parquet
import pytest

from exporter import share
from exporter.errors import UsageError
from exporter.runs.verify import faults, read_tensor
from exporter.sharing import parquet
from tests.conftest import collection, write_chroma
from tests.workflows.test_export import ask


def rows_of(path):
    return pyarrow.parquet.read_table(path).to_pydict()


def test_what_it_holds(chroma, tmp_path):
    """It holds each row's id, source, page, text, distance, rank and flags, its vector, and its place on the map."""
    run = ask(chroma, tmp_path, answer="text 7", parquet=True)
    assert faults(run.path) == []
    rows = rows_of(run.path / "points.parquet")
    assert rows["id"] == run.points["id"].tolist()
    assert [row for row, flag in enumerate(rows["is_question"]) if flag] == [30]
    assert [one for one, flag in zip(rows["id"], rows["contains_answer"], strict=True) if flag] == ["id7"]
    best = rows["rank"].index(1)
    hit = run.questions[0].hits[0]
    assert (rows["id"][best], rows["source"][best], rows["page"][best], rows["text"][best]) == (
        hit.id,
        hit.source,
        hit.page,
        hit.text,
    )
    assert rows["distance"][best] == pytest.approx(hit.distance, rel=1e-8)
    assert np.array_equal(np.array(rows["vector"], np.float32), run.points.vectors)
    entry = next(entry for entry in run.facts["tensors"] if entry["kind"] == "map")
    places = read_tensor(run.path, entry["file"], tuple(entry["shape"]))
    assert np.array_equal(np.column_stack([rows[axis] for axis in "xyz"]).astype(np.float32), places)
    flat = read_tensor(run.path, run.facts["flat_map"], (31, 2))
    assert np.array_equal(np.column_stack([rows["flat_x"], rows["flat_y"]]).astype(np.float32), flat)
    assert (rows["source"][30], rows["page"][30]) == (None, None)
    assert "__seq_next__" not in rows


def test_shared(chroma, tmp_path):
    """`share -o F.parquet` makes the same file of a run on disk; what was taken out is not in it."""
    run = ask(chroma, tmp_path, answer="text 7", parquet=True)
    made = share(run.path, tmp_path / "points.parquet")
    assert made.read_bytes() == (run.path / "points.parquet").read_bytes()
    rows = rows_of(share(run.path, made, text=False, anonymize_ids=True, redact=["source"]))
    assert set(rows["text"][:30]) == {None}
    assert set(rows["source"]) == {None}
    assert all(one.startswith("id-") for one in rows["id"][:30])


def test_in_a_redacted_zip(chroma, tmp_path):
    """In a redacted copy of a run that has one, it is redacted too."""
    run = ask(chroma, tmp_path, parquet=True)
    with ZipFile(share(run.path, tmp_path / "run.zip", text=False)) as archive:
        archive.extract(f"{run.name}/points.parquet", tmp_path / "unpacked")
    assert set(rows_of(tmp_path / "unpacked" / run.name / "points.parquet")["text"][:30]) == {None}


def test_types(tmp_path):
    """Texts that look like numbers stay texts, numbers are numbers, and own keys named like ours are renamed."""
    metadatas = [
        {"source": "007", "page": i, "year": 1990 + i, "share": i / 4, "x": "own", "vector": "own"} for i in range(9)
    ]
    write_chroma(tmp_path / "db", collection("chunks", rows=9, metadatas=metadatas))
    run = ask(tmp_path / "db", tmp_path, projection="none", parquet=True)
    table = pyarrow.parquet.read_table(run.path / "points.parquet")
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert (types["source"], types["page"], types["year"], types["share"]) == ("string", "int64", "int64", "double")
    assert (types["contains_answer"], types["rank"], types["distance"]) == ("bool", "int64", "double")
    assert types["vector"] == "fixed_size_list<element: float>[8]"
    assert set(table["source"].to_pylist()) == {"007", None}
    assert set(table["meta_x"].to_pylist()) == {"own", None}
    assert {"x", "flat_x"}.isdisjoint(table.column_names)


def test_without_pyarrow(chroma, tmp_path, monkeypatch):
    """Without pyarrow it is told before anything is read."""
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'chroma-projector\[parquet\]'"):
        ask(chroma, tmp_path, parquet=True)
    assert not (tmp_path / "logs").exists()
