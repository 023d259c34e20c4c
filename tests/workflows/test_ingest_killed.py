"""SIGKILL at twenty moments of an ingest: the next run completes the collection, and no chunk is there twice."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest

from exporter.sources.directory import Directory
from tests.ingestion.little_model import LittleModel
from tests.ingestion.site import Site, page, serve

MOMENTS = 20
PAGES, PARAGRAPHS = 30, 1200

INGEST = """
import os, sys
import exporter.ingestion.store, exporter.workflows.ingest, exporter.sources.directory
import bs4, chromadb, httpx, langchain_text_splitters, lxml, protego, trafilatura
from tests.ingestion.little_model import LittleModel
url, files = sys.argv[1:]
for line in sys.stdin:  # a fork a line: the libraries are imported once
    child = os.fork()
    if child == 0:
        exporter.ingest(line.strip(), url=url, files=files, model=LittleModel(), chunk_size=100, chunk_overlap=0,
                        allow_private=True, rate=0, prune=True)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def paragraph(generation, number):
    """One chunk: of 100 characters it fills more than half."""
    return f"Generation {generation:02} tells in paragraph {number:04} of word{generation * 10_000 + number:06}."


def change(site, folder, generation):
    """Two thirds of all pages and paragraphs become others, the rest stays as it is; gives every text."""
    kept = [number % 3 == 0 for number in range(max(PAGES, PARAGRAPHS))]
    texts = [paragraph(0 if kept[number] else generation, number) for number in range(PARAGRAPHS)]
    for part in range(4):
        (folder / f"{part}.txt").write_text("\n\n".join(texts[part::4]))
    site.routes["/"] = page("Home", paragraph(0, 9999), *(f"/p{number}" for number in range(PAGES)))
    for number in range(PAGES):
        site.routes[f"/p{number}"] = page("Page", paragraph(0 if kept[number] else generation, 5000 + number))
    return texts


def read(directory):
    """Every row: source, text, vector."""
    source = Directory(directory)
    found = []

    def use(rows):
        for batch in rows.batches(texts=True, metadatas=True):
            places = [metadata["source"] for metadata in batch.metadatas]
            found.extend(zip(batch.ids, places, batch.texts, batch.vectors, strict=True))

    source.read(source.collections()[0], use)
    return found


@pytest.mark.timeout(900)
def test_killed_at_twenty_moments(tmp_path):
    """New chunks are added and old ones removed, killed anywhere; after the next run all is there, once, and right."""
    folder, directory = tmp_path / "docs", tmp_path / "db-0"
    folder.mkdir()
    chance = random.Random(7)
    killed = 0
    with serve(Site()) as site:
        command = [sys.executable, "-c", INGEST, site.base, folder]
        ingest = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def start():
            ingest.stdin.write(f"{directory}\n")
            ingest.stdin.flush()
            return int(ingest.stdout.readline())

        def ended():
            return int(ingest.stdout.readline())

        texts = change(site, folder, 0)
        begun = time.monotonic()
        start()
        assert ended() == 0
        whole = time.monotonic() - begun
        for moment in range(1, 3 * MOMENTS):
            texts = change(site, folder, moment)
            directory = tmp_path / f"db-{moment // 5}"  # now and then a new one
            child = start()
            time.sleep(whole * chance.random())
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            if ended() == signal.SIGKILL:
                killed += 1
            else:
                whole *= 0.8  # it is faster than it was at first
            start()
            assert ended() == 0
            rows = read(directory)
            stored = [text for _, source, text, _ in rows if not source.startswith("http")]
            assert sorted(stored) == sorted(texts)
            pages = [source for _, source, text, _ in rows if source.startswith("http") and "tells" in text]
            assert sorted(pages) == sorted(f"{site.base}/{path}" for path in ["", *(f"p{n}" for n in range(PAGES))])
            assert sum(f"Generation {moment:02}" in text for _, _, text, _ in rows) == 2 * (PAGES + PARAGRAPHS) // 3
            vectors = LittleModel().embed_documents([text for _, _, text, _ in rows])
            np.testing.assert_allclose([vector for *_, vector in rows], vectors, atol=1e-6)
            assert len({(source, text) for _, source, text, _ in rows}) == len(rows)
            assert not (directory / ".ingest").exists()
            if killed == MOMENTS:
                break
        ingest.stdin.close()
        ingest.wait(timeout=30)
    assert killed == MOMENTS
    print(f"{killed} killed in {moment} ingests of {whole:.1f} s")
