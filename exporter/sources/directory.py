"""A local Chroma directory, read from its files: without chromadb, without writing, without holding a writer up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from exporter.errors import SourceError
from exporter.records import Collection, Float32
from exporter.sources import Filter, Rows, Source
from exporter.sources import where as filters
from exporter.sources.catalogue import UnknownLayout, find, read_entries, read_layout, versions
from exporter.sources.changes import Changed, until_unchanged
from exporter.sources.database import FILE, Database, explained, understood, uses_wal
from exporter.sources.private_copy import opened_by_chroma, private_copy, remove_leftovers
from exporter.sources.snapshot import Snapshot
from exporter.sources.tables import count_rows
from exporter.sources.where import Condition

T = TypeVar("T")


class Directory:
    """A directory that Chroma 0.4.10 to 1.5 wrote, as `exporter.sources.Source`; a living service may go on with it.

    Short reads give one point in time; when it is written to in between, the read starts over, and in the end is done
    on a private copy. Nothing is created, changed or locked for longer than some milliseconds. A directory that a
    chromadb client has open in this same process is better read through that (`exporter.sources.langchain`), as two
    SQLite libraries in one process do not see each other's locks.

    Raises `SourceError` for a path that is no such directory, and wherever the files can't be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _refuse_what_is_no_directory(self.path)
        self.location = self.path.resolve().name

    def collections(self) -> list[Collection]:
        """Every collection of every database in it, by name; none in a directory that was only opened."""
        try:
            if not uses_wal(self.path):
                return _collections(self.path)
            with private_copy(self.path, segment="") as copy:  # a list needs no index
                return _collections(copy)
        except UnknownLayout as layout:
            with self._read_by_chroma(layout) as source:
                return source.collections()

    def tables(self) -> dict[str, int]:
        """The newest migration of each kind that it has seen: Chroma migrates an older directory when it opens it."""
        with nullcontext(self.path) if not uses_wal(self.path) else private_copy(self.path, segment="") as path:
            return _tables(path)

    def read(
        self,
        collection: Collection,
        use: Callable[[Rows], T],
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> T:
        """`use(rows)`, on one point in time; called again from the start when the collection changed meanwhile.

        Raises `QueryError` for a filter that Chroma would refuse, `CollectionError` when the collection is gone, and
        `SourceError` when the files can't be read, or are written to faster than they can be copied.
        """
        condition = filters.parse(where, where_document)
        remove_leftovers()
        segment = None
        try:
            if not uses_wal(self.path):
                with suppress(Changed):
                    return until_unchanged(lambda: _read(self.path, collection, use, condition))
                segment = _segment(self.path, collection)
            with private_copy(self.path, segment) as copy:
                return _read(copy, collection, use, condition, at_rest=True)
        except UnknownLayout as layout:
            with self._read_by_chroma(layout, collection.tenant, collection.database) as source:
                return source.read(collection, use, where=where, where_document=where_document)

    def query(
        self,
        collection: Collection,
        vectors: Float32,
        top_k: int,
        *,
        where: Filter | None = None,
        where_document: Filter | None = None,
    ) -> list[list[str]]:
        """The ids that Chroma's own query returns for each of (q, d) vectors, on a private copy.

        Raises `SourceError` when there is no room for a copy, or chromadb can't query it.
        """
        remove_leftovers()
        segment = None
        with suppress(UnknownLayout):
            segment = None if uses_wal(self.path) else _segment(self.path, collection)
        database = (collection.tenant, collection.database)
        with (
            private_copy(self.path, segment) as copy,
            opened_by_chroma(copy, self.location, str(self.path), *database) as source,
        ):
            return source.query(collection, vectors, top_k, where=where, where_document=where_document)

    @contextmanager
    def _read_by_chroma(self, layout: UnknownLayout, *database: str) -> Iterator[Source]:
        name = f"{self.path} (tables of an unknown version: {layout})"
        with private_copy(self.path) as copy, opened_by_chroma(copy, self.location, name, *database) as source:
            yield source


def _tables(path: Path) -> dict[str, int]:
    with closing(Database(path)) as database:
        return versions(database)


def _read(
    path: Path,
    collection: Collection,
    use: Callable[[Rows], T],
    condition: Condition | None,
    *,
    at_rest: bool = False,
) -> T:
    with (
        closing(Database(path)) as database,
        closing(Snapshot(database, collection, condition, at_rest=at_rest)) as rows,
    ):
        return use(rows)


def _collections(path: Path) -> list[Collection]:
    with closing(Database(path)) as database:
        with database.transaction():
            entries = read_entries(database, read_layout(database).rule)
        with understood(database.file):
            return [replace(entry.collection, rows=count_rows(database, entry)) for entry in entries]


def _segment(path: Path, collection: Collection) -> str:
    with closing(Database(path)) as database, database.transaction():
        return find(read_entries(database, read_layout(database).rule), collection).vectors


def _refuse_what_is_no_directory(path: Path) -> None:
    with explained(path):
        if path.is_file():
            hint = f"{path.parent} looks like it" if (path.parent / FILE).is_file() else "this is a file"
            raise SourceError(f"{path} is not a directory; give the one that Chroma wrote ({hint})")
        if not path.is_dir():
            raise SourceError(f"{path} does not exist; give the directory that Chroma wrote")
        if (path / FILE).is_file():
            return
        near = [*path.parent.glob(FILE), *sorted(path.glob(f"*/{FILE}"))]
        hint = f"did you mean {near[0].parent}?" if near else "give the directory that Chroma wrote"
        raise SourceError(f"{path} holds no {FILE}; {hint}")
