"""What an ingest shows on a terminal while it works: a bar for pages and one for chunks, with their rates."""

import os
import re
import subprocess
import sys

from tests.ingestion.site import words

SLOW = """
import time
from tests.ingestion.little_model import LittleModel

class Slow(LittleModel):
    def embed_documents(self, texts):
        time.sleep(0.2)
        return super().embed_documents(texts)
"""


def test_two_bars(tmp_path):
    """Both bars stand together, count to the end, tell a rate, and are gone when it is done; stdout has the result."""
    (tmp_path / "docs").mkdir()
    for number in range(6):
        (tmp_path / "docs" / f"{number}.txt").write_text(
            "\n\n".join(words(number * 1000 + part, 9) for part in range(150))
        )
    (tmp_path / "own.py").write_text(SLOW)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "exporter", "ingest", "db", "--files", "docs", "--chunk-size", "100"]
    command += ["--model", "own:Slow", "--chunk-overlap", "0"]
    settings = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.getcwd()}
    done = subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # the terminal's other end is closed
        pass
    os.close(ours)
    out = done.stdout.read()
    assert done.wait() == 0
    chunks = int(re.match(r"langchain: ([\d,]+) chunks of 6 pages", out)[1].replace(",", ""))
    assert chunks >= 900
    frames = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")
    told = {name: re.findall(rf" {name} .* (\d+)/\? .*\d/s", frames) for name in ("pages", "chunks")}
    assert int(told["pages"][-1]) == 6
    counted = [int(count) for count in told["chunks"]]
    assert counted == sorted(counted)
    assert counted[-1] == chunks
    assert "Traceback" not in frames
