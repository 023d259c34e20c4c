"""Collections that nobody expects: names that steer the page, thousands of keys, one huge text, the widest vectors."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from exporter import export, share
from exporter.runs.verify import faults
from tests.conftest import collection, write_chroma

HUGE = 100 * 1024 * 1024

STRANGE_KEYS = [
    "__proto__", "constructor", "__seq_next__", "__next__", "toString", "hasOwnProperty", "label", "text", "id", "rank",
    "a b", "a\tb", "a\nb", " a  b ", "a", "A", "meta_a b", "meta_label", "", "0", "<script>", "é", "e\u0301",
]  # fmt: skip


@pytest.fixture
def vector(tmp_path):
    path = tmp_path / "q.json"
    path.write_text("[1, 0, 0, 0]")
    return path


def columns_of(run):
    lines = (run.path / "metadata.tsv").read_text("utf-8").split("\n")
    return lines[0].split("\t")


def test_keys_that_steer_the_page(tmp_path, vector):
    """Keys that are names to JavaScript or to the Projector, and keys that meet once they are cleaned, are columns with
    names of their own; the manifest says which.
    """
    keys = [key for key in STRANGE_KEYS if key]
    metadatas = [{"source": "a", **{key: f"{number}-{row}" for number, key in enumerate(keys)}} for row in range(6)]
    source = write_chroma(tmp_path / "db", collection(rows=6, dimension=4, metadatas=metadatas))
    run = export(source, question_vector=vector, logdir=tmp_path / "logs", projection="none")
    assert faults(run.path) == []
    names = columns_of(run)
    assert len(set(names)) == len(names)
    assert {"__proto__", "__next__"}.isdisjoint(names)
    assert names.count("__seq_next__") == 1
    for number, key in enumerate(keys):
        shown = run.facts["renamed"].get(key, key)
        assert set(run.points[shown]) == {*(f"{number}-{row}" for row in range(6)), "-"}
    share(run.path, tmp_path / "run.html")


def test_ten_thousand_keys(tmp_path, vector):
    """Ten thousand keys are ten thousand columns, in seconds."""
    metadatas = [{f"key {number}": number for number in range(row * 1000, row * 1000 + 1000)} for row in range(10)]
    source = write_chroma(tmp_path / "db", collection(rows=10, dimension=4, metadatas=metadatas))
    start = time.monotonic()
    run = export(source, question_vector=vector, logdir=tmp_path / "logs", projection="none")
    assert len(columns_of(run)) > 10_000
    assert faults(run.path) == []
    assert time.monotonic() - start < 60


EXPORT = """
import json, resource, sys
import exporter
from exporter.runs.verify import faults
options = json.loads(sys.argv[1])
run = exporter.export(**options)
assert faults(run.path) == []
print(json.dumps([run.questions[0].first_answer_rank, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def in_a_process(**options):
    """The rank of the answer, and the most memory that it took, in kilobytes."""
    done = subprocess.run(
        [sys.executable, "-c", EXPORT, json.dumps(options, default=str)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


HUGE_TEXT = """
import sys
import chromadb
client = chromadb.PersistentClient(sys.argv[1])
made = client.create_collection("chunks", embedding_function=None)
text = "needle " + "straw " * (int(sys.argv[2]) // 6) + "pin"
made.add(ids=["a", "b", "c"], embeddings=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], documents=["x", text, "y"])
client.close()
"""


def test_a_document_of_100_megabytes(tmp_path, vector):
    """A huge text is searched to its end, and cut where it is shown."""
    subprocess.run([sys.executable, "-c", HUGE_TEXT, tmp_path / "db", str(HUGE)], check=True, capture_output=True)
    logdir = tmp_path / "logs"
    rank, most = in_a_process(
        source=tmp_path / "db", question_vector=vector, answer="straw pin", logdir=logdir, projection="none"
    )
    assert rank in (2, 3)
    assert most < 3_000_000
    assert sum(path.stat().st_size for path in logdir.rglob("*") if path.is_file()) < 1_000_000


def test_65536_dimensions(tmp_path):
    """The widest vectors are ranked, laid out and verified."""
    vectors = np.random.default_rng(1).normal(size=(12, 65_536)).astype("f4")
    source = write_chroma(tmp_path / "db", collection(vectors=vectors))
    (tmp_path / "q.json").write_text(json.dumps(vectors[3].tolist()))
    rank, most = in_a_process(
        source=source, question_vector=tmp_path / "q.json", answer="text 3", logdir=tmp_path / "logs"
    )
    assert rank == 1
    assert most < 3_000_000
