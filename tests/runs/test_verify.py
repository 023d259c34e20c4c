"""verify finds what is wrong with a run, and says it in words."""

import json

import numpy as np
import pytest

from exporter.errors import OutputError
from exporter.runs.verify import faults, structural_faults
from tests.runs.conftest import make_run


def asset(path, stem):
    return next((path / "assets").glob(f"{stem}-*"))


def edit_config(path, old, new):
    config = path / "projector_config.pbtxt"
    config.write_text(config.read_text().replace(old, new))


def break_metadata(path, change):
    metadata = asset(path, "metadata")
    metadata.write_bytes(change(metadata.read_bytes()))


def edit_bookmarks(path, old, new):
    bookmarks = asset(path, "bookmarks")
    bookmarks.write_bytes(bookmarks.read_bytes().replace(old, new))


def join_in_a_circle(raw):
    lines = raw.split(b"\n")
    return b"\n".join([*lines[:-2], lines[-2] + b"0", b""]).replace(b"\t\n", b"\t12\n", 1)


BREAKS = {
    "changed": (
        lambda p: (p / "vectors.tsv").write_text((p / "vectors.tsv").read_text().replace("1", "2", 1)),
        "sha256",
    ),
    "missing": (lambda p: asset(p, "vectors").unlink(), "is missing"),
    "truncated": (lambda p: asset(p, "vectors").write_bytes(b"\x80" * 40), "does not hold 13 x 4 numbers"),
    "no events": (lambda p: next(p.glob("events*")).unlink(), "no events file"),
    "config": (lambda p: (p / "projector_config.pbtxt").write_text("embeddings {"), "every run of the log directory"),
    "empty config": (lambda p: (p / "projector_config.pbtxt").write_text(""), "names no tensor"),
    "outside": (lambda p: edit_config(p, 'tensor_path: "assets/', 'tensor_path: "../assets/'), "outside the run"),
    "name": (lambda p: edit_config(p, 'tensor_name: "vectors', 'tensor_name: "a&b'), "addresses"),
    "nan": (
        lambda p: asset(p, "vectors").write_bytes(np.full((13, 4), np.nan, "<f4").tobytes()),
        "holds NaN or infinity",
    ),
    "one row less": (lambda p: break_metadata(p, lambda raw: raw[: raw[:-1].rfind(b"\n") + 1]), "12 lines for 13 rows"),
    "empty cell": (lambda p: break_metadata(p, lambda raw: raw.replace(b"doc1.md\t", b"\t", 1)), "empty cells"),
    "ragged": (lambda p: break_metadata(p, lambda raw: raw.replace(b"doc1.md\t", b"doc1.md\t1\t", 1)), "other lengths"),
    "latin-1": (lambda p: break_metadata(p, lambda raw: raw.replace(b"doc1", b"do\xe91", 1)), "not UTF-8"),
    "extra": (lambda p: (p / "assets" / "extra.bin").write_text("x"), "is no part of the run"),
    "garbage events": (lambda p: next(p.glob("events*")).write_bytes(b"x" * 40), "holds no event"),
    "checkpoint path": (
        lambda p: edit_config(p, "embeddings {", 'model_checkpoint_path: "x"\nembeddings {'),
        "its path",
    ),
    "circle": (lambda p: break_metadata(p, join_in_a_circle), "circles"),
    "lines to nowhere": (lambda p: break_metadata(p, lambda raw: raw.replace(b"\t12\n", b"\t99\n")), "don't exist"),
    "proto": (lambda p: break_metadata(p, lambda raw: raw.replace(b"closeness", b"__proto__", 1)), "__proto__"),
    "label second": (lambda p: break_metadata(p, lambda raw: raw.replace(b"label\tsource", b"source\tlabel")), "label"),
    "tsne": (lambda p: edit_bookmarks(p, b'"umap","projections"', b'"tsne","projections"'), "t-SNE"),
    "no places": (lambda p: edit_bookmarks(p, b'"pca-0":', b'"pca-9":'), "holds no bookmarks"),
    "no column": (lambda p: break_metadata(p, lambda raw: raw.replace(b"is_question", b"is_qu", 1)), "is_question"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_every_fault_is_found(tmp_path, what):
    """Each way to break a run is told, in words that name it."""
    path = make_run(tmp_path / "run")
    assert faults(path) == []
    change, words = BREAKS[what]
    change(path)
    assert any(words in fault for fault in faults(path)), faults(path)


@pytest.mark.parametrize("what", sorted(set(BREAKS) - {"changed", "extra"}))
def test_faults_show_without_hashes(tmp_path, what):
    """What would break the page is seen without the manifest's help: so a faulty run is never published."""
    path = make_run(tmp_path / "run")
    BREAKS[what][0](path)
    assert structural_faults(path)


def test_checkpoint(tmp_path):
    """A checkpoint is read by TensorFlow in a process of its own; a damaged one is told."""
    pytest.importorskip("tensorboard")
    path = make_run(tmp_path / "run", tensor_format="checkpoint")
    assert faults(path) == []
    data = next(path.glob("*.data-*"))
    data.write_bytes(b"")
    assert any("TensorBoard can't load" in fault or "bytes" in fault for fault in structural_faults(path))


def test_a_name_that_breaks_the_page(tmp_path):
    """A run that was renamed to what the page's addresses can't bear is told."""
    path = make_run(tmp_path / "run").rename(tmp_path / "a&b")
    assert any("addresses" in fault for fault in faults(path))


@pytest.mark.parametrize("files", [None, [], {}, {"a": {}}, "x"])
def test_broken_manifests(tmp_path, files):
    """A manifest of another shape is one clear line."""
    path = make_run(tmp_path / "run")
    facts = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**facts, "files": files}))
    with pytest.raises(OutputError, match="not a manifest of ours"):
        faults(path)


def test_not_a_run(tmp_path):
    """A folder that is no run, a broken manifest and a newer format are each one clear line."""
    with pytest.raises(OutputError, match="is not a run"):
        faults(tmp_path)
    path = make_run(tmp_path / "run")
    (path / "manifest.json").write_text("{")
    with pytest.raises(OutputError, match="can't be read"):
        faults(path)
    (path / "manifest.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(OutputError, match="newer"):
        faults(path)
