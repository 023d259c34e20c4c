"""Fill a folder with the files of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from exporter.records import Float32, Float64
from exporter.runs import manifest, projector, tensors
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

    `glyphs`: one a row, or none. `axes` (m, 3): the principal axes, for the `views`.
    """

    name: str
    values: Float32
    glyphs: Sequence[Glyph] = ()
    views: Sequence[View] = ()
    axes: Float64 | None = None


@dataclass(frozen=True)
class Contents:
    """What goes into a run: the vectors (m, d) as they are, the tensors to show, one of them with all dimensions, the
    metadata, what the manifest says, and `extras`, ready files by name.

    `flat` (m, 2) is the map on a plane, kept for pictures.
    """

    vectors: Float32
    tensors: Sequence[Tensor]
    table: Table
    facts: Mapping[str, Any]
    flat: Float32 | None = None
    extras: Mapping[str, bytes] | None = None


def fill(
    folder: Path, contents: Contents, *, now: float, tensor_format: TensorFormat = "bytes", vectors_tsv: bool = True
) -> None:
    """Write every file of a run into an empty folder, the events file last.

    Names carry hashes, so that no server can show an old file with a new one: each asset's name 12 hex digits of its
    content's, each tensor's name 4 of all tensors' values, the metadata, glyphs and bookmarks.
    """
    (folder / ASSETS).mkdir()
    metadata = contents.table.to_tsv()
    atlases: dict[int, bytes] = {}
    every = [_Prepared(tensor, atlases) for tensor in contents.tensors]
    hashed = manifest.digest([metadata, *(part for tensor in every for part in tensor.parts())])
    metadata_path = _asset(folder, "metadata", ".tsv", [metadata])
    _link(folder / metadata_path, folder / METADATA)
    entries, shown = [], []
    for tensor in every:
        name = f"{tensor.name} {hashed[:4]}"
        path = _write_values(folder, tensor, name, hashed, tensor_format)
        entries.append(
            projector.TensorEntry(
                name=name,
                shape=(len(tensor.values), tensor.values.shape[1]),
                path=path,
                metadata=metadata_path,
                bookmarks=_optional_asset(folder, f"bookmarks-{tensor.stem}", ".json", tensor.bookmarks),
                sprite=_optional_asset(folder, "sprite", ".png", tensor.sprite),
                sprite_cell=cell_size(len(tensor.values)),
            )
        )
        shown.append({"name": name, "kind": tensor.stem, "shape": list(tensor.values.shape), "file": path})
        if path and path.endswith(".tsv") and vectors_tsv:
            _link(folder / path, folder / VECTORS)
    if vectors_tsv and not (folder / VECTORS).exists():
        with (folder / VECTORS).open("wb") as file:
            file.writelines(tensors.to_tsv(contents.vectors))
    (folder / projector.CONFIG).write_text(projector.config_text(entries), encoding="utf-8")
    for file_name, content in (contents.extras or {}).items():
        (folder / file_name).write_bytes(content)
    flat = None if contents.flat is None else _asset(folder, "flat", ".bytes", [tensors.to_bytes(contents.flat)])
    columns = {"columns": list(contents.table.names), "renamed": dict(contents.table.renamed)}
    manifest.write(folder, {**contents.facts, "tensors": shown, "flat_map": flat, **columns})
    (folder / projector.events_name(now)).write_bytes(projector.events(now))


class _Prepared:
    """A tensor's files, as bytes: all of them go into the hash that its name bears."""

    def __init__(self, tensor: Tensor, atlases: dict[int, bytes]) -> None:
        self.name = tensor.name
        self.stem = tensor.name.split()[-1]
        self.values = tensors.padded(tensor.values)
        self.sprite = None
        if tensor.glyphs:  # the same list of glyphs is drawn once
            if id(tensor.glyphs) not in atlases:
                atlases[id(tensor.glyphs)] = atlas(tensor.glyphs)
            self.sprite = atlases[id(tensor.glyphs)]
        self.bookmarks = None
        if tensor.views and tensor.axes is not None:
            self.bookmarks = bookmarks(tensor.views, tensor.axes, self.values.shape[1])

    def parts(self) -> Iterator[bytes]:
        yield self.name.encode()
        yield self.values.tobytes()
        yield self.sprite or b""
        yield self.bookmarks or b""


def _write_values(folder: Path, tensor: _Prepared, name: str, hashed: str, tensor_format: TensorFormat) -> str | None:
    """The path of the tensor's file, relative to the run; None when it went into the checkpoint. Pictures are small,
    and always `bytes`.
    """
    if tensor.stem != "vectors" or tensor_format == "bytes":
        return _asset(folder, tensor.stem, ".bytes", [tensors.to_bytes(tensor.values)])
    if tensor_format == "tsv":
        return _asset(folder, tensor.stem, ".tsv", tensors.to_tsv(tensor.values))
    tensors.write_checkpoint(folder, f"vectors-{hashed[:12]}.ckpt", name, tensor.values)
    return None


def _optional_asset(folder: Path, stem: str, ending: str, content: bytes | None) -> str | None:
    return None if content is None else _asset(folder, stem, ending, [content])


def _asset(folder: Path, stem: str, ending: str, chunks: Iterable[bytes]) -> str:
    """Write an asset under a name with its content's hash; the path relative to the run."""
    draft = folder / ASSETS / f"{stem}{ending}"
    with draft.open("wb") as file:
        hashed = manifest.digest(_written(file, chunks))
    final = draft.with_name(f"{stem}-{hashed[:12]}{ending}")
    draft.rename(final)
    return final.relative_to(folder).as_posix()


def _written(file: BinaryIO, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        file.write(chunk)
        yield chunk


def _link(existing: Path, path: Path) -> None:
    """A second name for one content; a copy where the file system knows no hard links."""
    try:
        os.link(existing, path)
    except OSError:
        path.write_bytes(existing.read_bytes())
