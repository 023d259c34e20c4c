"""From files to a collection, again and again."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

import exporter
from exporter.errors import (
    CollectionError,
    ExporterError,
    ModelError,
    NetworkError,
    OutputError,
    SourceError,
    UsageError,
)
from tests.conftest import write_chroma
from tests.ingestion.little_model import LittleModel

OLDER = Path(__file__).parents[1] / "sources" / "older"


@pytest.fixture
def docs(tmp_path, monkeypatch):
    """Three files in `docs`, seen from the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    for name, text in {
        "a.md": "# Animals\n\nThe quick brown fox jumps over the lazy dog.",
        "b.txt": "Fibre optique : le nœud de raccordement dessert la ville.",
        "c.txt": "\n\n".join(f"Paragraph {number} says that {number * 7} comes." for number in range(40)),
    }.items():
        (tmp_path / "docs" / name).write_text(text)
    return tmp_path / "docs"


@pytest.fixture
def model():
    return LittleModel()


@pytest.fixture
def ingest(docs, model):
    """`ingest(...)` of those files into `db`, in small chunks."""

    def call(source="db", **options):
        options = {"files": "docs", "model": model, "chunk_size": 120, "chunk_overlap": 0, **options}
        return exporter.ingest(source, **options)

    return call


def rows(directory="db", name="langchain"):
    """What is stored, by a read of the files: id -> (text, metadata)."""
    from exporter.sources.directory import Directory

    source = Directory(directory)
    (collection,) = (one for one in source.collections() if one.name == name)
    found = {}

    def use(stored):
        for batch in stored.batches(texts=True, metadatas=True):
            for key, text, metadata in zip(batch.ids, batch.texts, batch.metadatas, strict=True):
                assert key not in found
                found[key] = (text, metadata)

    source.read(collection, use)
    return found


def contents(folder):
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_export_picks_the_collection_up(ingest, docs, model):
    """What was ingested can be asked, and the answer is found in its file."""
    done = ingest()
    assert (done.pages, done.chunks, done.added, done.unchanged, done.failed) == (3, len(rows()), done.chunks, 0, ())
    run = exporter.export("db", question="nœud de raccordement", answer="dessert la ville", model=model)
    assert run.questions[0].hits[0].source == "docs/b.txt"
    assert run.questions[0].first_answer_rank == 1
    assert run.warnings == []


def test_langchain_finds_it(ingest, model):
    """LangChain's own store opens the collection by its default name, and searches it."""
    from langchain_chroma import Chroma

    ingest()
    store = Chroma(persist_directory="db", embedding_function=model)
    (found,) = store.similarity_search("quick brown fox", k=1)
    store._client.close()
    assert found.metadata["source"] == "docs/a.md"
    assert found.metadata["title"] == "Animals"


def test_a_second_run_embeds_nothing(ingest, model):
    """The same again: no chunk is embedded, none is written."""
    first = ingest()
    before, embedded = rows(), model.embedded
    second = ingest()
    assert (second.chunks, second.added, second.unchanged, second.updated) == (first.chunks, 0, first.chunks, 0)
    assert model.embedded - embedded <= 1  # one word, to see whether the dimension fits
    assert rows() == before


def test_only_what_is_new_is_embedded(ingest, docs, model):
    """A page that got a new beginning: that is embedded, the rest keeps its vectors and gets its new places."""
    ingest()
    embedded = model.embedded
    text = (docs / "c.txt").read_text()
    (docs / "c.txt").write_text(
        "A wholly new paragraph, long enough to stand for itself: " + "word " * 14 + "\n\n" + text
    )
    done = ingest()
    assert 1 <= done.added <= 2
    assert model.embedded - embedded <= done.added + 1
    assert done.updated == done.unchanged - 2  # the other files' chunks stay as they are
    starts = sorted(metadata["start_index"] for _, metadata in rows().values() if metadata["source"] == "docs/c.txt")
    assert len(set(starts)) == len(starts)


