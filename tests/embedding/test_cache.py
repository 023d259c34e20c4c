"""A text that was embedded before needs no model."""

import sqlite3

import numpy as np
import pytest

from exporter.embedding import cache, encoders
from exporter.embedding.cache import Cache, CachedEncoder
from exporter.embedding.models import load_model
from exporter.errors import ModelError
from exporter.records import Collection

DOCS = Collection("docs", 3, 384, "cosine", "default")


class Letters:
    """A model that counts letters, and what it is asked; questions and documents differ."""

    def __init__(self):
        self.asked = []

    def embed_queries(self, texts):
        self.asked += texts
        return [[text.count("a"), 0.1] for text in texts]

    def embed_documents(self, texts):
        self.asked += texts
        return [[text.count("a"), 0.2] for text in texts]


@pytest.fixture
def letters():
    return Letters()


@pytest.fixture
def remembering(tmp_path, letters):
    def make(identity="letters 1"):
        return CachedEncoder(lambda: letters, identity, Cache(tmp_path / "new" / "vectors.sqlite3"))

    return make


def test_a_text_is_embedded_once(remembering, letters):
    """Another encoder of the same model finds it, with the same bits; new texts among known ones are embedded."""
    first = remembering().embed_queries(["a", "banana"])
    again = remembering().embed_queries(["banana", "cabana", "a"])
    assert letters.asked == ["a", "banana", "cabana"]
    assert np.array_equal(again, np.array([[3, 0.1], [3, 0.1], [1, 0.1]], np.float32))
    assert np.array_equal(first, again[[2, 0]])


def test_roles_and_models_are_told_apart(remembering, letters):
    """A question is no document, and another model's vectors are not taken."""
    remembering().embed_queries(["a"])
    assert remembering().embed_documents(["a"])[0, 1] == np.float32(0.2)
    remembering("letters 2").embed_query("a")
    assert letters.asked == ["a"] * 3


def test_no_text_is_on_disk(remembering, tmp_path):
    """What was asked can't be read from the file, which only its owner may enter."""
    remembering().embed_queries(["a secret question"])
    file = tmp_path / "new" / "vectors.sqlite3"
    assert b"secret" not in file.read_bytes()
    assert file.parent.stat().st_mode & 0o077 == 0


def test_the_oldest_go(remembering, letters, monkeypatch):
    """The file keeps its size: what was asked long ago is embedded again."""
    monkeypatch.setattr(cache, "MOST_BYTES", 3 * 8)
    for text in ("1", "2", "3", "4"):
        remembering().embed_queries([text])
    remembering().embed_queries(["4", "1"])
    assert letters.asked == ["1", "2", "3", "4", "1"]


def test_a_locked_file_is_no_trouble(remembering, letters, tmp_path, monkeypatch):
    """A process that holds it is not waited for."""
    monkeypatch.setattr(cache, "_PATIENCE", 0.01)
    remembering().embed_query("a")
    other = sqlite3.connect(tmp_path / "new" / "vectors.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert remembering().embed_query("a")[0] == 1
    other.close()
    assert letters.asked == ["a", "a"]


def test_a_known_question_loads_no_model(tmp_path, monkeypatch):
    """The second time nothing of the model is touched; after a change of its files it is loaded again."""
    remembered = Cache(tmp_path / "vectors.sqlite3")
    first = load_model("auto", DOCS, cache=remembered).embed_questions(["What is a lambda?"])

    def fail(*_, **__):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(encoders, "_from_somewhere", fail)
    again = load_model("auto", DOCS, cache=remembered).embed_questions(["What is a lambda?"])
    assert np.array_equal(first, again)
    monkeypatch.setattr("exporter.embedding.models.identity_of", lambda name: "other files")
    with pytest.raises(ModelError, match="the model was loaded"):
        load_model("auto", DOCS, cache=remembered).encoder.embed_queries(["What is a lambda?"])


def test_a_models_files_are_its_identity(tmp_path):
    """Other weights in the same folder are another model; a name that is nowhere here has none."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = encoders.identity_of(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"new weights")
    assert before != encoders.identity_of(str(tmp_path))
    assert encoders.identity_of("nobody/has-this-model") is None
    assert encoders.identity_of("no such: model") is None


@pytest.mark.parametrize("vector", [b"abc", None, "text", b"", np.array([np.nan, 1], "<f4").tobytes(), b"\0" * 12])
def test_a_bad_row_is_a_miss(remembering, letters, tmp_path, vector):
    """What is no vector, or one of another dimension, is embedded again."""
    remembering().embed_queries(["a", "aa"])
    with sqlite3.connect(tmp_path / "new" / "vectors.sqlite3") as database:
        database.execute("UPDATE vectors SET vector = ? WHERE rowid = 1", (vector,))
    assert remembering().embed_queries(["a", "aa"])[:, 0].tolist() == [1, 2]
    assert len(letters.asked) > 2


def test_a_broken_file_is_replaced(remembering, letters, tmp_path):
    """A file that is no database counts as empty, and is removed, so that the next one is of use."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "vectors.sqlite3").write_bytes(b"no database " * 1000)
    assert [remembering().embed_query("a")[0] for _ in range(3)] == [1, 1, 1]
    assert len(letters.asked) < 3


def test_without_a_home(monkeypatch):
    """Who has no home has no cache; a relative folder is none either."""
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/~folder")
    assert "relative" not in str(cache.users_cache()._file)

    def nowhere():
        raise RuntimeError("no home")

    monkeypatch.setattr("pathlib.Path.home", nowhere)
    assert cache.users_cache() is None
