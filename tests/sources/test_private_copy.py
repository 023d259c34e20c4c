import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from exporter.errors import SourceError
from exporter.sources import Place
from exporter.sources import private_copy as module
from exporter.sources.database import Database
from exporter.sources.directory import Directory
from exporter.sources.private_copy import PREFIX, private_copy
from tests.sources.conftest import content, content_of, fingerprint, read, rows


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A temporary directory of the test's own, in which nothing must be left."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


@pytest.fixture
def copies(monkeypatch):
    """Every private copy that is made."""
    made = []

    def counted(*arguments, **more):
        made.append(arguments)
        return private_copy(*arguments, **more)

    monkeypatch.setattr("exporter.sources.directory.private_copy", counted)
    return made


def test_a_collection_that_changes_at_each_attempt_is_read_from_a_copy(directory, worker, copies):
    """When short reads are overtaken again and again, a copy of that collection's own index is read, in one piece."""
    seen = []

    def use(found):
        seen.append(found.count)
        if len(seen) < 20:
            worker("write", path=directory, collection="chunks", steps=[["add", rows(1, 100 + len(seen))]])
        return content_of(found)

    worker("write", path=directory, collection="others", steps=[["add", rows(3)]])
    found = read(directory, use=use)
    worker("close", path=directory)
    assert len(copies) == 1
    assert len(seen) == 6
    assert found.ids[-5:] == [f"id{i}" for i in range(101, 106)]


def test_a_copy_is_told_beforehand_and_its_lock_stated(directory, worker, monkeypatch):
    """The user is told why a copy is made, where and how big; the rows say so, and for how long it locked."""
    told = []

    def use(found):
        if not told:
            worker("write", path=directory, collection="chunks", steps=[["upsert", rows(1)]])
        content_of(found)
        return found.copied, found.longest_lock

    source = Directory(directory, told.append)
    (chunks,) = source.collections()
    why, lock = source.read(chunks, use=use)
    worker("close", path=directory)
    assert why == "is written to faster than it can be read"
    (line,) = told
    assert re.fullmatch(
        rf"{directory} {why}: a private copy of it is made in {tempfile.gettempdir()} .\d+ MB. and read", line
    )
    assert 0 < lock < 5
    assert source.read(chunks, lambda found: found.copied) is None
    assert len(told) == 1


def test_the_lock_of_a_copy_is_that_of_its_longest_step(directory, monkeypatch):
    """Under one lock it lasts as long as the copying of all files, in steps as long as the longest of them."""
    real = shutil.copytree

    def slow(source, target, **options):
        time.sleep(0.3)
        real(source, target, **options)

    monkeypatch.setattr(shutil, "copytree", slow)
    with private_copy(directory) as copy:
        assert 0.3 < copy.longest_lock < 5
    monkeypatch.setattr(module, "UNDER_ONE_LOCK", 0)
    with private_copy(directory) as copy:
        assert 0 < copy.longest_lock < 0.3


def test_a_big_directory_is_copied_in_small_steps(directory, monkeypatch):
    """What would take long under one lock is copied some pages at a time, to the same rows."""
    monkeypatch.setattr(module, "UNDER_ONE_LOCK", 0)
    monkeypatch.setattr(module, "PAGES_A_STEP", 3)
    with private_copy(directory) as copy:
        assert read(copy.path) == read(directory)
        assert copy.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_never_rests_is_given_up(directory, index, monkeypatch):
    """A copy that is overtaken each time ends in one line, in bounded time."""
    monkeypatch.setattr(module, "PAUSE", 0)
    real = shutil.copytree

    def overtaken(source, target, **options):
        real(source, target, **options)
        (index / "data_level0.bin").touch()
        os.utime(directory / "chroma.sqlite3")

    monkeypatch.setattr(shutil, "copytree", overtaken)
    with pytest.raises(SourceError, match=r"written to faster than it can be read \(10 copies .*stop the writer"):
        private_copy(directory).__enter__()


def test_a_backup_is_not_started_over_for_ever(directory, monkeypatch):
    """A writer that commits between any two steps ends the attempt after some restarts."""
    monkeypatch.setattr(module, "UNDER_ONE_LOCK", 0)
    monkeypatch.setattr(module, "PAGES_A_STEP", 30)
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    real, steps = Database.back_up, []

    def overtaken(self, target, pages, progress):
        def step(*numbers):
            steps.append(numbers)
            with closing(sqlite3.connect(directory / "chroma.sqlite3", isolation_level=None)) as writer:
                writer.execute("INSERT INTO acquire_write (lock_status) VALUES (1)")
            progress(*numbers)

        real(self, target, pages, step)

    monkeypatch.setattr(Database, "back_up", overtaken)
    with pytest.raises(SourceError, match="written to faster"):
        private_copy(directory).__enter__()
    assert len(steps) < 40


