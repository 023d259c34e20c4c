"""Terminals of all widths and none, readers that leave, locales, homes that can't be written."""

import json
import os
import re
import subprocess
import sys

import pytest

CONTROLS = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\r")


@pytest.fixture
def asked(chroma, vector):
    """An export, quick to make."""
    return ("export", chroma, "--question-vector", vector, "-a", "text 7", "--projection", "none", "--overwrite")


def shown(sent):
    """The lines that stay on a terminal."""
    return [CONTROLS.sub(b"", line).decode() for line in sent.replace(b"\x1b[2K", b"\n").split(b"\n")]


@pytest.mark.parametrize("columns", [8, 40, 59])
def test_narrow_terminals(on_terminal, asked, columns):
    """On a narrow terminal each hit has a line for its place and one for its text; none is wider than the terminal."""
    code, sent = on_terminal(columns, *asked)
    assert code == 0
    lines = shown(sent)
    place = next(number for number, line in enumerate(lines) if line.startswith("#1 "))
    for rank in range(10):
        assert lines[place + 2 * rank].startswith(f"#{rank + 1} ")
        assert lines[place + 2 * rank + 1].startswith("   tex")
    assert max(map(len, lines[place : place + 20])) <= columns
    if columns >= 40:
        assert re.fullmatch(r"#1 \d\.\d{4}( ✓)? doc\d\.md p\. \d+", lines[place])


def test_a_wide_terminal(on_terminal, asked):
    """From 60 columns on there is a table, with the texts in it."""
    code, sent = on_terminal(60, *asked)
    assert code == 0
    lines = shown(sent)
    heading = next(number for number, line in enumerate(lines) if line.startswith("rank  distance"))
    assert all(re.search(r"text \d+", line) for line in lines[heading + 1 : heading + 11])


def test_no_colour(on_terminal, asked):
    """With NO_COLOR a terminal gets no colour; without, it does."""
    colour = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;[0-9;]+)m")
    assert not colour.search(on_terminal(80, *asked, NO_COLOR="1")[1])
    assert colour.search(on_terminal(80, *asked, NO_COLOR=None)[1])


def test_no_terminal(command, asked):
    """Without a terminal nothing that steers one is written, and no bars."""
    done = command(*asked, NO_COLOR=None)
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    assert "reading" not in done.err


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "| true", "| head -1 >/dev/null"])
def test_nobody_reads(chroma, vector, tmp_path, closed):
    """Streams that are closed, and readers that leave, are no error; the run is there."""
    words = [sys.executable, "-m", "exporter", "export", chroma, "--question-vector", vector, "--projection", "none"]
    line = " ".join(f"'{word}'" for word in words) + f" --run a {closed}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "rror" not in done.stderr
    assert (tmp_path / "logs" / "a" / "manifest.json").is_file()


def test_nowhere_to_print(command, asked):
    """A stdout that is full is an error of the output, in one line; a full stderr does not change the exit code."""
    with open("/dev/full", "wb") as full:
        done = command(*asked, stdout=full)
        assert (done.code, done.err.count("\n")) == (7, 1)
        assert "printed" in done.err
        done = command(*asked, "--json", stdout=full)
        assert json.loads(done.err)["exit_code"] == 7
        assert command("export", "nowhere", "-q", "x", stderr=full).code == 3


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}],
    ids=["C", "C, without UTF-8", "latin-1"],
)
def test_locales(command, asked, chroma, tmp_path, locale):
    """In a locale without stars the run is the same, and stars are printed as question marks."""
    assert command(*asked, "--run", "usual").code == 0
    done = command(*asked, "--run", "other", **locale, LANG=None)
    assert done.code == 0, done.err
    assert ("? " if len(locale) == 3 or "PYTHONIOENCODING" in locale else "★ ") in done.out
    usual, other = (tmp_path / "logs" / name / "metadata.tsv" for name in ("usual", "other"))
    assert usual.read_bytes() == other.read_bytes()


def test_a_question_in_a_locale_that_lacks_its_letters(command, chroma, vector):
    """Where Python can't know the letters of an argument, that is said."""
    asked = ("export", chroma, "--question-vector", vector, "-q", "Où ?", "--projection", "none")
    assert command(*asked, LC_ALL="C").code == 0
    done = command(*asked, "--run", "b", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.code == 2
    assert "not valid UTF-8" in done.err


@pytest.mark.parametrize("home", ["/proc/none", None], ids=["not writable", "none"])
def test_no_home(command, chroma, vector, home):
    """Without a home to write in, nothing fails and nobody is told of caches."""
    folders = dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "HF_HOME"))
    done = command("export", chroma, "--question-vector", vector, "--run", "a", HOME=home, **folders)
    assert done.code == 0
    assert done.err == f"run: logs{os.sep}a\nnext: chroma-projector tensorboard\n"
