"""Is a run whole, unchanged, and free of what makes the Projector fail? Every fault in words."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson

from exporter.records import Float32
from exporter.runs import manifest, notf, projector
from exporter.runs.folder import ASSETS, METADATA, VECTORS
from exporter.runs.metadata import LINES, MISSING_TEXT, read_as_the_page_does
from exporter.runs.redaction import ANONYMOUS, GONE, redaction_faults
from exporter.runs.sprites import LARGEST_ATLAS
from exporter.runs.tensors import read_checkpoint, run_module
from exporter.runs.views import PLACES

ROWS_SHOWN = 100_000
"""The page asks for the first 100,000 rows and no more."""
ROWS_AT_ONCE = 10_000
MADE_FOR_PARQUET = ("x", "y", "z", "flat_x", "flat_y", "vector")
"""Columns of points.parquet that metadata.tsv has not; the collection's own key of such a name is `meta_` and it."""
REQUIRED_COLUMNS = ("label", "source", "page", "distance", "contains_answer", "is_question")
REQUIRED_FIELDS = (
    "selectedProjection", "projections", "pcaComponentDimensions", "tSNEIteration", "tSNEPerplexity",
    "tSNELearningRate", "customXLeftText", "customXRightText", "customYUpText", "customYDownText", "selectedPoints",
)  # fmt: skip
"""Of a bookmark: without one of them the page stops at a click on it, half-way (projections-panel.ts:251-313)."""


def faults(run: Path) -> list[str]:
    """Everything wrong with a run; empty when it is whole. Raises OutputError when the folder is no run at all."""
    facts = manifest.read(run)
    with manifest.understood(run):
        return [*_changed_files(run, facts), *_still_told(run, facts), *structural_faults(run)]


def structural_faults(run: Path, mark: str = projector.MARK) -> list[str]:
    """What would break the page or the server, whatever the hashes say: for a run about to be published.

    `mark`: what its events file bears in its name.
    """
    found = list(_unlisted(run, mark))
    try:
        config = projector.read_config(run)
    except Exception as error:  # text_format raises what it likes on a text that is no config
        return [*found, f"{projector.CONFIG} can't be read ({error}): every run of the log directory would fail"]
    if not config.embeddings:
        return [*found, f"{projector.CONFIG} names no tensor"]
    if config.model_checkpoint_path:
        found.append("the config names a checkpoint by its path, which TensorBoard reads from where it was started")
    names = [embedding.tensor_name for embedding in config.embeddings]
    found += [f"two tensors are called {name!r}" for name in sorted({name for name in names if names.count(name) > 1})]
    of_metadata = cache(lambda path, rows: list(_metadata_faults(run, path, rows)))  # the tensors of a run share it
    for embedding in config.embeddings:
        found += [f"tensor {embedding.tensor_name!r}: {fault}" for fault in _tensor_faults(run, embedding, of_metadata)]
    return found or list(_refused_by_tensorboard(run, config))


def read_tensor(run: Path, path: str, shape: tuple[int, int]) -> Float32:
    """A tensor of a run from its file, (rows, dimension) float32.

    Raises ValueError when it has another shape, or lies outside the run.
    """
    if not manifest.is_inside(run, run / path):
        raise ValueError(f"{path} lies outside the run")
    if path.endswith(".tsv"):
        return np.loadtxt(run / path, dtype=np.float32, delimiter="\t", ndmin=2)
    return np.fromfile(run / path, "<f4").reshape(shape)


def read_shown(run: Path, told: Mapping[str, Any]) -> Float32:
    """A tensor that a manifest tells of, from its file, from vectors.tsv, or else from the run's checkpoint.

    Raises ValueError when it has another shape, OSError when it is nowhere, OutputError when a checkpoint can't be
    read here.
    """
    path, shape = told["file"] or VECTORS, (told["shape"][0], told["shape"][1])
    if told["file"] or (run / VECTORS).is_file() or not (run / projector.CHECKPOINT).is_file():
        return read_tensor(run, path, shape)
    return read_checkpoint(run, told["name"]).reshape(shape)


