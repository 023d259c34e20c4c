"""A local Chroma directory, read from its files: without chromadb, without writing, without holding a writer up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from exporter.errors import SourceError
from exporter.records import Collection, Float32, Notice, no_notice
from exporter.sources import Copied, Filter, Place, Rows, Source, place_of
from exporter.sources import where as filters
from exporter.sources.catalogue import (
    Entry,
    Rule,
    UnknownLayout,
    find_entry,
    read_entries,
    read_layout,
    read_places,
    versions,
)
from exporter.sources.changes import Changed, until_unchanged
from exporter.sources.database import FILE, Database, explained, understood, uses_wal
from exporter.sources.private_copy import opened_by_chroma, private_copy, remove_leftovers
from exporter.sources.snapshot import Snapshot
from exporter.sources.tables import count_rows
from exporter.sources.where import Condition

T = TypeVar("T")

IN_WAL_MODE = "is in SQLite's WAL mode, in which even a reader writes"
_MAY_BE_A_SERVER = re.compile(r"[\w.-]+:[0-9]{1,5}(/.*)?")
OVERTAKEN = "is written to faster than it can be read"


class Directory:
    """A directory that Chroma 0.4.10 to 1.5 wrote, as `exporter.sources.Source`; a living service may go on with it.

    Short reads give one point in time; when it is written to in between, the read starts over, and in the end is done
    on a private copy. Nothing is created, changed or locked for longer than some milliseconds. A directory that a
    chromadb client has open in this same process is better read through that (`exporter.sources.langchain`), as two
    SQLite libraries in one process do not see each other's locks.

    `notice` is told before a copy is made to be read. Raises `SourceError` for a path that is no such directory, and
    wherever the files can't be read.
    """

    def __init__(self, path: str | Path, notice: Notice = no_notice) -> None:
        self.path, self._notice = Path(path), notice
        _refuse_what_is_no_directory(self.path)
        self.location = self.path.resolve().name

    def places(self) -> list[Place]:
        """Where there are collections, of every database in it, by name; none in a directory that was only opened."""
        return self._look(lambda database, rule: read_places(database), lambda source: source.places())

    def describe(self, place: Place) -> Collection:
        """The collection there. Raises `CollectionError` when there is none."""
        return self._look(
            lambda database, rule: _counted(database, find_entry(database, rule, place)),
            lambda source: source.describe(place),
            place,
        )

    def collections(self) -> list[Collection]:
        """Every collection of every database in it, by name, each counted."""
        return self._look(
            lambda database, rule: [_counted(database, entry) for entry in read_entries(database, rule)],
            lambda source: source.collections(),
        )

    def migrations(self) -> dict[str, int]:
        """The newest migration of each kind that it has seen: Chroma migrates an older directory when it opens it."""
        with self._at_rest_if_wal() as path, closing(Database(path)) as database:
            return versions(database)

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
        segment, why = None, IN_WAL_MODE
        try:
            if not uses_wal(self.path):
                with suppress(Changed):
                    return until_unchanged(lambda: _read(self.path, collection, use, condition))
                segment, why = _segment(self.path, collection), OVERTAKEN
            with private_copy(self.path, segment, why=why, notice=self._notice) as copy:
                return _read(copy.path, collection, use, condition, Copied(why, copy.longest_lock))
        except UnknownLayout as layout:
            with self._read_by_chroma(layout, place_of(collection), self._notice) as source:
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

    def _look(
        self, look: Callable[[Database, Rule], T], by_chroma: Callable[[Source], T], place: Place | None = None
    ) -> T:
        """What is said of collections, none of which is read: no index is needed for that."""
        try:
            with self._at_rest_if_wal() as path, closing(Database(path)) as database:
                rule = read_layout(database).rule
                with understood(database.file):
                    return look(database, rule)
        except UnknownLayout as layout:
            with self._read_by_chroma(layout, place) as source:
                return by_chroma(source)

    @contextmanager
    def _at_rest_if_wal(self) -> Iterator[Path]:
        if not uses_wal(self.path):
            yield self.path
            return
        with private_copy(self.path, segment="") as copy:
            yield copy.path

    @contextmanager
    def _read_by_chroma(
        self, layout: UnknownLayout, place: Place | None, notice: Notice = no_notice
    ) -> Iterator[Source]:
        why = f"has tables of an unknown version ({layout}), which only Chroma itself may know"
        name = f"{self.path} (tables of an unknown version: {layout})"
        database = (place.tenant, place.database) if place else ()
        with (
            private_copy(self.path, why=why, notice=notice) as copy,
            opened_by_chroma(copy, self.location, name, *database, why=why) as source,
        ):
            yield source


def _read(
    path: Path,
    collection: Collection,
    use: Callable[[Rows], T],
    condition: Condition | None,
    copied: Copied | None = None,
) -> T:
    with closing(Database(path)) as database, closing(Snapshot(database, collection, condition, copied)) as rows:
        return use(rows)


def _counted(database: Database, entry: Entry) -> Collection:
    return replace(entry.collection, rows=count_rows(database, entry))


def _segment(path: Path, collection: Collection) -> str:
    with closing(Database(path)) as database:
        return find_entry(database, read_layout(database).rule, place_of(collection)).vectors


def _refuse_what_is_no_directory(path: Path) -> None:
    with explained(path):
        if path.is_file():
            hint = f"{path.parent} looks like it" if (path.parent / FILE).is_file() else "this is a file"
            raise SourceError(f"{path} is not a directory; give the one that Chroma wrote ({hint})")
        if not path.is_dir():
            hint = f"; a server is http://{path}" if _MAY_BE_A_SERVER.fullmatch(str(path)) else ""
            raise SourceError(f"{path} does not exist; give the directory that Chroma wrote{hint}")
        if (path / FILE).is_file():
            return
        near = [*path.parent.glob(FILE), *sorted(path.glob(f"*/{FILE}"))]
        hint = f"did you mean {near[0].parent}?" if near else "give the directory that Chroma wrote"
        raise SourceError(f"{path} holds no {FILE}; {hint}")
