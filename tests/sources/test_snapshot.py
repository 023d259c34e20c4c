import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import CollectionError
from exporter.sources.database import Database
from exporter.sources.directory import Directory
from tests.sources.conftest import content, content_of, fingerprint, read, rows
from tests.sources.many_rows import FIRST, multiply, swell

WRITER = Path(__file__).parent / "writer.py"
IMPATIENT = """
import json, sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=1, isolation_level=None)
done, end = 0, time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    database.execute("INSERT INTO acquire_write (lock_status) VALUES (1)")
    done += 1
print(json.dumps(done))
"""


@pytest.mark.parametrize(("count", "sync"), [(20, 10), (300, 300)])
def test_reads_beside_a_living_writer_are_of_one_point_in_time(tmp_path, count, sync):
    """However fast it is written, each read gives every row once, with the vector and the metadata of one moment; but
    for rounds of which Chroma itself has lost vectors.
    """
    path = tmp_path / "db"
    arguments = [str(path), str(count), str(sync), "4"]
    one_thread = {**os.environ, "RAYON_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, WRITER, *arguments], stdout=subprocess.PIPE, text=True, env=one_thread
    ) as writer:
        assert writer.stdout.readline() == "ready\n"
        reads, mixed = 0, set()
        while writer.poll() is None:
            found = read(path)
            rounds = {metadata["round"][1] for metadata in found.metadatas}
            assert len(rounds) == 1
            assert len(found.ids) in (count, count - count // 4)
            vectors = np.array(found.bits, np.uint32).view(np.float32)
            assert vectors.shape == (len(found.ids), 16)
            if (vectors != [*rounds]).any():
                mixed |= rounds
            reads += 1
        written = json.loads(writer.stdout.read())
    assert mixed <= set(written["lost"])
    assert reads > 5
    assert written["rounds"] > 5


def test_an_impatient_writer_never_fails(directory):
    """A writer that waits one second for its lock always gets it, while the directory is read again and again."""
    arguments = [str(directory / "chroma.sqlite3"), "2"]
    with subprocess.Popen([sys.executable, "-c", IMPATIENT, *arguments], stdout=subprocess.PIPE, text=True) as writer:
        while writer.poll() is None:
            assert len(read(directory).ids) == 53
        assert json.loads(writer.stdout.read()) > 5
    assert writer.returncode == 0


def test_no_lock_is_held_between_batches(directory, worker):
    """While the rows are used, for however long, a writer may write at once."""
    seconds = []

    def use(found):
        for _ in found.batches(texts=True):
            start = time.monotonic()
            worker("write", path=directory, collection="others", steps=[["add", rows(1)]])
            seconds.append(time.monotonic() - start)

    read(directory, use=use)
    worker("close", path=directory)
    assert max(seconds) < 2


def test_a_write_in_between_starts_the_read_over(directory, worker):
    """Rows of two points in time are never given out: `use` is called again, and sees the new state whole."""
    seen = []

    def use(found):
        batches = found.batches()
        first = next(batches)
        if not seen:
            worker("write", path=directory, collection="chunks", steps=[["update", rows(1)]])
        seen.append(found.count)
        return [first, *batches], next(found.batches(metadatas=True)).metadatas[0]

    worker("write", path=directory, collection="chunks", steps=[["update", {**rows(1), "metadatas": [{"page": 7}]}]])
    _, metadata = read(directory, use=use)
    worker("close", path=directory)
    assert len(seen) == 2
    assert metadata["page"] == 0


def test_a_write_to_another_collection_changes_nothing(directory, worker):
    """A busy neighbour, or Chroma's mere opening, does not start the read over."""
    calls = []

    def use(found):
        calls.append(1)
        worker("write", path=directory, collection="others", steps=[["add", rows(2, 2 * len(calls))]])
        return content_of(found)

    found = read(directory, use=use)
    worker("close", path=directory)
    assert len(calls) == 1
    assert found == content(*worker("get", path=directory, collection="chunks"))


def test_a_collection_that_vanishes_in_between_is_missed(directory, worker):
    """When the collection is deleted while it is read, the next attempt says that it is gone."""

    def use(found):
        worker("drop", path=directory, collection="chunks")
        return content_of(found)

    with pytest.raises(CollectionError, match="no collection 'chunks'"):
        read(directory, use=use)
    worker("close", path=directory)


def test_an_error_of_the_caller_comes_through(directory):
    """What `use` raises is not taken for a fault of the files, and every file is closed."""

    class Mine(Exception):
        pass

    def use(found):
        next(found.batches())
        raise Mine

    with pytest.raises(Mine):
        read(directory, use=use)
    with pytest.raises(OSError, match="mine"):
        read(directory, use=lambda found: (_ for _ in ()).throw(OSError("mine")))


def test_files_and_locks_are_given_back(directory):
    """After a read, and after one that failed, no file of the directory is open in this process."""

    def opened():
        links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return [target for link in links if str(directory) in (target := str(link.readlink()))]

    read(directory)
    with pytest.raises(ZeroDivisionError):
        read(directory, use=lambda found: 1 // 0)
    assert opened() == []


def test_statements_are_short(directory, monkeypatch):
    """Every statement is fetched to its end: no transaction is open when `select` has returned, or between batches."""
    database = Database(directory)
    database.select("SELECT * FROM embeddings")
    assert not database._connection.in_transaction
    with database.transaction():
        assert database._connection.in_transaction
    assert not database._connection.in_transaction
    database.close()


def test_index_files_that_are_newer_than_the_last_commit_are_waited_for(directory, index):
    """A persist whose high-water mark is not committed yet is no point in time: the read waits, and is right."""
    expected = read(directory)
    before = fingerprint(directory)
    (index / "index_metadata.pickle").touch()
    start = time.monotonic()
    assert read(directory) == expected
    assert time.monotonic() - start < 10
    assert fingerprint(directory) == before
    assert Directory(directory).collections()[0].rows == 53


def test_a_row_costs_eight_bytes(directory):
    """What is kept of 200,000 rows beside the one batch is 8 bytes a row, and at no moment more than 48 were needed."""
    ids, vectors = swell(directory, 200_000)
    kept = []

    def use(found):
        first = next(found.batches())
        kept.append(tracemalloc.get_traced_memory())
        return found.count, first, next(found.take(np.array([199_999])))

    tracemalloc.start()
    try:
        count, first, last = read(directory, use=use)
    finally:
        tracemalloc.stop()
    ((left, peak),) = kept
    assert left < 8 * 200_000 + 2**20
    assert peak < 48 * 200_000 + 2**20
    assert count == 200_000
    assert first.ids == ids[: len(first)]
    np.testing.assert_array_equal(first.vectors, vectors[: len(first)])
    assert (last.ids, last.vectors.tolist()) == ([ids[-1]], vectors[-1:].tolist())


@pytest.fixture
def cpu_locks(monkeypatch):
    """Locks are measured in seconds of this thread's own work: what else the machine does is no fault of the reader."""
    monkeypatch.setattr("exporter.sources.database.clock", time.thread_time)


def test_long_texts_are_read_a_few_at_a_time(directory, cpu_locks):
    """However long the texts are, no statement over them holds its lock for 50 ms, with or without a filter."""
    swell(directory, 2000)
    with closing(sqlite3.connect(directory / "chroma.sqlite3")) as database, database:
        database.executemany(
            "INSERT INTO embedding_metadata (id, key, string_value) VALUES (?, 'chroma:document', ?)",
            ((FIRST + i, "word " * 5_000) for i in range(2000)),
        )

    def use(found):
        sizes = [len(batch) for batch in found.batches(texts=True, metadatas=True)]
        return sum(sizes), len(sizes), found.longest_lock

    count, batches, lock = read(directory, use=use)
    assert count == 2000
    assert batches > 3
    assert lock < 0.05
    for operator in ("$contains", "$regex"):
        count, _, lock = read(directory, use=use, where_document={operator: "word word"})
        assert count == 2000
        assert lock < 0.05


def test_thousands_of_collections_lock_no_longer(directory, cpu_locks):
    """One of 3,000 collections is read as one alone is, and all are listed, under no lock of 50 ms."""
    multiply(directory, 3000)
    longest = []

    class Seen(Database):
        def close(self):
            longest.append(self.longest_lock)
            super().close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exporter.sources.directory.Database", Seen)
        assert len(Directory(directory).places()) == 3001
        assert len(read(directory).ids) == 53
        assert len(Directory(directory).collections()) == 3001
    assert max(longest) < 0.05


def test_waiting_for_a_writer_is_no_lock(directory):
    """What is stated is how long others had to wait for the reader, not how long it waited for them."""
    ready = threading.Event()

    def hold():
        with closing(sqlite3.connect(directory / "chroma.sqlite3", isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            ready.set()
            time.sleep(1)
            writer.execute("ROLLBACK")

    other = threading.Thread(target=hold)
    other.start()
    ready.wait()
    start = time.monotonic()
    lock = read(directory, use=lambda found: found.longest_lock)
    waited = time.monotonic() - start
    other.join()
    assert waited > 0.9
    assert lock < 0.5
