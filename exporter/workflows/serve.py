"""Serve a log directory by TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from exporter.serving.tensorboard import LOOPBACK, Server, silent, start


def serve(
    logdir: str | Path = "logs",
    *,
    port: int = 6006,
    host: str = LOOPBACK,
    bind_all: bool = False,
    path_prefix: str = "",
    stock: bool = False,
    notice: Callable[[str], None] = silent,
) -> Server:
    """Start TensorBoard on a log directory; returns when the Projector is there. Options are those of `serving.start`.

    Raises ServingError when there is no run to show, or TensorBoard does not come up.
    """
    return start(logdir, port=port, host=host, bind_all=bind_all, path_prefix=path_prefix, stock=stock, notice=notice)
