"""Coverage-guided fuzzing of what reads a stranger's bytes: `python -m scripts.fuzz TARGET [libFuzzer's options]`.

Needs `pip install atheris`, which has wheels for Linux only; `-max_total_time=60` ends it. The property tests in
tests/hostile try the same doors with input of the right shape; this one finds what no shape leads to.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from exporter.evaluation.question_sets import read_qrels, read_questions
from exporter.runs.verify import faults
from exporter.serving.asking import _read
from exporter.sharing.archive import unpack
from exporter.sources import where
from exporter.sources.hnsw import UNREADABLE
from exporter.sources.id_table import IdTable

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "run"


def questions(content: bytes) -> None:
    """A question set; its first byte chooses the kind."""
    ending = ("json", "jsonl", "csv", "tsv")[content[0] % 4] if content else "json"
    read_questions(f"a.{ending}", content[1:])


def judgements(content: bytes) -> None:
    """Qrels for two questions."""
    read_qrels("qrels", content, read_questions("a.tsv", b"q1\tHow?\nq2\tWhy?\n"))


def filters(content: bytes) -> None:
    """Filters, as `--where` has them."""
    found = json.loads(content.decode("utf-8", "replace"))
    where.parse(found, None)
    where.parse(None, found)


def pickles(content: bytes) -> None:
    """An index's table of ids."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "index_metadata.pickle").write_bytes(content)
        with (Path(place) / "index_metadata.pickle").open("rb", buffering=0) as file, suppress(*UNREADABLE):
            for _ in IdTable(file).batches():
                pass


def archives(content: bytes) -> None:
    """A zip."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "a.zip").write_bytes(content)
        unpack(Path(place) / "a.zip", Path(place) / "out", most_bytes=1_000_000)


def manifests(content: bytes) -> None:
    """A run's manifest, as `verify` reads it."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "manifest.json").write_bytes(content)
        (Path(place) / "projector_config.pbtxt").write_bytes((GOLDEN / "projector_config.pbtxt").read_bytes())
        faults(Path(place))


def requests(content: bytes) -> None:
    """What a page sends."""
    environ = {
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
    }
    _read("ask", environ)


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {one.__name__: one for one in (questions, judgements, filters, pickles, archives, manifests, requests)}
)


def main() -> None:
    """Fuzz one of them until it breaks, or for as long as libFuzzer was told."""
    import atheris

    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\ntargets: {', '.join(TARGETS)}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "exporter"]:
        del sys.modules[name]
    with atheris.instrument_imports(include=["exporter"]):
        again = import_module("scripts.fuzz")  # this one is __main__, and imported the rooms without
    target = again.TARGETS[sys.argv.pop(1)]
    refused = (import_module("exporter.errors").ExporterError, import_module("exporter.serving.asking").Refusal)

    def once(content: bytes) -> None:
        try:
            target(content)
        except refused:
            return
        except (ValueError, RecursionError):
            if target.__name__ != "filters":  # what is no JSON is told before
                raise

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
