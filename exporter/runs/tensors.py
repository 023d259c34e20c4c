"""Vectors on disk, in the three formats that the Projector reads: text, raw float32, TensorFlow checkpoint."""

from __future__ import annotations

import codecs
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from exporter import interpreter
from exporter.errors import OutputError
from exporter.records import Float32
from exporter.runs.projector import CHECKPOINT

_BLOCK = 2_000
"""Rows turned to text at once."""
_PIECE = 65_536


def padded(values: Float32) -> Float32:
    """(n, d) with d at least 3: the Projector shows two columns as an empty picture and does not list one."""
    rows, dimension = values.shape
    if dimension >= 3:
        return values
    return np.concatenate([values, np.zeros((rows, 3 - dimension), np.float32)], axis=1)


def to_tsv(values: Float32) -> Iterator[bytes]:
    """Tab-separated lines with the shortest digits that read back to the same float32."""
    for start in range(0, len(values), _BLOCK):
        block = orjson.dumps(np.ascontiguousarray(values[start : start + _BLOCK]), option=orjson.OPT_SERIALIZE_NUMPY)
        yield block[2:-2].replace(b"],[", b"\n").replace(b",", b"\t") + b"\n"


def to_bytes(values: Float32) -> Iterator[bytes | memoryview]:
    """Little-endian float32, row after row; every bit as given, but for the first byte where that must be guarded.

    TensorBoard takes a file for text until a byte can't be UTF-8 (projector_plugin.py:392, 2.21.0); with TensorFlow it
    looks at the first line only. Such a file gets a first byte that no UTF-8 text starts with: a change of 1.5e-5 of
    one value at most.
    """
    raw = np.ascontiguousarray(values, "<f4").data.cast("B")
    if _looks_like_text(raw):
        yield bytes([raw[0] & 0x3F | 0x80])
        raw = raw[1:]
    yield raw


def _looks_like_text(raw: memoryview) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(raw), _PIECE):
            piece = raw[start : start + _PIECE].tobytes()
            line, ended, _ = piece.partition(b"\n")
            decoder.decode(line, final=bool(ended) or start + _PIECE >= len(raw))
            if ended:
                break
    except UnicodeDecodeError:
        return False
    return True


def has_tensorflow() -> bool:
    """Can checkpoints be written and read here?"""
    return importlib.util.find_spec("tensorflow") is not None


def write_checkpoint(folder: Path, prefix: str, name: str, values: Float32) -> None:
    """A TensorFlow checkpoint with one variable of this name, and the state file that says it is the latest.

    Written and read back by a process of its own: TensorFlow takes ten seconds and 600 MB, and stays.
    Raises OutputError when TensorFlow is not installed or fails.
    """
    if not has_tensorflow():
        raise OutputError("a checkpoint needs TensorFlow: pip install tensorflow-cpu, or use --tensor-format bytes")
    with tempfile.TemporaryDirectory() as scratch:
        array = Path(scratch) / "values.npy"
        np.save(array, values)
        if (failed := run_module(__name__, str(array), str(folder / prefix), name)) is not None:
            raise OutputError(f"TensorFlow could not write the checkpoint: {failed[:200]}")
    state = f'model_checkpoint_path: "{prefix}"\nall_model_checkpoint_paths: "{prefix}"\n'
    (folder / CHECKPOINT).write_text(state)


def read_checkpoint(folder: Path, name: str) -> Float32:
    """The variable of this name of the latest checkpoint in a folder, read by a process of its own.

    Raises OutputError when TensorFlow is not installed or fails.
    """
    if not has_tensorflow():
        raise OutputError(
            f"the vectors of {folder} are in a checkpoint only, and reading it needs TensorFlow: pip install "
            "tensorflow-cpu, or export it without --no-tsv"
        )
    with tempfile.TemporaryDirectory() as scratch:
        array = Path(scratch) / "values.npy"
        if (failed := run_module(__name__, str(array), str(folder), name, "read")) is not None:
            raise OutputError(f"TensorFlow could not read the checkpoint of {folder}: {failed[:200]}")
        return np.asarray(np.load(array), np.float32)


def run_module(module: str, *arguments: str) -> str | None:
    """One of our modules in a process of its own, to its end; the last line it said when it failed, else None."""
    command = interpreter.command(module, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, env=interpreter.environment())
    return (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else None


def _write_with_tensorflow(array: str, prefix: str, name: str) -> None:
    """Runs in the process that `write_checkpoint` starts."""
    import tensorflow as tf

    values = np.load(array)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=[name], shape_and_slices=[""], tensors=[values])
    read = tf.train.load_checkpoint(prefix).get_tensor(name)
    if not np.array_equal(read, values):
        raise SystemExit("what was read back is not what was written")


def _read_with_tensorflow(array: str, folder: str, name: str) -> None:
    """Runs in the process that `read_checkpoint` starts."""
    import tensorflow as tf

    np.save(array, tf.train.load_checkpoint(folder).get_tensor(name))


if __name__ == "__main__":
    if sys.argv[4:] == ["read"]:
        _read_with_tensorflow(*sys.argv[1:4])
    else:
        _write_with_tensorflow(*sys.argv[1:])
