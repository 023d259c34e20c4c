"""What a log directory holds, looked at from outside: which runs, and whether TensorFlow is needed to read them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from exporter.runs.projector import CHECKPOINT, CHECKPOINT_PATH, CONFIG, MARK

_EMBEDDING = re.compile(r"\bembeddings\s*:?\s*[{<]")
_TENSOR_PATH = re.compile(r"\btensor_path\s*:")


def find_runs(logdir: Path) -> dict[str, Path]:
    """Every run that has something for the Projector: its name, and its directory.

    As in TensorBoard, a run is a directory with an events file (backend/event_processing/io_wrapper.py:179-224), or
    the log directory itself (projector_plugin.py:356-361, both 2.21.0). Hidden directories are passed over: what is
    being written there is no run yet. A directory that can't be read holds nothing; nothing is raised.
    """
    runs = {}
    for path, subdirectories, files in os.walk(logdir, followlinks=True):
        subdirectories[:] = sorted(name for name in subdirectories if not name.startswith("."))
        directory = Path(path)
        named = CONFIG in files and (directory == logdir or any(MARK in name for name in files))
        if named and os.path.isfile(directory / CONFIG):  # noqa: PTH113 (raises nothing; a pipe would be waited for)
            runs[os.path.relpath(directory, logdir)] = directory
    return runs


def checkpoint_states(run: Path) -> tuple[Path, Path]:
    """Where TensorFlow notes the latest checkpoint: in the run, else in its parent (projector_plugin.py:818-828)."""
    return run / CHECKPOINT, run.parent / CHECKPOINT


def holds_checkpoint(run: Path) -> bool:
    """Whether vectors of this run are in a TensorFlow checkpoint: a tensor without a file, and a checkpoint for it.

    A look at the text, not a parser: it must cost nothing. A config that can't be read holds none; nothing is raised.
    """
    try:
        config = (run / CONFIG).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    files = len(_TENSOR_PATH.findall(config))
    if files and files >= len(_EMBEDDING.findall(config)):
        return False
    return bool(CHECKPOINT_PATH.search(config)) or any(state.is_file() for state in checkpoint_states(run))
