"""Fill a folder with the files of a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from exporter.records import Float32, Float64
from exporter.runs import dashboards, manifest, projector, tensors
from exporter.runs.metadata import Table
from exporter.runs.sprites import Glyph, atlas, cell_size
from exporter.runs.views import View, bookmarks

TensorFormat = Literal["bytes", "tsv", "checkpoint"]
ASSETS = "assets"
VECTORS = "vectors.tsv"
METADATA = "metadata.tsv"


@dataclass(frozen=True)
class Tensor:
    """What the Projector lists under `name`: (m, d) float32, one row a point, and how it is shown.

    `glyphs`: one a row, or none. `axes` (m, 3): the principal axes, for the `views`. `table`: what its rows are, where
    that is not the run's own metadata. `atlas` and `bookmarks` are their files, where these are there already.
    """

    name: str
    values: Float32
    glyphs: Sequence[Glyph] = ()
    views: Sequence[View] = ()
    axes: Float64 | None = None
    table: Table | None = None
    atlas: bytes = b""
    bookmarks: bytes = b""


@dataclass(frozen=True)
class Contents:
    """What goes into a run: the tensors to show, one of them with all dimensions, called `vectors`; the metadata, what
    the manifest says, and `extras`, ready files by name.

    `flat` (m, 2) is the map on a plane, kept for pictures; `boards` is what the other tabs show.
    """

    tensors: Sequence[Tensor]
    table: Table
    facts: Mapping[str, Any]
    flat: Float32 | None = None
    extras: Mapping[str, bytes] | None = None
    boards: dashboards.Dashboards | None = None


def fill(
    folder: Path,
    contents: Contents,
    *,
    now: float,
    tensor_format: TensorFormat = "bytes",
    vectors_tsv: bool = True,
    mark: str = projector.MARK,
) -> None:
    """Write every file of a run into an empty folder, the events file last, with `mark` in its name.

    Names carry hashes, so that no server can show an old file with a new one: each asset's name 12 hex digits of its
    content's, each tensor's name 4 of all tensors' values, the metadata, glyphs and bookmarks.
    """
    with ThreadPoolExecutor(1) as beside:  # images are compressed while other files are written and hashed
        assets = _Assets(folder, _images(contents.tensors, beside))
        metadata = assets.write("metadata", ".tsv", contents.table.to_tsv())
        assets.link(metadata, METADATA)
        prepared = [_Prepared(tensor, assets, tensor_format, metadata) for tensor in contents.tensors]
    hashed = manifest.digest(str(tensor).encode() for tensor in prepared)
    entries, shown = [], []
    for tensor in prepared:
        name = f"{tensor.name} {hashed[:4]}"
        if tensor.path is None:
            tensors.write_checkpoint(folder, f"vectors-{hashed[:12]}.ckpt", name, tensor.values)
        shape = tensor.values.shape
        entries.append(
            projector.TensorEntry(
                name=name,
                shape=(shape[0], shape[1]),
                path=tensor.path,
                metadata=tensor.metadata,
                bookmarks=tensor.bookmarks,
                sprite=tensor.sprite,
                sprite_cell=cell_size(len(tensor.values)),
            )
        )
        shown.append({"name": name, "kind": tensor.stem, "shape": list(shape), "file": tensor.path})
        if tensor.path and tensor.path.endswith(".tsv") and vectors_tsv:
            assets.link(tensor.path, VECTORS)
    if vectors_tsv and not (folder / VECTORS).exists():
        whole = next(tensor for tensor in contents.tensors if tensor.name.endswith("vectors"))
        assets.write_plain(VECTORS, tensors.to_tsv(whole.values))
    (folder / projector.CONFIG).write_text(projector.config_text(entries), encoding="utf-8")
    for file_name, content in (contents.extras or {}).items():
        (folder / file_name).write_bytes(content)
    flat = None if contents.flat is None else assets.write("flat", ".bytes", tensors.to_bytes(contents.flat))
    columns = {"columns": list(contents.table.names), "renamed": dict(contents.table.renamed)}
    facts = {**contents.facts, "tensors": shown, "flat_map": flat, **columns}
    manifest.write(folder, facts, assets.hashes)
    boards = contents.boards
    shown_elsewhere = () if boards is None else dashboards.events(boards, f"{boards.name} {hashed[:4]}".strip(), now)
    (folder / projector.events_name(now, mark)).write_bytes(projector.events(now, shown_elsewhere))


def _images(shown: Sequence[Tensor], beside: Executor) -> dict[int, Future[bytes]]:
    """The image of each list of glyphs, by the list's id: tensors share it."""
    lists = {id(tensor.glyphs): tensor.glyphs for tensor in shown if tensor.glyphs}
    return {key: beside.submit(atlas, drawn) for key, drawn in lists.items()}


