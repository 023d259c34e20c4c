"""What makes a folder a run: projector_config.pbtxt, and an events file, without which TensorBoard does not list it."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.runs import notf

CONFIG = "projector_config.pbtxt"
CHECKPOINT = "checkpoint"
CHECKPOINT_PATH = re.compile(r"\bmodel_checkpoint_path\s*:")
"""In a config's text: it says where a checkpoint is. Ours never do."""
MARK, PENDING = "tfevents", "pending."
"""Of an events file's name: that by which TensorBoard knows it, and what stands there while a run is not published."""
LATEST = 4_102_444_800
"""2100-01-01 in seconds since the epoch."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the config. Paths are relative to the run; no `path`: it is in the run's checkpoint.

    `sprite_cell`: pixels of one glyph each way.
    """

    name: str
    shape: tuple[int, int]
    path: str | None
    metadata: str
    bookmarks: str | None = None
    sprite: str | None = None
    sprite_cell: int = 0


def config_text(tensors: Sequence[TensorEntry]) -> str:
    """projector_config.pbtxt; without `model_checkpoint_path`, which TensorBoard reads from where it was started."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    config = ProjectorConfig()
    for tensor in tensors:
        entry = config.embeddings.add(tensor_name=tensor.name, metadata_path=tensor.metadata, tensor_shape=tensor.shape)
        if tensor.path is not None:
            entry.tensor_path = tensor.path
        if tensor.bookmarks is not None:
            entry.bookmarks_path = tensor.bookmarks
        if tensor.sprite is not None:
            entry.sprite.image_path = tensor.sprite
            entry.sprite.single_image_dim.extend([tensor.sprite_cell, tensor.sprite_cell])
    text: str = text_format.MessageToString(config)
    return text


def read_config(run: Path) -> Any:
    """The config of a run, as TensorBoard parses it. Raises ValueError on a text that is no config."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    try:
        return text_format.Parse((run / CONFIG).read_text(encoding="utf-8"), ProjectorConfig())
    except text_format.ParseError as error:
        raise ValueError(f"{CONFIG}: {error}") from error


def events_name(now: float, mark: str = MARK) -> str:
    """By its `mark` TensorBoard knows that a run is there."""
    return f"events.out.{mark}.{int(now)}.chroma-projector"


def events(now: float, more: Iterable[Any] = ()) -> bytes:
    """An events file: a record of the file version, then `more` events, which carry true times.

    TensorBoard's fast loader sorts runs by their smallest wall_time, and the Projector opens the first: that record's
    is below every true time and falls as time goes on, so the newest run opens.
    """
    notf.without_tensorflow()
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    written = io.BytesIO()
    event = Event(wall_time=(LATEST - now) / 1000, file_version="brain.Event:2")
    writer = RecordWriter(written)
    for one in (event, *more):
        writer.write(one.SerializeToString())
    return written.getvalue()


def read_events(path: Path) -> Iterator[Any]:
    """The `Event`s of a file that `events` wrote, but for its first, which says the file's version; as many as are
    whole, which is what TensorBoard shows.
    """
    notf.without_tensorflow()
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for event in LegacyEventFileLoader(str(path)).Load():
        if event.HasField("summary"):
            yield event


def holds_event(path: Path) -> bool:
    """Does the file begin with a record that is whole? Raises nothing."""
    notf.without_tensorflow()
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    try:
        with path.open("rb") as file:
            start = file.read(12)
        length, check = struct.unpack("<QI", start)
        return bool(masked_crc32c(start[:8]) == check and path.stat().st_size >= length + 16)
    except (OSError, struct.error):
        return False
