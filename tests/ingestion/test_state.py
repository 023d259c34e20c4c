"""What an ingest keeps beside the collection: a lock, and pages that were read."""

import os
import subprocess
import sys

import pytest

from exporter.errors import OutputError
from exporter.ingestion.state import KEPT_FOR, Journal, claim

HOLD = """
import sys
from pathlib import Path
from exporter.ingestion.state import claim
with claim(Path(sys.argv[1]), "db"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time(tmp_path):
    """Another process's claim is told at once; when that process is killed, its claim is gone."""
    command = [sys.executable, "-c", HOLD, tmp_path / "state"]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(OutputError, match="another ingest is writing to db"), claim(tmp_path / "state", "db"):
        pass
    other.kill()
    other.wait()
    with claim(tmp_path / "state", "db"):
        pass
    assert not (tmp_path / "state").exists()


def test_what_is_needed_stays(tmp_path):
    """A claim removes its folder, unless something is kept in it."""
    with claim(tmp_path / "state", "db") as state:
        Journal(state, {"a": 1}).close(finished=False)
    with claim(tmp_path / "state", "db") as state:
        Journal(state, {"a": 1}).close(finished=True)
    assert not (tmp_path / "state").exists()


def test_a_place_that_cannot_be_written(tmp_path):
    """Where no folder can be made is one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"), claim(tmp_path / "file" / "state", "db"):
        pass


def test_a_link_is_not_followed(tmp_path):
    """A folder that somebody has linked to another place is not claimed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to("elsewhere")
    with pytest.raises(OutputError, match="state is a link to another place"), claim(tmp_path / "state", "db"):
        pass
    assert not list((tmp_path / "elsewhere").iterdir())


def test_pages_are_kept(tmp_path):
    """What was kept is there in the next process, in any order; of another request, or after a day, nothing is."""
    pages = {f"http://x/{number}": {"text": f"œ {number}\n"} for number in range(5)}
    journal = Journal(tmp_path, {"urls": ("a",)}, now=1000)
    for url, page in pages.items():
        journal.keep(url, page)
    assert journal.get("http://x/2") == pages["http://x/2"]
    journal.keep("http://x/late", {"text": ""})  # reading does not disturb writing
    journal.close(finished=False)
    again = Journal(tmp_path, {"urls": ("a",)}, now=1000 + KEPT_FOR - 1)
    assert len(again) == 6
    assert {url: again.get(url) for url in reversed(pages)} == pages
    assert again.get("http://x/9") is None
    again.close(finished=False)
    for request, now in (({"urls": ("b",)}, 1000), ({"urls": ("a",)}, 1000 + KEPT_FOR)):
        other = Journal(tmp_path, request, now=now)
        assert len(other) == 0
        other.close(finished=False)


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_line_that_was_cut_short(tmp_path, cut):
    """Wherever a kill cuts the last line, the pages before it are there, and more can be kept."""
    journal = Journal(tmp_path, {})
    journal.keep("http://x/1", {"n": 1})
    journal.keep("http://x/2", {"n": 2})
    journal.close(finished=False)
    (path,) = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - cut)
    again = Journal(tmp_path, {})
    assert (again.get("http://x/1"), again.get("http://x/2")) == ({"n": 1}, None)
    again.keep("http://x/3", {"n": 3})
    again.close(finished=False)
    third = Journal(tmp_path, {})
    assert [third.get(f"http://x/{number}") for number in (1, 2, 3)] == [{"n": 1}, None, {"n": 3}]


def test_a_damaged_journal(tmp_path):
    """A journal that is none is begun anew."""
    head = b'{"request": {}, "started": 1000}\n'
    for content in (
        b"\xff\x00 no journal\n",
        b"5\n",
        b"[" * 100_000 + b"\n",
        head + b"5\n",
        head + b'{"url": 5}\n',
        head + b'{"url": "http://x/"}\n',
    ):
        (tmp_path / "pages.jsonl").write_bytes(content)
        journal = Journal(tmp_path, {}, now=1000.0)
        assert journal.get("http://x/") is None
        journal.keep("http://x/", {"n": 1})
        assert journal.get("http://x/") == {"n": 1}
        journal.close(finished=False)


def test_a_full_disk(tmp_path):
    """A page that can't be kept because the disk is full is an error of the output, and so is a journal."""
    journal = Journal(tmp_path, {})
    journal._stream.close()
    with pytest.raises(OutputError, match=r"pages.jsonl can't be written: No space left"):
        journal._stream = open("/dev/full", "r+b")  # noqa: SIM115
        journal.keep("http://x/", {"text": "x"})
    journal.close(finished=True)
    (tmp_path / "pages.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"pages.jsonl can't be written"):
        Journal(tmp_path, {})