def test_what_is_gone(ingest, docs):
    """Without --prune what is gone stays and is counted; with it, it goes, and nothing else does."""
    ingest()
    (docs.parent / "b.txt").write_text((docs / "b.txt").read_text())
    exporter.ingest("db", files="b.txt", model=LittleModel())  # the same text under another name
    (docs / "a.md").unlink()
    (docs / "c.txt").write_text("short")
    kept = ingest()
    assert kept.removed == 0
    assert kept.gone > 1
    assert f"{kept.gone} stored chunks are gone" in kept.warnings[0]
    pruned = ingest(prune=True)
    assert (pruned.removed, pruned.gone) == (kept.gone, 0)
    assert {metadata["source"] for _, metadata in rows().values()} == {
        "docs/b.txt",
        "docs/c.txt",
        "b.txt",
    }


def test_files_from_two_places(ingest, docs, model, tmp_path, monkeypatch):
    """Two folders called docs are two: --prune from the one leaves the other's chunks alone."""
    ingest()
    before = {key for key, (_, metadata) in rows().items()}
    (tmp_path / "other" / "docs").mkdir(parents=True)
    (tmp_path / "other" / "docs" / "x.txt").write_text("something else")
    monkeypatch.chdir(tmp_path / "other")
    done = ingest("../db", prune=True)
    assert (done.added, done.removed) == (1, 0)
    assert before < set(rows("../db"))
    assert ingest("../db", files=".", prune=True).removed == 0


def test_a_file_by_another_path(ingest, docs, tmp_path, monkeypatch):
    """A file is stored once, by whatever path it is named, and its source is the short one."""
    first = ingest()
    for files in (docs, "./docs", "."):
        assert ingest(files=files).added == 0
    assert {metadata["source"] for _, metadata in rows().values()} == {"docs/a.md", "docs/b.txt", "docs/c.txt"}
    assert not [value for _, metadata in rows().values() for value in metadata.values() if str(tmp_path) in str(value)]
    monkeypatch.chdir(docs)
    assert ingest("../db", files=".").unchanged == first.chunks


def test_a_file_that_was_not_read_is_not_gone(ingest, docs):
    """A file that is there and was left out, by whatever rule, keeps its chunks."""
    ingest()
    assert ingest(exclude=("a.md",), prune=True).removed == 0


def test_bad_rows_cost_no_others(ingest, docs):
    """A table with bad rows is a failure by name; its good rows are stored all the same, and none is pruned."""
    (docs / "t.jsonl").write_text('{"text": "first row"}\n{"text"\n{"text": "last row"}\n')
    done = ingest(prune=True)
    assert [one.source for one in done.failed] == ["docs/t.jsonl"]
    assert {"first row", "last row"} < {text for text, _ in rows().values()}


def test_a_blank_prompt_is_recorded(ingest):
    """A prompt that was given as nothing is nothing at the next time, too: not the model's own."""
    ingest(document_prompt="", query_prompt="ask: ")
    (collection,) = exporter.collections("db")
    recorded = {name: value for name, value in collection.metadata.items() if "prompt" in name}
    assert recorded == {"ingest:document_prompt": "", "ingest:query_prompt": "ask: "}


def test_an_empty_foreign_collection(docs, model, tmp_path):
    """One that somebody made and nobody filled is described as what it becomes, so that its model is known."""
    import chromadb

    client = chromadb.PersistentClient(str(tmp_path / "own"))
    client.create_collection("theirs", embedding_function=None)
    client.close()
    asked = {"files": "docs", "collection": "theirs", "model": model}
    with pytest.raises(CollectionError, match="--into-existing"):
        exporter.ingest("own", **asked)
    exporter.ingest("own", into_existing=True, **asked)
    (collection,) = exporter.collections("own")
    assert collection.metadata["ingest:model"] == "tests.ingestion.little_model:LittleModel"
    assert exporter.ingest("own", **asked).added == 0


def test_a_file_that_fails_keeps_its_chunks(ingest, docs):
    """A file that can't be read now is no file that is gone."""
    ingest()
    before = {key for key, (_, metadata) in rows().items() if metadata["source"] == "docs/c.txt"}
    (docs / "c.txt").write_bytes(bytes(5000))
    done = ingest(prune=True)
    assert [(failed.source, failed.why) for failed in done.failed] == [("docs/c.txt", "it is binary, not text")]
    assert before <= set(rows())