def _changed_files(run: Path, facts: Mapping[str, Any]) -> Iterator[str]:
    recorded = facts["files"]
    try:
        sizes = {name: (run / name).stat().st_size for name in recorded if (run / name).is_file()}
        other = {name: "of another size" for name, size in sizes.items() if size != recorded[name]["size"]}
        found = manifest.file_records(run, other)  # a file that is only said to be long is not read to its end
    except OSError as error:
        yield f"{error.filename} can't be read: {error.strerror}"
        return
    there = {record["sha256"] for record in found.values()}  # a zip that was unpacked by hand has each content once
    for name in sorted(recorded.keys() - found.keys()):
        if recorded[name]["sha256"] not in there:
            yield f"{name} is missing"
    for name in sorted(found.keys() - recorded.keys()):
        if not Path(name).name.startswith("."):
            yield f"{name} is no part of the run: the manifest does not list it"
    for name in sorted(recorded.keys() & found.keys()):
        if found[name]["size"] != recorded[name]["size"]:
            yield f"{name} has {found[name]['size']:,} bytes, the manifest says {recorded[name]['size']:,}"
        elif found[name]["sha256"] != recorded[name]["sha256"]:
            yield f"{name} was changed: its sha256 is not the manifest's"


def _still_told(run: Path, facts: Mapping[str, Any]) -> Iterator[str]:
    """What a redacted run holds all the same, in any of its tables."""
    if "redacted" not in facts:
        return
    for path in sorted(run.glob("*.parquet")):
        yield from _still_in_parquet(path, facts["redacted"])
    for path in [run / METADATA, *sorted(run.glob(f"{ASSETS}/metadata-*.tsv"))]:
        try:
            with path.open(encoding="utf-8") as file:
                names, lines = read_as_the_page_does(file)
                for fault in redaction_faults(facts["redacted"], names, list(lines)):
                    yield f"{path.relative_to(run).as_posix()}: {fault}"
        except (OSError, ValueError, KeyError, IndexError):
            continue  # what is missing or no table is told elsewhere
    hits = [hit for question in facts["questions"] for key in ("hits", "returned") for hit in question.get(key, ())]
    if facts["redacted"].get("text") and any(hit["text"] for hit in hits):
        yield f"{manifest.MANIFEST} holds texts, which were taken out"
    if facts["redacted"].get("ids") and not all(ANONYMOUS.fullmatch(hit["id"]) for hit in hits):
        yield f"{manifest.MANIFEST} holds ids, which were taken out"
    answers = [answer for question in facts["questions"] for answer in question.get("answers", ())]
    if facts["redacted"].get("text") and any(answer != GONE for answer in answers):
        yield f"{manifest.MANIFEST} holds answers, which were taken out with the texts"


