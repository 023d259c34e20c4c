"""A service goes on with its collection while runs of it are exported."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

import exporter
from exporter.runs.verify import read_tensor

WRITER = Path(__file__).parents[1] / "sources" / "writer.py"
EXPORTS, ROWS = 50, 120


def test_fifty_exports_beside_a_writer_that_never_rests(tmp_path):
    """Each run shows one moment: one round of the writer in all rows, texts, vectors and ranks alike; nobody waits."""
    path, vector = tmp_path / "db", tmp_path / "question.json"
    vector.write_text(json.dumps([0.0] * 16))
    arguments = [str(path), str(ROWS), "50", "20"]
    one_thread = {**os.environ, "RAYON_NUM_THREADS": "1"}
    locks, rounds_seen = [], set()
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
            (moment,) = set(np.round(shown).ravel().tolist())
            assert set(run.points["round"][:-1]) == {moment}
            assert len(shown) in (ROWS, ROWS - ROWS // 4)
            rounds_seen.add(moment)
            lock = run.facts["source"]["longest_lock_ms"]
            locks += [] if lock is None else [lock]  # None: a copy was read
        writer.wait(timeout=60)
        assert json.loads(writer.stdout.read())["rounds"] >= len(rounds_seen) > 1
    assert statistics.median(locks) < 50