def test_a_key_that_goes(ingest, docs):
    """Metadata that a chunk has no more is removed from it."""
    (docs / "rows.jsonl").write_text('{"text": "one row of text", "author": "A", "n": 1}\n')
    ingest()
    (docs / "rows.jsonl").write_text('{"text": "one row of text", "n": 2}\n')
    assert ingest().updated == 1
    (metadata,) = (metadata for _, metadata in rows().values() if metadata["source"] == "docs/rows.jsonl")
    assert (metadata.get("author"), metadata["n"]) == (None, 2)


def test_nothing_is_left_of_an_ingest_without_text(docs, model):
    """An ingest that finds no text ends with an error, and leaves no directory behind."""
    (docs / "empty.txt").write_text(" \n ")
    with pytest.raises(NetworkError, match="nothing was stored"):
        exporter.ingest("new", files=docs / "empty.txt", model=model)
    assert not Path("new").exists()


def test_other_sizes(ingest):
    """Other sizes than those recorded are refused, as all would be there twice; with --prune they replace all."""
    ingest()
    with pytest.raises(UsageError, match="cut to 120 characters with an overlap of 0"):
        ingest(chunk_size=300)
    assert ingest(chunk_size=None, chunk_overlap=None).added == 0
    done = ingest(chunk_size=300, prune=True)
    assert len(rows()) == done.chunks
    (collection,) = exporter.collections("db")
    assert collection.metadata["ingest:chunk_size"] == 300


def test_another_model(ingest):
    """Another model than the recorded one is refused: a collection has one."""
    ingest()
    with pytest.raises(
        ModelError, match=r"was made with tests.ingestion.little_model:LittleModel, not with all-MiniLM"
    ):
        ingest(model="all-MiniLM-L6-v2")


def test_code_is_not_run_because_a_collection_says_so(ingest, docs):
    """A recorded model that is code is named, not imported: neither by export nor by the next ingest."""
    ingest()
    for call in (lambda: exporter.export("db", question="x"), lambda: exporter.ingest("db", files="docs")):
        with pytest.raises(ModelError, match=r"little_model:LittleModel, which is code: .* name it by --model"):
            call()


# ---------------------------------------------------------------- what is not to be written to


def test_a_foreign_collection(docs, model, chroma, tmp_path):
    """A collection that somebody else made is added to only with --into-existing; nothing changes without it."""
    own = shutil.copytree(chroma, tmp_path / "own")
    before = contents(own)
    with pytest.raises(CollectionError, match=r"was not made by ingest.*--into-existing"):
        exporter.ingest(own, files="docs", collection="chunks", model=model)
    assert contents(own) == before
    with pytest.raises(ModelError, match="has 64 dimensions, the collection 'chunks' has 8"):
        exporter.ingest(own, files="docs", collection="chunks", model=model, into_existing=True)
    done = exporter.ingest(own, files="docs", model=model)  # beside it, a new one
    assert len(rows(own)) == done.chunks


def test_into_a_foreign_collection(docs, model, tmp_path):
    """With --into-existing its own chunks stay as they are, --prune or not, and another model is refused."""
    from tests.conftest import collection

    texts = ["the quick fox", "a lazy dog"]
    theirs = collection(vectors=model.embed_documents(texts), texts=texts, metadatas=[{"source": "docs/a.md"}] * 2)
    own = write_chroma(tmp_path / "own", theirs)
    asked = {"files": "docs", "collection": "chunks", "into_existing": True}
    done = exporter.ingest(own, model=model, prune=True, **asked)
    assert done.removed == 0
    assert {"id0", "id1"} < set(rows(own, "chunks"))
    assert len(rows(own, "chunks")) == done.chunks + 2
    assert exporter.collections(own)[0].metadata == {"hnsw:space": "l2"}

    class Other(LittleModel):
        def embed_documents(self, texts):
            return -super().embed_documents(texts)

    with pytest.raises(ModelError, match="not the one that made this collection"):
        exporter.ingest(own, model=Other(), **asked)


@pytest.mark.parametrize("version", ["0.4.24", "0.6.3"])
def test_an_older_directory_is_not_migrated(docs, model, tmp_path, version):
    """A directory of an older Chroma is refused, byte for byte unchanged; with --into-existing Chroma migrates it."""
    shutil.unpack_archive(OLDER / f"chroma-{version}.zip", tmp_path / "older")
    directory = next(path.parent for path in (tmp_path / "older").rglob("chroma.sqlite3"))
    before = contents(tmp_path / "older")
    with pytest.raises(SourceError, match=r"another version of Chroma .* would migrate it"):
        exporter.ingest(directory, files="docs", model=model)
    assert contents(tmp_path / "older") == before
    done = exporter.ingest(directory, files="docs", model=model, into_existing=True)
    assert len(rows(directory)) == done.chunks


