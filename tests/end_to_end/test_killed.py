"""SIGKILL at 200 moments of an export over an existing run, with a stock TensorBoard running on it."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import suppress

import numpy as np
import pytest

from exporter.runs.verify import faults
from tests.conftest import collection, write_chroma

MOMENTS = 200
ROWS = 400

EXPORTER = """
import os, sys
import exporter, numpy as np
from pathlib import Path
import exporter.workflows.export, exporter.sources
source, logdir, vector = sys.argv[1:]
from google.protobuf import text_format
import tensorboard.plugins.projector.projector_config_pb2
for line in sys.stdin:  # a fork a line: the libraries are imported once
    child = os.fork()
    if child == 0:
        exporter.export(source, collection=line.strip(), question_vector=vector, logdir=logdir, run="a", overwrite=True,
                        projection="none")
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def get(port, route, **query):
    address = f"http://127.0.0.1:{port}/data/plugin/projector/{route}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read()


def generation_shown(port):
    """What the stock server shows of the run: the generation of its vectors and of its metadata; None when it can't."""
    try:
        (entry,) = json.loads(get(port, "info", run="a"))["embeddings"]
        vectors = np.frombuffer(get(port, "tensor", run="a", name=entry["tensorName"]), "<f4").reshape(-1, 4)
        metadata = get(port, "metadata", run="a", name=entry["tensorName"]).decode().splitlines()
    except OSError:
        return None
    return float(vectors[-2, 3]), float(metadata[-2].split("\t")[metadata[0].split("\t").index("generation")])


def generation_on_disk(logdir):
    names, *rows = (line.split("\t") for line in (logdir / "a" / "metadata.tsv").read_text().splitlines())
    return int(rows[0][names.index("generation")])


@pytest.fixture
def stock(tmp_path):
    """The stock `tensorboard --logdir`, as its users start it, without TensorFlow so that it starts in time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = (
        "import sys, types; sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf');"
        "from tensorboard.main import run_main; run_main()"
    )
    command = [sys.executable, "-c", script, "--logdir", tmp_path / "logs", "--port", str(port), "--host", "127.0.0.1"]
    command += ["--reload_interval", "1", "--load_fast", "false"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(timeout=20)


@pytest.mark.timeout(900)
def test_killed_at_200_moments(tmp_path, stock):
    """After each kill the run is the old or the new one, whole; no server mixes them; the next leaves no litter."""
    generations = []
    for generation in range(4):
        vectors = np.random.default_rng(generation).normal(size=(ROWS, 4))
        vectors[:, 3] = generation
        metadatas = [{"generation": generation}] * ROWS
        generations.append(collection(f"generation-{generation}", vectors=vectors, metadatas=metadatas))
    source = write_chroma(tmp_path / "db", *generations)
    logdir = tmp_path / "logs"
    vector = tmp_path / "q.json"
    vector.write_text("[0, 0, 0, 0]")
    command = [sys.executable, "-c", EXPORTER, source, logdir, vector]
    exporter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(generation):
        exporter.stdin.write(f"generation-{generation}\n")
        exporter.stdin.flush()
        return int(exporter.stdout.readline())

    start(0)
    assert exporter.stdout.readline().strip() == "0"
    chance = random.Random(1)
    killed = replaced = seen = 0
    current = 0
    for moment in range(MOMENTS):
        asked = (current + 1 + moment % 2) % 4
        child = start(asked)
        if moment % 5:  # aimed at the writing and publishing: from the moment that the staging folder is there
            while not any(tmp_path.glob(".logs.staging-*")) and os.path.exists(f"/proc/{child}"):
                time.sleep(0.0005)
            time.sleep(chance.choice([0, 0.002, 0.01, 0.03, 0.06, 0.1]) * chance.random())
        else:
            time.sleep(0.3 * chance.random())
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        killed += int(exporter.stdout.readline()) == signal.SIGKILL
        assert faults(logdir / "a") == []
        now = generation_on_disk(logdir)
        assert now in (current, asked)
        replaced += now != current
        current = now
        assert sorted(path.name for path in logdir.iterdir()) == [".gitignore", "a"]
        shown = generation_shown(stock)
        if shown is not None:
            seen += 1
            assert shown[0] == shown[1], "old vectors with new metadata"
    assert killed > MOMENTS / 2
    assert seen
    start((current + 1) % 4)
    assert exporter.stdout.readline().strip() == "0"
    assert generation_on_disk(logdir) == (current + 1) % 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "logs", "q.json"]
    exporter.stdin.close()
    exporter.wait(timeout=10)
    print(f"{killed} of {MOMENTS} killed, {replaced} replaced, {seen} times seen by the server")
