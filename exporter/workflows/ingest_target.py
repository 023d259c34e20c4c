"""Where an ingest stores: what may be written to, by one process at a time, and in which state a killed one left it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from exporter.errors import CollectionError, ExporterError, NetworkError, OutputError, SourceError
from exporter.ingestion.safeguard import Safeguard, drop, mend
from exporter.ingestion.state import FOLDER, claim, was_killed, writing
from exporter.ingestion.store import Stored, open_directory, own_migrations
from exporter.records import Collection, Notice, Scalar, no_notice
from exporter.sources import is_server
from exporter.sources.catalogue import NEWEST
from exporter.sources.database import FILE
from exporter.sources.directory import Directory
from exporter.sources.faults import LONGEST_ERROR
from exporter.sources.parquet import COLLECTIONS, EMBEDDINGS
from exporter.workflows.ingest_request import IngestRequest

VERSION = "ingest:version"
"""Stands in the metadata of every collection that an ingest made."""


@dataclass(frozen=True)
class Target:
    """A place that is claimed. `collection`: what is there, None where it has to be made; `state` keeps the journal."""

    name: str
    place: str
    state: Path
    collection: Collection | None
    _connect: Callable[[], Any]
    _fault: Callable[[str], ExporterError]
    _directory: Path | None = None
    """None for a server."""

    @property
    def base(self) -> Path:
        """Where the paths of files are written from: the Chroma directory; for a server, this user's home."""
        return self._directory or Path.home()

    @property
    def is_own(self) -> bool:
        """Whether an ingest made the collection, or is about to."""
        return self.collection is None or VERSION in self.collection.metadata

    @contextmanager
    def write(self, facts: Mapping[str, Scalar]) -> Iterator[Stored]:
        """The collection, to be written to; a new one is made with these facts in its metadata."""
        metadata = facts if self.collection is None else None
        guard = partial(Safeguard, self._directory, self.state) if self._directory else None
        stored = Stored(self._connect, self.name, metadata, self._fault, guard)
        with writing(self.state) if self._directory else nullcontext():
            try:
                yield stored
            finally:
                stored.close()
                drop(self.state)


@contextmanager
def open_target(request: IngestRequest, notice: Notice = no_notice) -> Iterator[Target]:
    """Claim the place that the request names.

    Raises SourceError for a directory that is none of Chroma's, or that Chroma would migrate; CollectionError for a
    collection that no ingest made; OutputError when another ingest has the place; NetworkError for a server.
    """
    source = str(request.source)
    opened = partial(_server, notice=notice) if is_server(source) else _directory
    with opened(source, request) as target:
        if not target.is_own and not request.into_existing:
            raise CollectionError(
                f"the collection {target.name!r} in {target.place} was not made by ingest: "
                "name another by --collection, or add to it by --into-existing"
            )
        yield target


@contextmanager
def _server(url: str, request: IngestRequest, notice: Notice) -> Iterator[Target]:
    from exporter.sources.server import Server

    server = Server(url, request.access, notice)
    key = hashlib.sha256(f"{url}\0{request.collection}".encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with claim(cache / "chroma-projector" / f"ingest-{key}", server.location) as state:
        found = _named(server.collections(), request.collection, server.client.database, server.client.tenant)
        secrets = tuple(filter(None, (request.access.token, *request.access.headers.values())))
        fault = partial(_fault, NetworkError, server.location, secrets)
        yield Target(request.collection, server.location, state, found, lambda: server.client, fault)


@contextmanager
def _directory(source: str, request: IngestRequest) -> Iterator[Target]:
    path = Path(source)
    _refuse_what_is_not_chromas(path)
    is_new = not path.exists()
    try:
        with claim(path / FOLDER, str(path)) as state:
            if was_killed(state) and (path / FILE).exists():
                mend(path, state)
            found = None
            if (path / FILE).exists():
                directory = Directory(path)
                if not request.into_existing:
                    _refuse_to_migrate(directory)
                found = _named(
                    directory.collections(), request.collection, request.access.database, request.access.tenant
                )
            connect, fault = partial(_connect, path, state, request), partial(_fault, OutputError, str(path), ())
            yield Target(request.collection, str(path), state, found, connect, fault, path)
    finally:
        if is_new:
            with suppress(OSError):
                path.rmdir()  # when nothing was stored


def _fault(kind: type[ExporterError], place: str, secrets: tuple[str, ...], text: str) -> ExporterError:
    for secret in secrets:
        text = text.replace(secret, "***")
    return kind(f"{place} can't be written: {' '.join(text.split())[:LONGEST_ERROR]}")


def _connect(path: Path, state: Path, request: IngestRequest) -> Any:
    if not (path / FILE).exists():
        new = state / "new"  # made aside: a kill in between leaves no half-made database
        shutil.rmtree(new, ignore_errors=True)
        open_directory(new).close()
        (new / FILE).rename(path / FILE)
        shutil.rmtree(new)
    connect = partial(open_directory, path, request.access.tenant, request.access.database)
    if request.into_existing:
        connect().close()  # who migrates may keep connections that know the tables as they were
    return connect()


def _named(found: list[Collection], name: str, database: str | None, tenant: str | None) -> Collection | None:
    here = (database or "default_database", tenant or "default_tenant")
    return next((one for one in found if one.name == name and (one.database, one.tenant) == here), None)


def _refuse_what_is_not_chromas(path: Path) -> None:
    if path.is_dir() and not (path / FILE).exists():
        if any((path / name).exists() for name in (COLLECTIONS, EMBEDDINGS)):
            raise SourceError(f"{path} was written by Chroma before 0.4: name another folder")
        if any(one.name != FOLDER for one in path.iterdir()):
            raise SourceError(f"{path} holds no {FILE} but something else: name a new folder")
    elif path.exists() and not path.is_dir():
        raise SourceError(f"{path} is a file: name the folder of a Chroma collection")
    elif not os.access(path if path.exists() else _nearest(path), os.W_OK):
        raise OutputError(f"{path} can't be written: name a folder that is yours to write to")


def _nearest(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.exists())


def _refuse_to_migrate(directory: Directory) -> None:
    found = directory.migrations()
    if found not in (NEWEST, {}) and found != own_migrations():
        versions = ", ".join(f"{name} {version}" for name, version in sorted(found.items()))[:200]
        raise SourceError(
            f"{directory.path} was written by another version of Chroma ({versions}), and writing would migrate it "
            "for good: name another folder, or --into-existing to have it so"
        )
