"""Serve a log directory by TensorBoard."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import UsageError
from exporter.records import Notice, no_notice
from exporter.scratch import scratch
from exporter.serving.hosts import is_loopback
from exporter.serving.tensorboard import LOOPBACK, Server, start
from exporter.sharing.archive import unpack
from exporter.sources import NO_ACCESS, Access

if TYPE_CHECKING:
    from exporter.embedding.encoders import Encoder

_UNPACKED = "chroma-projector-unpacked-"


@contextmanager
def _log_directory(place: str | Path) -> Iterator[Path]:
    """The place itself; of an archive that `share` packed, what it unpacks to, gone at the end.

    Raises ServingError for an archive that holds no run, or more than that.
    """
    place = Path(place).expanduser()
    if not place.is_file():
        yield place
        return
    with scratch(Path(tempfile.gettempdir()), _UNPACKED) as folder:
        folder.chmod(0o700)  # where temporary files are, others may look
        yield unpack(place, folder)


def serve(
    logdir: str | Path = "logs",
    *,
    port: int = 6006,
    host: str = LOOPBACK,
    bind_all: bool = False,
    path_prefix: str = "",
    stock: bool = False,
    allow_hosts: Sequence[str] = (),
    ask: bool | None = None,
    source: Any = None,
    access: Access = NO_ACCESS,
    model: str | Encoder | None = None,
    base_url: str | None = None,
    notice: Notice = no_notice,
) -> Server:
    """Start TensorBoard on a log directory, or on an archive that was shared; returns when the Projector is there.

    Options are those of `serving.start`. What an archive unpacks to is gone when the server is stopped.

    `ask`: questions can be asked in the page; None: when only this machine reaches the server. `source`, with its
    `access`, and `model`: of what and by what, where a run does not say it. Raises ServingError when there is no run to
    show, or TensorBoard does not come up, and UsageError for `ask` with `stock`.
    """
    if ask and stock:
        raise UsageError("the stock page asks nothing: leave out --ask or --stock")
    alone = is_loopback(host) and not bind_all and not allow_hosts
    with ExitStack() as held:
        place = held.enter_context(_log_directory(logdir))
        asking = None
        if ask or (ask is None and not stock and alone):
            from exporter.workflows.asking import Asking

            asking = Asking(place, source=source, access=access, model=model, base_url=base_url)
            held.callback(asking.close)
        server = start(
            place,
            port=port,
            host=host,
            bind_all=bind_all,
            path_prefix=path_prefix,
            stock=stock,
            allow_hosts=allow_hosts,
            asking=asking,
            notice=notice,
        )
        ending = held.pop_all().close
        server.at_end(ending)
        atexit.register(ending)  # for who never stops it
        return server