def test_a_copy_for_which_there_is_no_room_is_refused_before_it_is_made(directory, monkeypatch):
    """The room that is needed and the room that is there are both told, and nothing is written."""
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(SourceError, match=r"takes \d+ MB, and .* has 0 MB free; .*TMPDIR"):
        private_copy(directory).__enter__()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_nothing_is_left_when_the_read_ends_early(directory, error):
    """A copy goes with whatever ends its use, ^C included."""
    with pytest.raises(error), private_copy(directory) as copy:
        assert (copy.path / "chroma.sqlite3").exists()
        raise error


def test_what_a_killed_process_left_is_removed_by_the_next_read(directory, temporary):
    """The copy of a process that was killed goes when another one reads; that of a living one stays."""
    code = f"""
import tempfile, time
from pathlib import Path
tempfile.tempdir = {str(temporary)!r}
from exporter.sources.private_copy import private_copy
with private_copy(Path({str(directory)!r})) as copy:
    print(copy.path.parent, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        left = Path(process.stdout.readline().strip())
        read(directory)
        assert left.is_dir()
        assert left.name.startswith(PREFIX)
        process.send_signal(signal.SIGKILL)
    assert left.is_dir()
    read(directory)
    assert not left.exists()


def test_a_database_in_wal_mode_is_read_with_its_log(directory):
    """What another tool left in a `-wal` file counts, and not even a `-shm` file is made beside it."""
    with closing(sqlite3.connect(directory / "chroma.sqlite3", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        database.execute("UPDATE embedding_metadata SET string_value = 'changed' WHERE string_value = 'text 5'")
        wal = shutil.copytree(directory, directory.parent / "wal")
    (wal / "chroma.sqlite3-shm").unlink()
    before = fingerprint(wal)
    assert "changed" in read(wal).texts
    assert read(wal, use=lambda found: found.copied) == "is in SQLite's WAL mode, in which even a reader writes"
    assert "changed" in read(directory).texts  # closed in good order: no -wal any more, but still the mode
    assert fingerprint(wal) == before
    assert not list(directory.glob("*-shm"))


def test_a_layout_of_an_unknown_version_is_read_by_chroma_on_a_copy(directory, copies):
    """A directory of a version that is not known yet is left to chromadb, which never sees the original."""
    expected = read(directory)
    with closing(sqlite3.connect(directory / "chroma.sqlite3")) as database, database:
        database.execute("INSERT INTO migrations VALUES ('sysdb', 11, '00011-x.sqlite.sql', '', '')")
    before = fingerprint(directory)
    assert read(directory) == expected
    assert read(directory, use=lambda found: found.rule).startswith("chromadb 1.")
    told = []
    source = Directory(directory, told.append)
    why, lock = source.read(source.describe(Place("chunks")), lambda found: (found.copied, found.longest_lock))
    assert why.startswith("has tables of an unknown version (embeddings_queue 2, metadb 6, sysdb 11)")
    assert told[0].startswith(f"{directory} {why}: a private copy of it is made in ")
    assert len(told) == 1
    assert lock > 0
    assert source.places() == [Place("chunks")]
    assert read(directory, use=lambda found: found.count, where={"page": {"$lt": 3}}) == 3
    assert fingerprint(directory) == before
    assert copies


def test_a_layout_that_chroma_does_not_know_either_is_refused(directory):
    """When chromadb fails on the copy, its own words and the versions that were found are told in one line."""
    with closing(sqlite3.connect(directory / "chroma.sqlite3")) as database, database:
        database.execute("UPDATE migrations SET version = version + 40 WHERE dir = 'metadb'")
    with pytest.raises(SourceError, match=r"unknown version: embeddings_queue 2, metadb 46, sysdb 10\): ") as caught:
        Directory(directory).collections()
    assert "\n" not in str(caught.value)
    assert str(tempfile.gettempdir()) not in str(caught.value)


def test_a_fresh_copy_is_no_different(written, tmp_path, worker):
    """A directory that was copied a moment ago, file by file in any order, is read at once and rightly."""
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copyfile(written / "chroma.sqlite3", copy / "chroma.sqlite3")
    for folder in written.iterdir():
        if folder.is_dir():
            (copy / folder.name).mkdir()
            for file in folder.iterdir():
                shutil.copyfile(file, copy / folder.name / file.name)
    assert read(copy) == content(*worker("get", path=written, collection="chunks"))
