"""Where chunks come from. A source is read, never written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from exporter.records import Batch, Collection, Float32, Int64, Notice, no_notice

T = TypeVar("T")

Filter = Mapping[str, object]
"""A filter in Chroma's own language, parsed from JSON."""


class Place(NamedTuple):
    """Where a collection is: its name is the only one of its database."""

    name: str
    database: str = "default_database"
    tenant: str = "default_tenant"


def place_of(collection: Collection) -> Place:
    """Where a collection is that was described before."""
    return Place(collection.name, collection.database, collection.tenant)


class Copied(NamedTuple):
    """Why a private copy is read, and for how many seconds its making kept a writer waiting, at most."""

    why: str
    longest_lock: float


class Rows(Protocol):
    """One collection at one point in time, as far as its source allows: what a filter leaves of it, in stored order."""

    @property
    def count(self) -> int:
        """How many rows there are, after the filter."""

    @property
    def rule(self) -> str:
        """By which version's reading rule the rows were put together; for the manifest."""

    @property
    def longest_lock(self) -> float | None:
        """For how many seconds at most a writer was kept waiting; None where that is not known, as of a server."""

    @property
    def copied(self) -> str | None:
        """Why a private copy was read in the place of the source; None where it was read itself."""

    def batches(self, *, texts: bool = False, metadatas: bool = False) -> Iterator[Batch]:
        """All rows. Vectors always; texts and metadatas cost time, so only when asked for."""

    def take(self, positions: Int64) -> Iterator[Batch]:
        """The rows at these positions, (m,) ascending, each in 0 .. count - 1, with texts and metadatas."""


class Source(Protocol):
    """A place that holds collections."""

    @property
    def location(self) -> str:
        """What a manifest may say of it: the last part of a path, or a host. Never a secret."""

    def places(self) -> list[Place]:
        """Where there are collections, by name. Quick: nothing is counted."""

    def describe(self, place: Place) -> Collection:
        """The collection there. Raises `CollectionError` when there is none."""

    def collections(self) -> list[Collection]:
        """Every collection, by name."""

    def read(
        self,
        collection: Collection,
        use: Callable[[Rows], T],
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> T:
        """`use(rows)`, on one point in time; called again from the start when the collection changed meanwhile."""

    def query(
        self,
        collection: Collection,
        vectors: Float32,
        top_k: int,
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> list[list[str]]:
        """The ids that Chroma's own query, by its approximate index, returns for each of (q, d) vectors."""


@dataclass(frozen=True)
class Access:
    """What a server wants to know of its clients, and how long it is waited for. A directory needs none of it.

    `timeout` in seconds, for a whole answer; `retries`: how often it is asked again. `ca_file`: the authority (PEM)
    that signed its certificate, in place of the usual ones.
    """

    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tenant: str | None = None
    database: str | None = None
    timeout: float = 60.0
    retries: int = 4
    ca_file: Path | None = None


NO_ACCESS = Access()

CLOUD = "cloud:"
"""Names Chroma Cloud."""


def is_server(spec: Any) -> bool:
    """Does it name a server, and not a directory?"""
    return isinstance(spec, str) and (spec == CLOUD or spec.lower().startswith(("http://", "https://")))


def open_source(spec: str | Path | Any, access: Access = NO_ACCESS, notice: Notice = no_notice) -> Source:
    """The source that `spec` names: a directory, the http(s) address of a server, `cloud:`, or a live collection.

    A live collection is a chromadb `Collection` or a LangChain `Chroma`. `notice` is told when a server is asked again,
    and when a directory can't be read where it is, before a private copy of it is made.
    Raises `SourceError` for a path that is no Chroma directory, `NetworkError` for a server that can't be used.
    """
    if is_server(spec):
        from exporter.sources.server import Server

        return Server(str(spec), access, notice)
    if isinstance(spec, (str, Path)):
        from exporter.sources.database import FILE
        from exporter.sources.directory import Directory
        from exporter.sources.parquet import COLLECTIONS, EMBEDDINGS, Parquet

        path = Path(spec)
        older = not (path / FILE).exists() and any((path / name).exists() for name in (COLLECTIONS, EMBEDDINGS))
        return Parquet(path) if older else Directory(path, notice)
    from exporter.sources.langchain import Client

    return Client(spec)