def _still_in_parquet(path: Path, record: Any) -> Iterator[str]:
    """The same of points.parquet, whose empty cells are none at all."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        yield f"{path.name} can't be looked into without pyarrow: pip install pyarrow, then verify again"
        return
    try:
        with ParquetFile(path) as file:
            stored = [name for name in file.schema_arrow.names if name not in MADE_FOR_PARQUET]
            cells = file.read(stored).to_pydict()
        columns = [[MISSING_TEXT if cell is None else str(cell) for cell in cells[name]] for name in stored]
        names = [_own_name(name) for name in stored]
        for fault in redaction_faults(record, names, list(zip(*columns, strict=True))):
            yield f"{path.name}: {fault}"
    except (OSError, KeyError, ArrowException) as error:
        yield f"{path.name} can't be read: {error}"


def _own_name(column: str) -> str:
    """What metadata.tsv calls a column of points.parquet."""
    bare = column.removeprefix("meta_")
    return bare if bare in MADE_FOR_PARQUET else column


def _unlisted(run: Path, mark: str) -> Iterator[str]:
    """What keeps TensorBoard from listing the run, or the page from asking for it."""
    events = [path for path in run.iterdir() if mark in path.name]
    if not events:
        yield "there is no events file, so TensorBoard does not list the run"
    elif not any(projector.holds_event(path) for path in events):
        yield "its events file holds no event, so TensorBoard may not list the run"
    if not re.fullmatch(r"[A-Za-z0-9._ -]+", run.resolve().name):
        yield f"the name {run.resolve().name!r} breaks the page's addresses: letters, digits, '.', '_', '-' and spaces"


def _tensor_faults(run: Path, embedding: Any, of_metadata: Callable[[str, int], Sequence[str]]) -> Iterator[str]:
    name, shape = embedding.tensor_name, tuple(embedding.tensor_shape)
    if not name or any(character in name for character in "&#%+?") or name.endswith(":0"):
        yield "its name breaks the page's addresses"
    if len(shape) != 2:
        yield f"its shape {shape} is not rows and columns"
        return
    rows, dimension = shape
    if rows < 2 or dimension < 3:
        yield f"with {rows} rows and {dimension} columns the page shows nothing: it takes 2 and 3"
    if rows > ROWS_SHOWN:
        yield f"it has {rows:,} rows, the page loads the first {ROWS_SHOWN:,}"
    if embedding.tensor_path:
        yield from _values_faults(run, embedding.tensor_path, (rows, dimension))
    elif not (run / projector.CHECKPOINT).is_file():
        yield "it has no file, and the run no checkpoint"
    yield from of_metadata(embedding.metadata_path, rows)
    if embedding.HasField("sprite"):
        yield from _sprite_faults(run, embedding.sprite, rows)
    if embedding.bookmarks_path:
        yield from _bookmark_faults(run, embedding.bookmarks_path, rows)


def _values_faults(run: Path, path: str, shape: tuple[int, int]) -> Iterator[str]:
    if not manifest.is_inside(run, run / path):
        yield f"{path} lies outside the run, so TensorBoard refuses it"
        return
    blocks = _text_blocks(run / path) if path.endswith(".tsv") else _binary_blocks(run / path, shape[1])
    rows, finite = 0, True
    try:
        for block in blocks:
            if block.shape[1] != shape[1]:
                raise ValueError
            rows += len(block)
            finite &= bool(np.isfinite(block).all())
    except FileNotFoundError:
        yield f"{path} is missing"
        return
    except ValueError:
        rows = -1
    if rows != shape[0]:
        yield f"{path} does not hold {shape[0]:,} x {shape[1]:,} numbers"
    elif not finite:
        yield f"{path} holds NaN or infinity, so the page shows no picture"


def _binary_blocks(path: Path, dimension: int) -> Iterator[Float32]:
    with path.open("rb") as file:
        while len(block := np.fromfile(file, "<f4", ROWS_AT_ONCE * dimension)):
            yield block.reshape(-1, dimension)


def _text_blocks(path: Path) -> Iterator[Float32]:
    with path.open() as file:
        while lines := list(islice(file, ROWS_AT_ONCE)):
            yield np.loadtxt(lines, dtype=np.float32, delimiter="\t", ndmin=2)


def _metadata_faults(run: Path, path: str, rows: int) -> Iterator[str]:
    if not path or not manifest.is_inside(run, run / path):
        yield f"its metadata {path!r} is no file of the run"
        return
    try:
        names, lines, joined, uneven, empty = _look_through(run / path)
    except FileNotFoundError:
        yield f"{path} is missing"
        return
    except UnicodeDecodeError:
        yield f"{path} is not UTF-8"
        return
    if lines != rows:
        yield f"{path} has {lines:,} lines for {rows:,} rows"
    if names[:1] != ["label"]:
        yield f"{path} does not begin with the column label, so the page labels points by another"
    for broken in sorted({"__proto__", "__next__"} & set(names)):
        yield f"{path} has a column {broken}, which breaks the page"
    if len(set(names)) != len(names):
        yield f"{path} has two columns of one name"
    for missing in (name for name in REQUIRED_COLUMNS if name not in names):
        yield f"{path} lacks the column {missing}"
    if uneven:
        yield f"{path} has lines of other lengths than its header"
    elif empty:
        yield f"{path} has empty cells, which break the page's search"
    yield from _line_faults(path, joined)


def _look_through(path: Path) -> tuple[list[str], int, list[str], bool, bool]:
    """Columns, how many lines, the cells of LINES, and whether a line has another length, or an empty cell."""
    count, joined, uneven, empty = 0, [], False, False
    with path.open(encoding="utf-8") as file:
        names, lines = read_as_the_page_does(file)
        at = names.index(LINES) if LINES in names else None
        for line in lines:
            count += 1
            if len(line) != len(names):
                uneven = True
                continue
            if at is not None:
                joined.append(line[at])
            empty = empty or "" in (line[:-1] if at == len(names) - 1 else line)
    return names, count, joined, uneven, empty


def _line_faults(path: str, joined: list[str]) -> Iterator[str]:
    """A circle hangs the page for ever; ours are fans: what is joined to a row, which is joined to none."""
    targets = {cell for cell in joined if cell}
    if any(not cell.isdecimal() or int(cell) >= len(joined) for cell in targets):
        yield f"{path} joins points to rows that don't exist"
    elif any(joined[int(cell)] for cell in targets):
        yield f"{path} joins points in chains, which may be circles and hang the page"


def _sprite_faults(run: Path, sprite: Any, rows: int) -> Iterator[str]:
    from PIL import Image

    path, cell = sprite.image_path, tuple(sprite.single_image_dim)
    if not path or not manifest.is_inside(run, run / path) or not (run / path).is_file():
        yield f"its sprite {path!r} is no file of the run, so the page would wait for ever"
        return
    try:
        with Image.open(run / path) as image:
            width, height = image.size
    except (OSError, Image.DecompressionBombError):
        yield f"{path} is no image"
        return
    side = math.ceil(math.sqrt(rows))
    if len(cell) != 2 or (width, height) != (side * cell[0], side * cell[1]):
        yield f"{path} has {width} x {height} pixels, not {side} cells each way: glyphs would stand on wrong points"
    elif max(width, height) > LARGEST_ATLAS:
        yield f"{path} has {width} x {height} pixels, the page takes {LARGEST_ATLAS} each way"


def _bookmark_faults(run: Path, path: str, rows: int) -> Iterator[str]:
    if not manifest.is_inside(run, run / path) or not (run / path).is_file():
        yield f"its bookmarks {path!r} are no file of the run"
        return
    try:
        states = orjson.loads((run / path).read_bytes())
        lengths = {len(state["projections"]) for state in states}
        missing = {field for state in states for field in REQUIRED_FIELDS if field not in state}
        selected = [row for state in states for row in state["selectedPoints"]]
        places = {type(entry[key]) for state in states for entry in state["projections"] for key in PLACES}
        shown = {state["selectedProjection"] for state in states}
    except (ValueError, TypeError, KeyError):
        yield f"{path} holds no bookmarks"
        return
    if shown - {"umap"}:
        yield f"{path} shows {', '.join(sorted(shown))}: t-SNE moves its points away at once, only umap stays"
    if places - {float, int}:
        yield f"{path} has points without a place"
    if missing:
        yield f"{path} lacks {', '.join(sorted(missing))}, so a click would stop half-way"
    if lengths - {rows}:
        yield f"{path} places {max(lengths)} points, there are {rows}"
    if any(not isinstance(row, int) or not 0 <= row < rows for row in selected):
        yield f"{path} selects points that don't exist"


def _refused_by_tensorboard(run: Path, config: Any) -> Iterator[str]:
    """What TensorBoard's own plugin says of the run; in a process of its own where that takes TensorFlow."""
    if all(embedding.tensor_path for embedding in config.embeddings):
        notf.without_tensorflow()
        try:
            load_in_tensorboard(run)
        except Exception as error:  # whatever it raises would reach the user's page
            yield f"TensorBoard can't load the run: {error}"
        return
    if (failed := run_module(__name__, str(run))) is not None:
        yield f"TensorBoard can't load the run: {failed}"


def load_in_tensorboard(run: Path) -> None:
    """Have TensorBoard's plugin read a run; raises what it raises, and ValueError when a tensor is not to be had."""
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
    from werkzeug.test import Client

    provider = SimpleNamespace(list_runs=lambda *_, **__: [SimpleNamespace(run_name=run.name)])
    plugin = ProjectorPlugin(TBContext(logdir=str(run.parent), data_provider=provider))
    apps = plugin.get_plugin_apps()
    for embedding in projector.read_config(run).embeddings:
        for route in ("/tensor", "/metadata"):
            asked = {"run": run.name, "name": embedding.tensor_name, "num_rows": "2"}  # all are read, two are sent
            answer = Client(apps[route]).get("/", query_string=asked)
            if answer.status_code != 200:
                raise ValueError(f"{route} of {embedding.tensor_name}: {answer.get_data(as_text=True)[:200]}")


if __name__ == "__main__":
    load_in_tensorboard(Path(sys.argv[1]))
