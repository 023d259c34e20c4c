"""One page from the web, guarded: the address that is connected to is the one that was checked, and there is an end.

Below httpcore lies a backend of our own. It resolves a name, refuses what may not be asked, and connects to that very
address, so a name that is changed in between (DNS rebinding) leads nowhere else; and it lets no read outlast the page's
time, however slowly a server drips. Proxies of the environment are not used: they would choose the address.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from email.message import Message
from importlib.metadata import version
from typing import Any

import httpcore
import httpx

from exporter.ingestion import Unreadable
from exporter.ingestion.addresses import is_public
from exporter.ingestion.text import unzip

AGENT = "chroma-projector"
"""By this name robots.txt knows us."""

Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, in the system's order."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


@dataclass(frozen=True)
class Answer:
    """What a server said. `charset` is what its header says; `location` where it redirects to, in ASCII."""

    status: int
    kind: str
    charset: str | None
    location: str | None
    body: bytes
    retry_after: float | None = None
    """Seconds, where the server says so by a number."""


class Fetcher:
    """Gets pages. `may_connect` says of an IP address whether it may be asked; `timeout`: seconds for a whole page."""

    def __init__(
        self,
        *,
        max_bytes: int,
        timeout: float,
        may_connect: Callable[[str], bool] = is_public,
        resolve: Resolve = resolve,
    ) -> None:
        self._max_bytes, self._timeout = max_bytes, timeout
        self._backend = _Guard(may_connect, resolve)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            network_backend=self._backend,
            max_connections=2,
            keepalive_expiry=30,
        )
        self._headers = [
            ("User-Agent", f"{AGENT}/{version('chroma-projector')}"),
            ("Accept", "text/html, application/xhtml+xml, application/pdf, text/plain, text/markdown, */*;q=0.1"),
            ("Accept-Encoding", "gzip, deflate"),
        ]

    def get(self, url: str, *, first: int | None = None) -> Answer:
        """Ask once, and follow nothing. Raises Unreadable when there is no answer, or one that can't be used.

        `first`: only so many bytes are wanted, whatever there are; else more than the most are an error.
        """
        self._backend.deadline = time.monotonic() + self._timeout
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
        headers = [("Host", httpx.URL(url).netloc.decode("ascii")), *self._headers]
        try:
            with self._pool.stream("GET", url, headers=headers, extensions={"timeout": limits}) as response:
                return self._read(response, first)
        except httpcore.TimeoutException as error:
            raise Unreadable(f"no whole answer within {self._timeout:g} seconds", passing=True, silent=True) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
            why = f"no answer: {str(error) or type(error).__name__}"
            raise Unreadable(why, passing=True, silent=True) from error

    def close(self) -> None:
        """Close what is still connected."""
        self._pool.close()

    def _read(self, response: httpcore.Response, first: int | None) -> Answer:
        headers = Message()
        for name, value in response.headers:
            # letters beyond ASCII, as servers write them into Location, are bytes of an address
            headers[name.decode("latin-1")] = re.sub(r"[\x80-\xff]", _escaped, value.decode("latin-1"))
        kind = headers.get_content_type() if "Content-Type" in headers else ""
        charset = headers.get_content_charset()
        location = headers["Location"] if response.status in (301, 302, 303, 307, 308) else None
        wait = (headers["Retry-After"] or "").strip()
        seconds = float(wait) if re.fullmatch(r"[0-9]{1,9}", wait) else None
        answer = Answer(response.status, kind, charset, location, b"", seconds)
        if location is not None or response.status != 200:
            return answer
        length = headers.get("Content-Length", "")
        if first is None and length.isdigit() and int(length) > self._max_bytes:
            raise Unreadable(f"it has {int(length):,} bytes, more than --max-bytes {self._max_bytes}")
        body = bytearray()
        for block in response.iter_stream():
            body += block
            if first is not None and len(body) >= first:
                del body[first:]
                break
            if first is None and len(body) > self._max_bytes:
                raise Unreadable(f"it has more than --max-bytes {self._max_bytes}")
        packed = (headers.get("Content-Encoding") or "identity").strip().lower()
        if packed in ("gzip", "x-gzip", "deflate"):
            return replace(answer, body=unzip(bytes(body), first or self._max_bytes, whole=first is None))
        if packed != "identity":
            raise Unreadable(f"it is packed by {packed}, which was not asked for")
        return replace(answer, body=bytes(body))


def _escaped(letter: re.Match[str]) -> str:
    return f"%{ord(letter[0]):02X}"


class _Guard(httpcore.NetworkBackend):
    """Connects to addresses that were checked, and gives streams that end at the deadline (of `time.monotonic`)."""

    def __init__(self, may_connect: Callable[[str], bool], resolve: Resolve) -> None:
        self._may_connect, self._resolve = may_connect, resolve
        self._backend = httpcore.SyncBackend()
        self.deadline = 0.0

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._resolve(host, port)
        except UnicodeError as error:
            raise Unreadable(f"its host {host} is no name that can be looked up") from error
        except OSError as error:
            raise Unreadable(
                f"its host {host} is not known ({error.strerror or error})", passing=True, silent=True
            ) from error
        allowed = [address for address in addresses if self._may_connect(address)]
        if not allowed:
            raise Unreadable(f"its host is a private address ({', '.join(addresses)}): --allow-private, if you mean it")
        for number, address in enumerate(allowed):
            try:
                # each its share: one that swallows what it is sent leaves time for the next
                left = self.left(httpcore.ConnectTimeout) / (len(allowed) - number)
                return _Stream(self._backend.connect_tcp(address, port, left, local_address, socket_options), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if address == allowed[-1]:
                    raise
        raise AssertionError

    def left(self, error: type[Exception]) -> float:
        """The seconds until the deadline; after it, the error."""
        found = self.deadline - time.monotonic()
        if found <= 0:
            raise error
        return found


class _Stream(httpcore.NetworkStream):
    """A stream whose every step ends at the guard's deadline."""

    def __init__(self, stream: httpcore.NetworkStream, guard: _Guard) -> None:
        self._stream, self._guard = stream, guard

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._guard.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._guard.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._guard.left(httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._guard)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
