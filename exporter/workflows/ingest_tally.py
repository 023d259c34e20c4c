"""What came of an ingest: counted while it goes on, told at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.ingestion import Failed, LeftOut, Text
from exporter.ingestion.addresses import canonical
from exporter.ingestion.crawl import ENDLESS, MORE, NO_TEXT, SILENCE, Website
from exporter.ingestion.files import identity_of, is_gone
from exporter.workflows.ingest_request import IngestRequest


@dataclass(frozen=True)
class Ingested:
    """What an ingest did. `chunks` = `added` + `unchanged`; `gone` counts stale ones that stay without `--prune`."""

    collection: str
    pages: int
    failed: tuple[Failed, ...]
    left_out: Mapping[str, int]
    chunks: int
    added: int
    unchanged: int
    updated: int
    removed: int
    gone: int
    model: str
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        shown = {name: getattr(self, name) for name in ("collection", "pages", "chunks", "added", "unchanged")}
        shown |= {name: getattr(self, name) for name in ("updated", "removed", "gone", "model")}
        failed = [{"url": one.source, "why": one.why} for one in self.failed]
        return {**shown, "failed": failed, "left_out": dict(self.left_out), "warnings": list(self.warnings)}


@dataclass
class Tally:
    """What has come so far. `longest`: how many tokens the model reads, where that is known; `base`: where the paths
    of files are written from, as their names in `failed`, `met` and `read`.
    """

    request: IngestRequest
    model: str
    longest: int | None = None
    base: Path = Path()
    pages: int = 0
    chunks: int = 0
    added: int = 0
    updated: int = 0
    too_long: int = 0
    failed: dict[str, Failed] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    met: set[str] = field(default_factory=set)
    """Sources that were begun: none is read twice."""
    read: set[str] = field(default_factory=set)
    """Sources that were read to their end: what is stored of them and has not come again is gone."""
    ids: set[str] = field(default_factory=set)
    sites: list[Website] = field(default_factory=list)
    unseen: int = 0
    """Chunks of these websites whose pages were not met, in a crawl that did not see all."""

    @property
    def outcomes(self) -> int:
        """How many pages and files there were."""
        return len(self.met) + len(self.failed)

    def name(self, outcome: Text | Failed) -> str:
        """An address; of a file one name, whatever way its path is written."""
        return outcome.source if outcome.path is None else identity_of(outcome.path, self.base)

    def begin(self, text: Text) -> bool:
        """Is it to be read, and not met already?"""
        name = self.name(text)
        if name in self.met:
            return False
        self.met.add(name)
        return True

    def count(self, outcome: Failed | LeftOut) -> None:
        """What gave no text."""
        if isinstance(outcome, Failed):
            self.failed[self.name(outcome)] = outcome
        else:
            self.left_out[outcome.why] += 1

    def finish(self, text: Text, fault: Failed | None, *, some: bool) -> None:
        """What was read: to its end, or as far as the `fault`; with `some` chunks."""
        if fault is not None:
            self.count(fault)
            return
        self.read.add(self.name(text))
        if some:
            self.pages += 1
        else:
            self.left_out[NO_TEXT] += 1

    def stale(self, stored: Iterable[tuple[str, str]]) -> list[str]:
        """Of stored ids and the names of their sources, those that are not there any more, as far as this run can tell.

        Where a page failed for now, or the walk was cut short, what was not met may still be there.
        """
        return [id for id, name in stored if id not in self.ids and self._is_gone(name)]

    def _is_gone(self, name: str) -> bool:
        if name in self.failed:
            return self.failed[name].gone
        if name in self.read:
            return True
        url = canonical(name) if "://" in name else None
        if url is None:
            return is_gone(name, self.base, self.request.files)
        sites = [site for site in self.sites if site.scope.holds(url)]
        if sites and all(site.complete for site in sites):
            return True
        self.unseen += bool(sites)
        return False

    def nothing(self) -> str:
        """Why nothing was stored."""
        if not self.failed:
            return "nothing was stored: what was read holds no text"
        first = next(iter(self.failed.values()))
        more = f" (and {len(self.failed) - 1:,} more)" if len(self.failed) > 1 else ""
        return f"nothing was stored: {first.source}: {first.why}{more}"

    def result(self, stale: Sequence[str]) -> Ingested:
        """All of it, at the end."""
        prune = self.request.prune
        return Ingested(
            collection=self.request.collection,
            pages=self.pages,
            failed=tuple(self.failed.values()),
            left_out=dict(sorted(self.left_out.items())),
            chunks=self.chunks,
            added=self.added,
            unchanged=self.chunks - self.added,
            updated=self.updated,
            removed=len(stale) if prune else 0,
            gone=0 if prune else len(stale),
            model=self.model,
            warnings=tuple(self._warnings(stale)),
        )

    def _warnings(self, stale: Sequence[str]) -> list[str]:
        left_out, found = self.left_out, []
        if self.too_long:
            found.append(
                f"{self.too_long:,} of {self.added:,} new chunks are longer than the {self.longest} tokens that "
                f"{self.model} reads: their ends are not in their vectors; a smaller --chunk-size, or --chunk-unit "
                "tokens"
            )
        if left_out[MORE]:
            found.append(
                f"{left_out[MORE]:,} pages that were found were not read: --max-pages {self.request.max_pages} was "
                "reached"
            )
        if left_out[SILENCE]:
            found.append(f"a website stopped answering: {left_out[SILENCE]:,} pages that were found were not read")
        if left_out[ENDLESS]:
            found.append(
                f"{left_out[ENDLESS]:,} pages look as if they went on for ever, and were not read: a higher "
                "--max-pages may let more of them in"
            )
        if self.unseen and self.request.prune:
            found.append(
                f"{self.unseen:,} stored chunks stay, though their pages were not met: some pages of their website "
                "were not read, and may lead to them"
            )
        if stale and not self.request.prune:
            found.append(f"{len(stale):,} stored chunks are gone from their sources: --prune removes them")
        return found