def a_file(path):
    path.write_text("")


def something_else(path):
    path.mkdir()
    (path / "letter.txt").write_text("")


def before_0_4(path):
    path.mkdir()
    (path / "chroma-embeddings.parquet").write_bytes(b"PAR1")


@pytest.mark.parametrize(
    ("make", "words"), [(a_file, "is a file"), (something_else, "something else"), (before_0_4, "before 0.4")]
)
def test_what_is_no_directory_of_chromas(ingest, tmp_path, make, words):
    """A file, a folder with other things, a directory of the oldest Chroma: refused, and left as they are."""
    make(tmp_path / "target")
    before = contents(tmp_path)
    with pytest.raises(SourceError, match=words):
        ingest(tmp_path / "target")
    assert contents(tmp_path) == before


def test_two_at_once(ingest, tmp_path):
    """A second ingest into the same directory is told so at once; the first is not disturbed."""
    told = []

    class Meanwhile(LittleModel):
        def embed_documents(self, texts):
            if not told:
                try:
                    ingest(model=LittleModel())
                except ExporterError as error:
                    told.append(error)
            return super().embed_documents(texts)

    done = ingest(model=Meanwhile())
    (error,) = told
    assert isinstance(error, OutputError)
    assert "another ingest is writing to db" in str(error)
    assert len(rows()) == done.chunks
    assert not Path("db/.ingest").exists()


def test_a_model_that_fails(ingest):
    """When the model fails at its first chunks, no collection is left that would want this model ever after."""

    class Fails(LittleModel):
        def embed_documents(self, texts):
            raise ValueError("no credit left")

    with pytest.raises(ModelError, match="no credit"):
        ingest(model=Fails())
    assert not Path("db").exists()
    assert ingest(model=LittleModel()).added == len(rows())


def test_the_database_is_whole(ingest):
    """SQLite finds no fault in what was written, and no table of ours is in it."""
    ingest()
    database = sqlite3.connect("db/chroma.sqlite3")
    assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
    assert not database.execute("select 1 from sqlite_master where name like '%ingest%'").fetchall()
    database.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"files": ()}, "nothing to read"),
        ({"files": "nowhere"}, "no such file"),
        ({"url": "ftp://x/"}, "no http"),
        ({"url": "https://user:secret@x/"}, "no http"),
        ({"base_url": "http://user:secret@x/v1"}, "^--base-url holds a user name or a password"),
        ({"base_url": "user:secret@x/v1"}, "^--base-url holds a user name or a password"),
        ({"chunk_size": 0}, "--chunk-size 0"),
        ({"chunk_size": 10, "chunk_overlap": 10}, "smaller --chunk-overlap"),
        ({"chunk_unit": "tokens"}, "can't be counted"),
        ({"chunk_unit": "words"}, "chunk_unit 'words'"),
        ({"rate": -1}, "--rate"),
        ({"model": " "}, "blank"),
        ({"source": "cloud:"}, "into Chroma Cloud was never tried"),
    ],
)
def test_options_that_cannot_be(ingest, options, words):
    """What can't be is a usage error before anything is read or written."""
    with pytest.raises(UsageError, match=words):
        ingest(**options)
    assert not Path("db").exists()


def test_without_the_extra(ingest, monkeypatch):
    """Without what the extra installs, one line says what is missing and how to get it."""
    from exporter.workflows import ingest_request

    monkeypatch.setattr(ingest_request, "find_spec", lambda name: None if name in ("pypdf", "protego") else name)
    with pytest.raises(UsageError, match=r"needs protego, pypdf: pip install 'chroma-projector\[ingest\]'"):
        ingest()


def test_as_json(ingest, docs):
    """The keys that stay."""
    (docs / "bad.csv").write_text("body\nx\n")
    told = json.loads(json.dumps(ingest().to_json()))
    assert {"collection", "pages", "failed", "chunks", "added", "unchanged", "removed"} <= set(told)
    assert told["failed"][0]["url"] == "docs/bad.csv"
    assert "no column 'text'" in told["failed"][0]["why"]
