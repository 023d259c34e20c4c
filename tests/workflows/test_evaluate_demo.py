"""The demo's own question set against its collection, by the real model."""

import json
import subprocess
import sys

import pytest

import exporter
from exporter.evaluation.metrics import MEASURES
from exporter.workflows.evaluate import write_trec
from scripts.make_questions import make


@pytest.fixture(scope="module")
def asked():
    from pydoc_data.topics import topics

    return make(topics)


def test_the_librarys_own_command(demo_directory, asked, tmp_path):
    """On hundreds of real questions our figures are those of ir-measures' own command on the ranking that we write."""
    assert len(asked) >= 200
    found = exporter.evaluate(demo_directory, asked)
    assert found.warnings == ()
    qrels = write_trec(found, tmp_path / "ours.run")
    command = [sys.executable, "-m", "ir_measures", qrels, tmp_path / "ours.run", *MEASURES.values()]
    done = subprocess.run([*command, "-o", "jsonl", "-p", "6"], capture_output=True, text=True, check=True)
    theirs = {one["measure"]: one["value"] for one in map(json.loads, done.stdout.splitlines())}
    assert {name: found.metrics[name].value for name in MEASURES} == pytest.approx(
        {name: theirs[measure] for name, measure in MEASURES.items()}, abs=1e-6
    )
    assert found.metrics["hit@10"].value > 0.5, "most of these questions are easy"
    assert found.verdicts["found"] + found.verdicts["lost_by_index"] == round(
        found.metrics["hit@10"].value * len(asked)
    )
    kinds = {finding.kind for finding in found.findings}
    assert {"duplicates", "cut_by_model"} <= kinds, "its topics repeat each other's paragraphs, and some are tables"
    assert not kinds & {"wrong_model", "two_models", "unverified_model"}
