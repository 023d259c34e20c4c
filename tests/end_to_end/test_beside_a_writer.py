"""A service goes on with its collection while runs of it are exported."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import exporter
from exporter.runs.verify import read_tensor

WRITER = Path(__file__).parents[1] / "sources" / "writer.py"
EXPORTS, ROWS = 50, 120
IMPATIENT = """
import json, sqlite3, sys, threading, time
database = sqlite3.connect(sys.argv[1], timeout=1, isolation_level=None)
database.execute("PRAGMA synchronous = OFF")
asked = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), asked.set()), daemon=True).start()
print("ready", flush=True)
done, slowest = 0, 0.0
while not asked.is_set():
    start = time.monotonic()
    database.execute("INSERT INTO acquire_write (lock_status) VALUES (1)")
    slowest = max(slowest, time.monotonic() - start)
    done += 1
print(json.dumps([done, slowest]))
"""
"""A writer that gives up when it has waited a second for its lock, where Chroma's own waits a thousand."""


@pytest.fixture
def cpu_locks(monkeypatch):
    """Locks are stated in seconds of this thread's own work: what else the machine does is no fault of the reader."""
    monkeypatch.setattr("exporter.sources.database.clock", time.thread_time)


def test_fifty_exports_beside_a_writer_that_never_rests(tmp_path, cpu_locks):
    """Each run shows one moment: one round of the writer in all rows, texts, vectors and ranks alike; nobody waits. But
    for rounds of which Chroma itself has lost vectors.

    No lock of any export takes 50 ms of work.
    """
    path, vector = tmp_path / "db", tmp_path / "question.json"
    vector.write_text(json.dumps([0.0] * 16))
    arguments = [str(path), str(ROWS), "50", "20"]
    one_thread = {**os.environ, "RAYON_NUM_THREADS": "1"}
    locks, rounds_seen, mixed = [], set(), set()
    with subprocess.Popen(
        [sys.executable, WRITER, *arguments], stdout=subprocess.PIPE, text=True, env=one_thread
    ) as writer:
        assert writer.stdout.readline() == "ready\n"
        for _ in range(EXPORTS):
            run = exporter.export(
                path, question_vector=vector, logdir=tmp_path / "logs", run="run", overwrite=True, projection="none"
            )
            tensor = run.facts["tensors"][0]
            shown = read_tensor(run.path, tensor["file"], tuple(tensor["shape"]))[:-1]
            (moment,) = set(run.points["round"][:-1])
            if (np.round(shown) != moment).any():  # the first byte of the file may have been guarded
                mixed.add(moment)
            assert len(shown) in (ROWS, ROWS - ROWS // 4)
            rounds_seen.add(moment)
            locks.append(run.facts["source"]["longest_lock_ms"])
        writer.wait(timeout=60)
        written = json.loads(writer.stdout.read())
    assert written["rounds"] >= len(rounds_seen) > 1
    assert mixed <= set(written["lost"])
    assert max(locks) < 50


def test_a_writer_with_little_patience_never_loses_it(chroma, tmp_path):
    """One that waits a second for its lock at most writes all through fifty exports, and never fails."""
    path, vector = Path(shutil.copytree(chroma, tmp_path / "db")), tmp_path / "question.json"
    vector.write_text(json.dumps([0.5] * 8))
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, path / "chroma.sqlite3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout.readline() == "ready\n"
        for _ in range(EXPORTS):
            exporter.export(
                path, question_vector=vector, logdir=tmp_path / "logs", run="run", overwrite=True, projection="none"
            )
            assert writer.poll() is None, writer.stderr.read()
        out, err = writer.communicate(timeout=60)
    assert writer.returncode == 0, err
    done, slowest = json.loads(out)
    assert done > EXPORTS
    assert slowest < 1
