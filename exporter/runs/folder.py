"""Fill a folder with the files of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exporter.records import Float32
from exporter.runs import manifest, projector, tensors
from exporter.runs.metadata import Table

TensorFormat = Literal["bytes", "tsv", "checkpoint"]
ASSETS = "assets"
VECTORS = "vectors.tsv"
METADATA = "metadata.tsv"


@dataclass(frozen=True)
class Tensor:
    """What the Projector lists under `name`: (m, d) float32, one row a point."""

    name: str
    values: Float32


def fill(
    folder: Path,
    vectors: Float32,
    pictures: Sequence[Tensor],
    table: Table,
    facts: Mapping[str, Any],
    *,
    now: float,
    tensor_format: TensorFormat = "bytes",
    vectors_tsv: bool = True,
) -> None:
    """Write every file of a run into an empty folder, the events file last.

    `vectors` (m, d) become the tensor `vectors`; `pictures` are small tensors beside it, always in `bytes`.
    Names carry hashes, so that no server can show an old file with a new one: each asset's name 12 hex digits of its
    content's, each tensor's name 4 of all tensors' values and the metadata.
    """
    (folder / ASSETS).mkdir()
    metadata = table.to_tsv()
    every = [Tensor(picture.name, tensors.padded(picture.values)) for picture in pictures]
    every.append(Tensor("vectors", tensors.padded(vectors)))
    hashed = manifest.digest([metadata, *(tensor.values.tobytes() for tensor in every)])
    metadata_path = _asset(folder, "metadata", ".tsv", [metadata])
    _link(folder / metadata_path, folder / METADATA)
    if vectors_tsv and tensor_format != "tsv":
        _write(folder / VECTORS, tensors.to_tsv(vectors))
    entries = []
    for tensor in every:
        name = f"{tensor.name} {hashed[:4]}"
        path: str | None
        if tensor.name != "vectors" or tensor_format == "bytes":
            path = _asset(folder, tensor.name, ".bytes", [tensors.to_bytes(tensor.values)])
        elif tensor_format == "tsv":
            path = _asset(folder, tensor.name, ".tsv", tensors.to_tsv(tensor.values))
            if vectors_tsv:
                _link(folder / path, folder / VECTORS)
        else:
            path = None
            tensors.write_checkpoint(folder, f"vectors-{hashed[:12]}.ckpt", name, tensor.values)
        rows, dimension = tensor.values.shape
        entries.append(projector.TensorEntry(name, (rows, dimension), path, metadata_path))
    (folder / projector.CONFIG).write_text(projector.config_text(entries), encoding="utf-8")
    shapes = [{"name": entry.name, "shape": list(entry.shape), "file": entry.path} for entry in entries]
    manifest.write(folder, {**facts, "tensors": shapes, "columns": list(table.names), "renamed": dict(table.renamed)})
    (folder / projector.events_name(now)).write_bytes(projector.events(now))


def _asset(folder: Path, stem: str, ending: str, chunks: Any) -> str:
    """Write an asset under a name with its content's hash; the path relative to the run."""
    draft = folder / ASSETS / f"{stem}{ending}"
    with draft.open("wb") as file:
        hashed = manifest.digest(_through(file.write, chunks))
    final = draft.with_name(f"{stem}-{hashed[:12]}{ending}")
    draft.rename(final)
    return final.relative_to(folder).as_posix()


def _through(write: Any, chunks: Any) -> Any:
    for chunk in chunks:
        write(chunk)
        yield chunk


def _write(path: Path, chunks: Any) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)


def _link(existing: Path, path: Path) -> None:
    """A second name for one content; a copy where the file system knows no hard links."""
    try:
        os.link(existing, path)
    except OSError:
        path.write_bytes(existing.read_bytes())
