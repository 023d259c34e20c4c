"""What a source holds, and which of it is meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from exporter.errors import CollectionError, QueryError
from exporter.records import Collection, Notice, no_notice
from exporter.sources import NO_ACCESS, Access, Rows, Source, open_source, where
from exporter.workflows.request import RankingRequest


def collections(source: Any, access: Access = NO_ACCESS, notice: Notice = no_notice) -> list[Collection]:
    """Every collection of a source, by name. Touches nothing. `notice` is told when a server is asked again. Raises
    SourceError or NetworkError.
    """
    return open_source(source, access, notice).collections()


def find_collection(request: RankingRequest, notice: Notice) -> tuple[Source, Collection]:
    """The collection that is asked about, and where it is; a filter that can't be understood is told first, too.

    `notice` is told when a server is asked again, or a directory copied. Raises QueryError, SourceError, NetworkError
    or CollectionError.
    """
    where.parse(request.where, request.where_document)
    source = open_source(request.source, request.access, notice)
    return source, choose(source, request.collection, request.access.database)


def choose(source: Source, name: str | None, database: str | None) -> Collection:
    """The collection of this name, or the only one. Raises CollectionError when that is none, or not just one."""
    here = [one for one in source.places() if database is None or one.database == database]
    if not here:
        raise CollectionError(
            f"{source.location} holds no collection" + (f" in the database {database!r}" if database else "")
        )
    names = [one.name for one in here]
    matching = here if name is None else [one for one in here if one.name == name]
    if not matching:
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there {_listed(names)}"
        raise CollectionError(f"{source.location} holds no collection {name!r}: {hint}")
    if len(matching) > 1 and name is None:
        raise CollectionError(f"name a collection by --collection: there {_listed(names)}")
    if len(matching) > 1:
        databases = ", ".join(one.database for one in matching)
        raise CollectionError(f"several databases hold a collection {name!r}: choose by --database ({databases})")
    chosen = source.describe(matching[0])  # only now is anything counted
    if chosen.rows == 0:
        raise CollectionError(f"the collection {chosen.name!r} is empty: add some chunks first")
    return chosen


def refuse_none(rows: Rows) -> None:
    """Raises QueryError when the filter leaves no chunk."""
    if rows.count == 0:
        raise QueryError("the filter leaves no chunk of the collection: loosen --where or --where-document")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:10]) + (", ..." if len(names) > 10 else "")
    return f"is {shown}" if len(names) == 1 else f"are {shown}"