class _Assets:
    """Files of a run, hashed as they are written. `hashes`: sha256 by path relative to the run."""

    def __init__(self, folder: Path, images: Mapping[int, Future[bytes]]) -> None:
        self.folder = folder
        self._images = images
        self.hashes: dict[str, str] = {}
        self._atlases: dict[int, str] = {}
        (folder / ASSETS).mkdir()

    def write(self, stem: str, ending: str, chunks: Iterable[bytes | memoryview]) -> str:
        """An asset under a name with its content's hash; its path."""
        draft = f"{ASSETS}/{stem}{ending}"
        self.write_plain(draft, chunks)
        hashed = self.hashes.pop(draft)
        final = f"{ASSETS}/{stem}-{hashed[:12]}{ending}"
        (self.folder / draft).rename(self.folder / final)
        self.hashes[final] = hashed
        return final

    def write_plain(self, path: str, chunks: Iterable[bytes | memoryview]) -> None:
        """A file under a name of its own."""
        with (self.folder / path).open("wb") as file:
            self.hashes[path] = manifest.digest(_written(file, chunks))

    def link(self, existing: str, path: str) -> None:
        """A second name for one content; a copy where the file system knows no hard links."""
        try:
            os.link(self.folder / existing, self.folder / path)
        except OSError:
            shutil.copyfile(self.folder / existing, self.folder / path)
        self.hashes[path] = self.hashes[existing]

    def sprite(self, drawn: Sequence[Glyph]) -> str:
        """The image of these glyphs; that of one list is written once."""
        if id(drawn) not in self._atlases:
            self._atlases[id(drawn)] = self.write("sprite", ".png", [self._images[id(drawn)].result()])
        return self._atlases[id(drawn)]


class _Prepared:
    """A tensor whose files are written; `path` is None while its values wait for a checkpoint, which holds its name.

    As text it is what the tensor's name has to tell from another: its files' hashes. Pictures are small, and always
    `bytes`.
    """

    def __init__(self, tensor: Tensor, assets: _Assets, tensor_format: TensorFormat, metadata: str) -> None:
        self.name = tensor.name
        self.stem = tensor.name.split()[-1]
        self.values = tensors.padded(tensor.values)
        self.path = self.sprite = self.bookmarks = None
        if self.stem != "vectors" or tensor_format == "bytes":
            self.path = assets.write(self.stem, ".bytes", tensors.to_bytes(self.values))
        elif tensor_format == "tsv":
            self.path = assets.write(self.stem, ".tsv", tensors.to_tsv(self.values))
        self.metadata = metadata
        if tensor.table is not None:
            self.metadata = assets.write(f"metadata-{self.stem}", ".tsv", tensor.table.to_tsv())
        if tensor.glyphs:
            self.sprite = assets.sprite(tensor.glyphs)
        elif tensor.atlas:
            self.sprite = assets.write("sprite", ".png", [tensor.atlas])
        if tensor.views and tensor.axes is not None:
            content = bookmarks(tensor.views, tensor.axes, self.values.shape[1])
            self.bookmarks = assets.write(f"bookmarks-{self.stem}", ".json", [content])
        elif tensor.bookmarks:
            self.bookmarks = assets.write(f"bookmarks-{self.stem}", ".json", [tensor.bookmarks])

    def __str__(self) -> str:
        values = self.path or manifest.digest(tensors.to_bytes(self.values))
        return f"{self.name} {values} {self.metadata} {self.sprite} {self.bookmarks}"


def _written(file: BinaryIO, chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    for chunk in chunks:
        file.write(chunk)
        yield chunk
