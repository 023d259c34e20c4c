"""The page that is handed on: what it holds, and what it refuses."""

import re
from base64 import b64decode, b64encode
from gzip import decompress
from hashlib import sha256
from html import escape

import pytest

from exporter.errors import OutputError, UsageError
from exporter.runs import manifest
from exporter.sharing.page import page
from tests.workflows.test_export import ask
from tests.workflows.test_question_set import ask as ask_a_set


@pytest.fixture
def made(chroma, tmp_path):
    """A run and its manifest."""
    path = ask(chroma, tmp_path).path
    return path, manifest.read(path)


def test_each_file_once(made):
    """What the config names is in the page once, byte for byte, though three tensors share it."""
    run, facts = made
    html = b"".join(page(run, facts, None, "")).decode()
    carried = re.findall(r'class="file" data-name="([^"]+)">([^<]*)<', html)
    names = [name for name, _ in carried]
    assert len(set(names)) == len(names)
    assert sum(name.startswith("assets/metadata-") for name in names) == 1
    for name, content in carried:
        assert decompress(b64decode(content)) == (run / name).read_bytes()


def test_only_our_scripts_may_run(made):
    """The policy names the hash of every script that is to run, and lets no address be reached."""
    run, facts = made
    html = b"".join(page(run, facts, None, "/* opening */")).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert scripts[0] == "/* opening */"
    assert len(scripts) == 3
    for script in scripts:
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src blob:;" in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert "http" not in policy


def test_figures_of_a_question_set(chroma, tmp_path):
    """Of a question set the page has each figure with its interval, the verdicts and the findings."""
    run = ask_a_set(chroma, tmp_path)
    html = b"".join(page(run.path, run.facts, None, "")).decode()
    found = run.facts["evaluation"]
    assert f"{found['questions']} questions of questions: figures" in html
    hit = found["metrics"]["hit@4"]
    row = f'<td>hit@4</td><td class="number">{hit["value"]:.3f}</td><td>{hit["low"]:.3f} to {hit["high"]:.3f}</td>'
    assert row in html
    for kind, count in found["verdicts"].items():
        assert (f'<td>{kind.replace("_", " ")}</td><td class="number">{count}</td>' in html) == bool(count)
    assert len(found["findings"]) > 0
    assert all(f"<p>Finding: {escape(finding['text'])}</p>" in html for finding in found["findings"])


def test_licence_goes_with_it(made):
    """The page says whose Projector it holds, with the licence's text."""
    run, facts = made
    html = b"".join(page(run, facts, None, "")).decode()
    assert "The TensorFlow Authors" in html[:400]
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in html


def test_same_run_same_bytes(made):
    """The same run makes the same page."""
    run, facts = made
    assert page(run, facts, None, "") == page(run, facts, None, "")


def test_too_large(made):
    """A page that browsers would not open is refused, with its size and what to do."""
    run, facts = made
    with pytest.raises(OutputError, match=r"would have 2 MB, browsers open 1: use --map-only, or -o run.zip"):
        page(run, facts, None, "", largest=1_000_000)


def test_no_map(chroma, tmp_path):
    """A run without a map has nothing for --map-only."""
    run = ask(chroma, tmp_path, projection="none")
    with pytest.raises(UsageError, match="has no map"):
        page(run.path, run.facts, None, "", map_only=True)


def test_not_whole(made):
    """A file that is missing is one line."""
    run, facts = made
    next((run / "assets").glob("vectors-*")).unlink()
    with pytest.raises(OutputError, match="is not whole"):
        page(run, facts, None, "")
