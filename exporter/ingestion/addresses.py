"""Web addresses: one form for each, what belongs to a website, and what looks as if it would never end."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import unquote, urljoin

from exporter.errors import UsageError

LONGEST = 2000
"""Characters of an address: longer ones are made by programs that never end."""

_DEEPEST = 20
_REPEATS = 3
_QUERIES = 100
_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical(link: str, base: str | None = None) -> str | None:
    """The one form of an http(s) address, in ASCII and without its fragment; None for anything else.

    An address that holds a user name or a password is none.
    """
    import httpx

    try:
        url = httpx.URL(urljoin(base, link) if base else link)
        if url.scheme not in _DEFAULT_PORTS or not url.host or url.userinfo or len(link) > LONGEST:
            return None
        if any(part in ("..", ".") for part in unquote(url.path).split("/")):
            return None
        host = url.raw_host.decode("ascii")
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        if not re.fullmatch(r"[\w.-]+|\[[\w.:]+\]", host) or not 0 < (url.port or 80) < 65536:
            return None
        port = "" if url.port in (None, _DEFAULT_PORTS[url.scheme]) else f":{url.port}"
        return f"{url.scheme}://{host}{port}{url.raw_path.decode('ascii')}"
    except (ValueError, httpx.InvalidURL):
        return None


def start_of(url: str) -> str:
    """The address that a user gave, in its one form. Raises UsageError when it is none."""
    given = url.strip()
    found = canonical(given if "://" in given else f"https://{given}")
    if found is None:
        raise UsageError(f"--url {url!r} is no http(s) address without a password: write it like https://host/path/")
    return found


@dataclass(frozen=True)
class Scope:
    """A host, and a path on it: `/docs/` for /docs/ and /docs/index.html, `/docs` for /docs and all below it.

    http and https count as one, on their usual ports; any other port is another host.
    """

    host: str
    port: int | None
    path: str

    @classmethod
    def of(cls, url: str) -> Scope:
        """The scope of a crawl that starts at a canonical address."""
        host, port, path = _parts(url)
        last = posixpath.basename(path)
        return cls(host, port, path[: len(path) - len(last)] if "." in last else path)

    def holds(self, url: str) -> bool:
        """Whether a canonical address belongs to it."""
        host, port, path = _parts(url)
        below = self.path if self.path.endswith("/") else f"{self.path}/"
        return (host, port) == (self.host, self.port) and (path == self.path or path.startswith(below))

    def is_host_of(self, url: str) -> bool:
        """Whether a canonical address is on this host, wherever."""
        return _parts(url)[:2] == (self.host, self.port)


def _parts(url: str) -> tuple[str, int | None, str]:
    """Host, port (None for the usual one) and path."""
    import httpx

    parsed = httpx.URL(url)
    return parsed.host, parsed.port, parsed.path


class Endless:
    """Sees what programs make up for ever: the same folder in itself again, one page with ever new parameters.

    What changes at each step, such as a calendar, is ended by `--max-depth` and `--max-pages`.
    """

    def __init__(self) -> None:
        self._queries: Counter[str] = Counter()

    def __contains__(self, url: str) -> bool:
        """Whether a canonical address, asked for once, looks endless."""
        path, _, query = url.partition("?")
        folders = [part for part in path.split("/")[3:] if part]
        if len(folders) > _DEEPEST or any(times > _REPEATS for times in Counter(folders).values()):
            return True
        self._queries[path] += bool(query)
        return bool(query) and self._queries[path] > _QUERIES


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, whatever way it is wrapped in another."""
    found = ipaddress.ip_address(address.partition("%")[0])
    every: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [found]
    if isinstance(found, ipaddress.IPv6Address):
        every += [inner for inner in (found.ipv4_mapped, found.sixtofour, *(found.teredo or ())) if inner]
        if found in _NAT64:
            every.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
        if found.ipv4_mapped:
            every.remove(found)
    return all(one.is_global and not one.is_multicast for one in every)


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
