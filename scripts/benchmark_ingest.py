"""How fast an ingest is against a bare model, and how much memory it takes: `python -m scripts.benchmark_ingest`.

Speed: Python's language reference as files, all-MiniLM-L6-v2 on the CPU. In turn, a few times, the model encodes all
chunks in one call, and an ingest reads, cuts, embeds and stores them. The model is loaded beforehand for both.
Memory: made-up rows of a CSV and a model that costs nothing, in processes of their own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

import exporter
from exporter.embedding.encoders import MINILM, SentenceTransformerEncoder, load_sentence_transformer
from exporter.ingestion import Text
from exporter.ingestion.files import read_files
from exporter.ingestion.split import Cutting
from exporter.records import Float32

ROUNDS = 3
ROWS = (10_000, 40_000)
DIMENSION = 384


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        speed(Path(folder))
    for rows in ROWS:
        command = [sys.executable, "-m", "scripts.benchmark_ingest", str(rows)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def speed(folder: Path) -> None:
    """An ingest against a bare encode of the same chunks."""
    from pydoc_data.topics import topics

    (folder / "docs").mkdir()
    for name, text in topics.items():
        (folder / "docs" / f"{name}.txt").write_text(text)
    encoder = load_sentence_transformer(MINILM, device="cpu")
    cutting = Cutting(1000, 100)
    chunks = [
        chunk.text
        for one in read_files([folder / "docs"])
        if isinstance(one, Text)
        for chunk in cutting.cut(one.source, one.documents)
    ]
    encoder.embed_documents(chunks[:64])
    ratios, shares = [], []
    for number in range(ROUNDS):
        bare = timed(lambda: encoder.embed_documents(chunks))
        model = Watched(encoder)
        whole = timed(partial(exporter.ingest, folder / f"db{number}", files=folder / "docs", model=model))
        ratios.append(bare / whole)
        shares.append(model.seconds / whole)
        print(
            f"{len(chunks):,} chunks: bare {len(chunks) / bare:.1f}/s, ingest {len(chunks) / whole:.1f}/s", flush=True
        )
    for name, found in (("ingest against bare", ratios), ("the model's share of the ingest's time", shares)):
        print(f"{name}: {statistics.median(found):.2f} ({', '.join(f'{one:.2f}' for one in found)})", flush=True)


def timed(call: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Watched:
    """A model, and how long it has computed: a busy machine slows that and the rest of an ingest alike."""

    def __init__(self, encoder: SentenceTransformerEncoder) -> None:
        self._encoder, self.seconds = encoder, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)

    def embed_documents(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """(n, d)."""
        start = time.perf_counter()
        found: Sequence[Sequence[float]] = self._encoder.embed_documents(texts)
        self.seconds += time.perf_counter() - start
        return found

    def embed_query(self, text: str) -> Sequence[float]:
        """(d,)."""
        found: Sequence[float] = self._encoder.embed_query(text)
        return found


class Cheap:
    """Random vectors: an `Embeddings` that takes no time."""

    def embed_documents(self, texts: Sequence[str]) -> Float32:
        """(n, 384)."""
        return np.random.default_rng(len(texts)).normal(size=(len(texts), DIMENSION)).astype(np.float32)

    def embed_query(self, text: str) -> Float32:
        """(384,)."""
        vector: Float32 = self.embed_documents([text])[0]
        return vector


def memory(rows: int) -> None:
    """The peak of this process in an ingest of so many rows. Linux only."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.csv"
        with table.open("w") as stream:
            stream.write("text\n")
            for row in range(rows):
                stream.write(f"row {row} " + "says what a chunk of eight hundred characters says " * 16 + "\n")
        start = time.perf_counter()
        done = exporter.ingest(Path(folder) / "db", files=table, model=Cheap())
        taken = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's, too
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(f"{done.added:,} rows with a model that costs nothing: {done.added / taken:,.0f}/s, peak {peak:,.0f} MB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        memory(int(sys.argv[1]))
    else:
        main()
