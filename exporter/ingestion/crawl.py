"""Websites: a loader of LangChain's kind, on a leash.

The walk of its RecursiveUrlLoader goes down the first link first, so its depth cuts off pages that another way would
have reached; it follows redirects anywhere, reads without a limit, and knows no robots.txt. So the walk is ours: level
by level, each page fetched by `Fetcher`. What comes out are LangChain's documents, as of any loader.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.utils.html import SUFFIXES_TO_IGNORE

from exporter.ingestion import Failed, LeftOut, Outcome, Text, Unreadable, is_excluded
from exporter.ingestion.addresses import Endless, Scope, canonical, is_public, start_of
from exporter.ingestion.fetch import AGENT, Answer, Fetcher
from exporter.ingestion.files import read_pdf
from exporter.ingestion.text import MOST_LINKS, decode, read_page, read_sitemap

REDIRECTS = 5
SILENT = 10
"""Pages in a row without an answer: then the site counts as gone, and the crawl ends."""

LIKENESSES = 10
"""Pages with the same text as another whose links are followed, of each text: more are made up by a program."""

ROBOTS_READ = 500 * 1024
"""Bytes of a robots.txt: RFC 9309 asks for that much at least."""

PATIENCE = 60.0
"""Seconds between pages: a robots.txt that asks for more means that nobody should come."""

_PAGES = ("text/html", "application/xhtml+xml")
_PLAIN = ("text/plain", "text/markdown")
_XML = ("application/xml", "text/xml", "application/gzip", "application/x-gzip")
_PACKED_MAP = ".xml.gz"
_NO_PAGES = tuple(suffix for suffix in SUFFIXES_TO_IGNORE if suffix != ".pdf")

OUTSIDE, EXCLUDED, NO_PAGE, ENDLESS = "on another host or path", "--exclude", "no page by its name", "looks endless"
DEEPER, MORE, ROBOTS, NO_TEXT = "beyond --max-depth", "beyond --max-pages", "robots.txt", "without text"
ELSEWHERE, SAME, SITEMAP = "redirects to a page that is read anyway", "same text as another page", "sitemap"
SILENCE = "the site stopped answering"
_HOMES = ("index", "default")
_NOT_MISSED = (OUTSIDE, NO_PAGE, ELSEWHERE, SITEMAP)
"""These hide no page of the website."""


@dataclass(frozen=True)
class Rules:
    """What holds for a website; the fields are those of `IngestRequest`. A depth of 1 is the first page alone."""

    max_depth: int = 5
    max_pages: int = 1000
    max_bytes: int = 10_000_000
    timeout: float = 20.0
    rate: float = 2.0
    exclude: tuple[str, ...] = ()
    ignore_robots: bool = False
    allow_private: bool = False


class Kept(Protocol):
    """Where pages are kept until the whole ingest is done, as JSON by address."""

    def get(self, url: str) -> dict[str, Any] | None:
        """What was kept of a page."""

    def keep(self, url: str, page: Mapping[str, Any]) -> None:
        """Keep it."""


@dataclass(frozen=True)
class Read:
    """A page that was read: where it is in the end, its documents as text and metadata, and its links, absolute."""

    url: str
    documents: list[tuple[str, dict[str, Any]]]
    links: list[str] = field(default_factory=list)
    is_sitemap: bool = False


class _LeftOut(Exception):
    """A page that turns out to be one that is not to be read; `str(error)` says why."""


class Website(BaseLoader):  # type: ignore[misc]
    """The pages of one website, from a start address on its host and path only; a sitemap's pages if that is one.

    `complete` says, after the walk, whether all there is was met, so that what was not met is gone. Whatever was not
    read makes it False, but for pages that are gone themselves: behind each may lie more.
    `clock` and `sleep` are passed in by tests.
    """

    def __init__(
        self,
        url: str,
        rules: Rules,
        *,
        kept: Kept | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        start = start_of(url)
        self.url, self.rules, self.scope, self.complete = start, rules, Scope.of(start), True
        self.fetched = self.queued = 0
        self._kept = kept
        self._fetcher = Fetcher(
            max_bytes=rules.max_bytes,
            timeout=rules.timeout,
            may_connect=(lambda address: True) if rules.allow_private else is_public,
        )
        self._clock, self._sleep = clock, sleep
        self._pause = 1 / rules.rate if rules.rate else 0.0
        self._next = 0.0
        self._waits = 0
        self._seen: set[str] = set()
        self._read_already: set[str] = set()
        self._texts: Counter[bytes] = Counter()
        self._endless = Endless(max(100, rules.max_pages // 2))
        self._robots: Any = None

    def lazy_load(self) -> Iterator[Document]:
        """The documents, as any loader gives them."""
        for outcome in self.outcomes():
            if isinstance(outcome, Text):
                yield from outcome.documents

    def outcomes(self) -> Iterator[Outcome]:
        """Every page, level by level; what failed, and what was left out, each address once."""
        with closing(self._fetcher):
            for outcome in self._walk():
                if isinstance(outcome, LeftOut):
                    self.complete = self.complete and outcome.why in (*_NOT_MISSED, NO_TEXT)
                elif isinstance(outcome, Failed):
                    self.complete = self.complete and outcome.gone and outcome.source != self.url
                yield outcome

    def _walk(self) -> Iterator[Outcome]:
        try:
            self._robots = None if self.rules.ignore_robots else self._read_robots()
        except Unreadable as error:
            yield Failed(self.url, str(error), passing=error.passing)
            return
        if not self._may(self.url):
            yield Failed(self.url, "robots.txt does not allow it: --ignore-robots, if you may")
            return
        self._seen.add(self.url)
        queue, silent = deque([(self.url, 0)]), 0
        while queue:
            if self.fetched == self.rules.max_pages or silent == SILENT:
                yield from (LeftOut(url, MORE if silent < SILENT else SILENCE) for url, _ in queue)
                return
            url, depth = queue.popleft()
            if url in self._read_already:
                continue  # at the end of a redirect
            self.fetched, self.queued = self.fetched + 1, len(queue)
            try:
                read = self._visit(url)
                silent = 0
            except Unreadable as error:
                silent = silent + 1 if error.silent else 0
                yield Failed(url, str(error), error.gone, error.passing)
                continue
            except _LeftOut as error:
                yield LeftOut(url, str(error))
                continue
            outcome, may_lead_on = self._outcome(read)
            yield outcome
            if not may_lead_on:
                continue  # a page that comes again under ever new addresses ends here
            self._doubt(read)
            for link in read.links:
                yield from self._consider(link, depth if read.is_sitemap else depth + 1, queue)

    def _doubt(self, read: Read) -> None:
        """A page may show only some of the website: one of many, or one whose links are too many, or made by code."""
        if read.is_sitemap:
            return
        path = urlsplit(read.url).path
        leads_on = any(self.scope.holds(url) for url in map(canonical, read.links) if url and url != read.url)
        is_empty = not leads_on and not any(text.strip() for text, _ in read.documents)
        is_one_of_many = path != self.scope.path and PurePosixPath(path).stem not in _HOMES
        if len(read.links) >= MOST_LINKS or is_empty or (read.url == self.url and (is_one_of_many or not leads_on)):
            self.complete = False

    def _outcome(self, read: Read) -> tuple[Outcome, bool]:
        """What a page comes to, and whether its links are followed."""
        if read.is_sitemap:
            return LeftOut(read.url, SITEMAP), True
        texts = [text for text, _ in read.documents if text.strip()]
        if not texts:
            return LeftOut(read.url, NO_TEXT), True
        digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()
        self._texts[digest] += 1
        if self._texts[digest] > 1:
            return LeftOut(read.url, SAME), self._texts[digest] <= 1 + LIKENESSES
        documents = [Document(text, metadata={**metadata, "source": read.url}) for text, metadata in read.documents]
        return Text(read.url, documents), True

    def _consider(self, link: str, depth: int, queue: deque[tuple[str, int]]) -> Iterator[LeftOut]:
        url = canonical(link)
        if url is None or url in self._seen:
            return
        self._seen.add(url)
        why = self._why_not(url, depth)
        if why is None and len(queue) >= 2 * self.rules.max_pages:
            why = MORE  # some in the queue lead to others that were read, so it may be longer; but it has an end
        if why is None:
            queue.append((url, depth))
        else:
            yield LeftOut(url, why)

    def _why_not(self, url: str, depth: int) -> str | None:
        if not self.scope.holds(url):
            return OUTSIDE
        if is_excluded(url, self.rules.exclude):
            return EXCLUDED
        if PurePosixPath(url.partition("?")[0].rpartition("/")[2]).suffix.lower() in _NO_PAGES:
            return NO_PAGE
        if url in self._endless:
            return ENDLESS
        if depth >= self.rules.max_depth:
            return DEEPER
        return None if self._may(url) else ROBOTS

    def _visit(self, url: str) -> Read:
        found = None if self._kept is None else self._kept.get(url)
        if found is not None:
            documents = [(text, metadata) for text, metadata in found["documents"]]
            read = Read(found["url"], documents, found["links"], found["is_sitemap"])
            if read.url != url:
                self._refuse_what_was_read(read.url)
            self._read_already.add(read.url)
            return read
        read = self._follow(url)
        self._read_already.add(read.url)
        if self._kept is not None:
            self._kept.keep(url, asdict(read))
        return read

    def _refuse_what_was_read(self, url: str) -> None:
        if url in self._read_already:
            raise _LeftOut(ELSEWHERE)

    def _follow(self, url: str) -> Read:
        here, met = url, {url}
        for _ in range(REDIRECTS + 1):
            answer = self._get(here)
            if answer.location is None:
                try:
                    return self._read(here, answer)
                except Unreadable:  # which says more than a kind of error does
                    raise
                except Exception as error:  # the web has everything, and a parser may give up on it
                    raise Unreadable(f"it can't be read ({type(error).__name__})") from error
            to = canonical(answer.location, here)
            if to is None or not self.scope.holds(to):
                advice = ": give that address, if you mean it" if url == self.url else ""
                raise Unreadable(f"it redirects to {to or answer.location!r}, {OUTSIDE}{advice}")
            if not self._may(to):
                raise _LeftOut(ROBOTS)
            if to in met:
                break
            self._refuse_what_was_read(to)
            met.add(to)
            here = to
        raise Unreadable("it redirects in a circle")

    def _get(self, url: str) -> Answer:
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._pause
        answer = self._fetcher.get(url)
        if answer.status in (429, 503):  # it is asked too much: a while, and ever longer
            self._waits += 1
            self._next += min(answer.retry_after or 2.0**self._waits, PATIENCE)
            raise Unreadable(f"status {answer.status}", passing=True, silent=True)
        self._waits = 0
        if answer.status != 200 and answer.location is None:
            passing = answer.status >= 500 or answer.status in (401, 403, 408, 425)
            raise Unreadable(f"status {answer.status}", gone=answer.status in (404, 410), passing=passing)
        return answer

    def _read(self, url: str, answer: Answer) -> Read:
        if answer.kind == "application/pdf" or answer.body.startswith(b"%PDF-"):
            return Read(url, [(one.page_content, one.metadata) for one in read_pdf(answer.body, url)])
        if answer.kind in _XML or urlsplit(url).path.endswith(_PACKED_MAP):
            found = read_sitemap(answer.body, self.rules.max_bytes)
            if found is not None:
                return Read(url, [], [*found[0], *found[1]], is_sitemap=True)
        if answer.kind in _PLAIN:
            return Read(url, [(decode(answer.body, answer.charset), {})])
        if answer.kind and answer.kind not in _PAGES:
            raise Unreadable(f"it is {answer.kind}, no page")
        page = read_page(decode(answer.body, answer.charset), url)
        about = {"title": page.title, "language": page.language}
        kept = {name: value for name, value in about.items() if value is not None}
        return Read(url, [(page.text, kept)], list(page.links))

    def _may(self, url: str) -> bool:
        return self._robots is None or bool(self._robots.can_fetch(url, AGENT))

    def _read_robots(self) -> Any:
        """What the site's robots.txt allows: everything where there is none, as RFC 9309 says.

        Raises Unreadable when the site does not answer, or wants to be left in peace: then nothing is allowed.
        """
        from protego import Protego

        here = canonical("/robots.txt", self.url)
        for _ in range(REDIRECTS):
            if here is None or not self.scope.is_host_of(here):
                return None
            answer = self._fetcher.get(here, first=ROBOTS_READ)
            if answer.status >= 500:
                why = f"robots.txt can't be read (status {answer.status}): try again later, or --ignore-robots"
                raise Unreadable(why, passing=True)
            if answer.location is None:
                break
            here = canonical(answer.location, here)
        if answer.status != 200:
            return None
        rules = Protego.parse(answer.body.decode("utf-8-sig", "replace"))
        pause = float(rules.crawl_delay(AGENT) or 0)
        if pause > PATIENCE:
            raise Unreadable(f"robots.txt asks for {pause:,.0f} seconds between pages: --ignore-robots, if you may")
        self._pause = max(self._pause, pause)
        return rules
