"""From bytes to text: encodings as they are, not as they are said to be; of a web page its main text."""

from __future__ import annotations

import codecs
import logging
import re
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from exporter.ingestion import Unreadable

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NO_TEXT = ("script", "style", "noscript", "template", "svg", "nav")
_ROUND_IT = ("header", "footer", "aside")
"""These are no text round a page, and may be some in an article."""

_GUESSED = frozenset((
    "cp1251", "cp1253", "koi8-r", "shift_jis", "cp932", "euc_jp", "gb2312", "gbk", "gb18030", "big5", "euc_kr", "cp949",
))  # fmt: skip
"""Encodings that a guess is believed for: it takes short texts in Windows-1252 for those of its neighbours."""

_ENOUGH = 40
"""Bytes beyond ASCII that a guess needs."""

MOST_LINKS = 10_000
"""Links of one page that are looked at."""

_LONGEST_PARSED = 2_000_000
"""Characters: of a longer page trafilatura takes minutes."""

_BLOCK = 4096
"""Bytes that are unpacked at once: at the end of each piece what is left of them is copied, and pieces may be tiny."""

_ASCII = bytes(range(128))
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_FEW = 0.01
"""Of the characters: more control characters than that are no text."""


@dataclass(frozen=True)
class Page:
    """What a web page says: its main text, and what else is worth keeping. `links` are absolute, in their order."""

    text: str
    title: str | None
    language: str | None
    links: tuple[str, ...]


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of some bytes. What is UTF-8 is taken for it, whatever is declared, be it with a few broken letters;
    else what is declared counts, if it can be true; else the rest is guessed, and is Windows-1252 in the end.

    Latin-1 is read as Windows-1252, as browsers do: only that has œ and €. Raises Unreadable for what is no text.
    """
    from bs4.dammit import EncodingDetector, UnicodeDammit

    for mark, name in _MARKS:
        if data.startswith(mark):
            return _checked(data.decode(name, "replace"))
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    if broken * 10 <= len(text.encode("utf-8").translate(None, _ASCII)) // 2 - broken:
        return _checked(text)
    found = _as_browsers_do(declared or EncodingDetector.find_declared_encoding(data, is_html=True))
    if found is not None:
        with suppress(UnicodeDecodeError):
            return _checked(data.decode(found))
    guess = None
    if len(data.translate(None, _ASCII)) >= _ENOUGH:
        logging.getLogger("bs4.dammit").setLevel(logging.ERROR)
        guess = _as_browsers_do(UnicodeDammit(data).original_encoding)
    return _checked(data.decode(guess if guess and guess in _GUESSED else "windows-1252", "replace"))


def _as_browsers_do(name: str | None) -> str | None:
    try:
        known = codecs.lookup((name or "").strip().strip("\"'")).name
        b"0".decode(known)  # Python knows codecs that are no encodings of text
    except (LookupError, ValueError):
        return None
    return "windows-1252" if known in ("iso8859-1", "ascii") else known


def _checked(text: str) -> str:
    if len(_CONTROLS.findall(text[:10_000])) > _FEW * min(len(text), 10_000):
        raise Unreadable("it is binary, not text")
    return _CONTROLS.sub("", text)


def unzip(data: bytes, limit: int, *, whole: bool = True) -> bytes:
    """What gzip or deflate holds. Raises Unreadable when it is damaged, cut short, or longer than the limit in bytes;
    unless `whole`, its first bytes are enough.
    """
    found, at = bytearray(), 0
    while at < len(data):
        inflater = zlib.decompressobj(wbits=47)  # 32 + 15: either kind of header
        try:
            while at < len(data) and not inflater.eof and len(found) <= limit:
                block = data[at : at + _BLOCK]
                found += inflater.decompress(block, limit + 1 - len(found))
                at += len(block) - len(inflater.unused_data)
        except zlib.error as error:
            raise Unreadable(f"it is damaged: {error}") from error
        if len(found) > limit and whole:
            raise Unreadable(f"it has more than {limit:,} bytes when unpacked")
        if not inflater.eof and whole:
            raise Unreadable("it is damaged: its end is missing")
        if len(found) > limit or not data.startswith(b"\x1f\x8b", at):
            break  # gzip may come in several pieces; what else follows is padding
    return bytes(found[:limit])


def read_page(html: str, url: str) -> Page:
    """Main text by trafilatura, else all but menus and scripts; title, language and links by Beautiful Soup.

    Raises Unreadable where they can't make anything of it: one odd page is not to end a crawl.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Beautiful Soup's: XHTML, and text that looks like an address
            return _page(html, url)
    except Exception as error:  # three libraries deep, and the web has everything
        raise Unreadable(f"the page can't be parsed ({type(error).__name__})") from error


def _page(html: str, url: str) -> Page:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "lxml")
    title = " ".join(soup.title.get_text().split()) if soup.title else None
    language = (soup.html.get("lang") or soup.html.get("xml:lang")) if soup.html else None
    links = _links(soup, url)
    return Page(
        _main_text(soup, is_long=len(html) > _LONGEST_PARSED),
        title or None,
        str(language).strip() or None if language else None,
        links,
    )


def _main_text(soup: BeautifulSoup, *, is_long: bool) -> str:
    import trafilatura

    for part in soup(_NO_TEXT):
        part.decompose()
    for part in soup(_ROUND_IT):
        if part.find_parent(("main", "article")) is None:
            part.decompose()
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    if not is_long:
        found = trafilatura.extract(str(soup), include_comments=False, include_tables=True, favor_recall=True)
        if found:
            return str(found)
    body = soup.body or soup
    return re.sub(r"\n\s*\n+", "\n\n", body.get_text("\n", strip=True))


def _links(soup: BeautifulSoup, url: str) -> tuple[str, ...]:
    """Each once, in their order, as far as they are looked at."""
    base = soup.find("base", href=True)
    start = _joined(url, str(base["href"])) if base else url
    found: dict[str, None] = {}
    for anchor in soup.find_all(["a", "area"], href=True):
        found[_joined(start or url, str(anchor["href"]))] = None
        if len(found) > MOST_LINKS:
            break
    return tuple(link for link in found if link)[:MOST_LINKS]


def _joined(base: str, link: str) -> str:
    try:
        return urljoin(base, link.strip())
    except ValueError:  # such as http://[broken
        return ""


def read_sitemap(data: bytes, limit: int) -> tuple[list[str], list[str]] | None:
    """The pages and the further sitemaps that a sitemap names; None when it is none. It may be packed by gzip."""
    from bs4 import BeautifulSoup

    if data.startswith(b"\x1f\x8b"):
        data = unzip(data, limit)
    if not re.search(rb"<(\w+:)?(urlset|sitemapindex)\b", data[:4096]):
        return None
    soup = BeautifulSoup(data, "xml")
    found: dict[str, list[str]] = {"url": [], "sitemap": []}
    for place in soup.find_all("loc"):
        if place.parent is not None and place.parent.name in found:  # others are those of its pictures
            found[place.parent.name].append(place.get_text(strip=True))
    return found["url"], found["sitemap"]
