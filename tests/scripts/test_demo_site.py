"""`make demo-site`: a folder with a website becomes a collection and a run; without the package it says what to do."""

import pytest

from exporter.workflows.run import open_run
from scripts import demo_site
from tests.ingestion.site import page

ANSWER = "Default values are evaluated only once, when the function is defined, so a list in them is shared by calls."


@pytest.fixture
def website(tmp_path, monkeypatch):
    """A tutorial and questions and answers, installed as Debian's package would be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo_site, "INSTALLED", str(tmp_path / "doc"))
    html = tmp_path / "doc" / "python3.99" / "html"
    for path, content in {
        "tutorial/index.html": page("Tutorial", "Where to begin with Python.", "functions.html", "../index.html"),
        "tutorial/functions.html": page("Functions", ANSWER),
        "faq/index.html": page("Questions", "What people ask about modules and threads.", "gui.html"),
        "faq/gui.html": page("Windows", "Which toolkits there are for windows and buttons."),
        "index.html": page("All", "The way to everything."),
    }.items():
        (html / path).parent.mkdir(parents=True, exist_ok=True)
        (html / path).write_text(content)
    return html


def test_from_the_website_to_the_run(website, capsys):
    """The two parts are read and nothing else, the question finds its answer, and the run is there."""
    assert demo_site.find_site() == website
    assert demo_site.main("logs", website, port=0) == 0
    told = capsys.readouterr()
    assert told.out.startswith("python-docs: 4 chunks of 4 pages: 4 added, 0 unchanged\n")
    run = open_run("logs/demo-site")
    assert run.questions[0].first_answer_rank == 1
    assert run.questions[0].hits[0].source.endswith("/tutorial/functions.html")
    assert run.warnings == []


def test_without_the_package(tmp_path, monkeypatch, capsys):
    """Where the package is not installed, one line says how to install it, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo_site, "INSTALLED", str(tmp_path / "doc"))
    assert demo_site.main("logs", demo_site.find_site()) == 3
    assert "apt-get install python3-doc" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
