"""Little runs written by hand, and what a browser would ask a server about them."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from exporter.serving.tensorboard import Server

# One record: the file version "brain.Event:2" at the wall time 1.0, as TensorFlow would write it.
EVENTS = bytes.fromhex("1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a")


def write_run(run: Path, generation: int = 0, *, rows: int = 20, modified: float | None = None) -> Path:
    """A run whose names and numbers tell its generation; published in one step, over an old one too."""
    staged = run.parent / f".staged-{run.name}-{generation}"
    (staged / "assets").mkdir(parents=True)
    vectors = np.random.default_rng(generation).normal(size=(rows, 4)).astype("<f4")
    vectors[:, 0] = generation
    # Can't be taken for text, so that TensorFlow's reader takes it for what it is.
    data = bytearray(vectors.tobytes())
    data[0] = (data[0] & 0x3F) | 0x80
    (staged / f"assets/vectors-{generation}.bytes").write_bytes(data)
    lines = ["label\tgeneration", *(f"row {row}\t{generation}" for row in range(rows))]
    (staged / f"assets/metadata-{generation}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    config = staged / "projector_config.pbtxt"
    config.write_text(
        f'embeddings {{\n  tensor_name: "vectors {generation:04x}"\n'
        f'  tensor_path: "assets/vectors-{generation}.bytes"\n  tensor_shape: {rows}\n  tensor_shape: 4\n'
        f'  metadata_path: "assets/metadata-{generation}.tsv"\n}}\n',
        "utf-8",
    )
    (staged / "events.out.tfevents.1.here").write_bytes(EVENTS)
    if modified is not None:
        os.utime(config, (modified, modified))
    if run.exists():
        exchange(staged, run)
        shutil.rmtree(staged)
    else:
        staged.rename(run)
    return run


def exchange(one: Path, other: Path) -> None:
    """Each directory takes the other's name, in one step: renameat2 of Linux, with RENAME_EXCHANGE."""
    at_cwd, flag = -100, 2
    if ctypes.CDLL(None, use_errno=True).renameat2(at_cwd, bytes(one), at_cwd, bytes(other), flag):
        raise OSError(ctypes.get_errno(), "renameat2")


NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Made once: on Python 3.13 that reads all certificates, which takes longer than an answer."""


def get(server: Server, path: str, **query: str) -> tuple[int, bytes]:
    """Status and body of one answer of the Projector; of TensorBoard where the path begins with a slash."""
    place = path[1:] if path.startswith("/") else f"data/plugin/projector/{path}"
    url = f"{server.url}{place}?{urllib.parse.urlencode(query)}"
    try:
        with NO_PROXY.open(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def runs_of(server: Server) -> list[str]:
    """The runs that the page offers, in its order."""
    return json.loads(get(server, "runs")[1])


def tensor_of(server: Server, run: str) -> dict[str, Any]:
    """What the page is told of a run's first tensor."""
    return json.loads(get(server, "info", run=run)[1])["embeddings"][0]


def generation_of(server: Server, run: str) -> tuple[int, int]:
    """The generation that the tensor shows, and the one that the metadata shows."""
    name = tensor_of(server, run)["tensorName"]
    vectors = np.frombuffer(get(server, "tensor", run=run, name=name)[1], "<f4").reshape(-1, 4)
    metadata = get(server, "metadata", run=run, name=name)[1].decode().splitlines()
    return int(vectors[-1, 0]), int(metadata[-1].split("\t")[1])


def tab_is_enabled(server: Server) -> bool:
    """Whether the page would show the Projector's tab."""
    return bool(json.loads(get(server, "/data/plugins_listing")[1])["projector"]["enabled"])


def eventually(holds: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether it holds within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return bool(holds())


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
