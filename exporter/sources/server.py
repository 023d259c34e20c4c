"""A Chroma server, read by chromadb's own HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from exporter.errors import NetworkError, UsageError
from exporter.sources.paging import ClientSource, Faults


class Server(ClientSource):
    """A server at `http(s)://host:port`, perhaps with a path, as `exporter.sources.Source`.

    `token` is sent as Chroma's clients send it, in `X-Chroma-Token` and as a bearer: which of them counts is decided by
    the proxy in front, as the server itself lets everybody in (rust/frontend/src/auth/mod.rs:132). `headers` are sent
    as they are. No error names either.

    Raises `NetworkError` when nobody answers, or somebody who is no Chroma server, or when access is refused, and
    `CollectionError` for an unknown tenant or database.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        tenant: str | None = None,
        database: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise UsageError(f"{url!r} is no address of a server: {error}") from None
        place = parts.netloc.rpartition("@")[2]
        if "@" in parts.netloc:
            raise NetworkError(f"the address of {place} holds a user name or a password; pass them with --header")
        sent = dict(headers or {})
        if token:
            sent = {"X-Chroma-Token": token, "Authorization": f"Bearer {token}", **sent}
        for name, value in sent.items():
            if not (name + value).isascii() or not (name + value).isprintable():
                raise UsageError(f"the header {name!r} (or the token in it) holds characters that no header may hold")
        faults = Faults(NetworkError, place, tuple(filter(None, (token, *sent.values()))))
        with faults.told():
            client = _connect(url, sent, tenant, database, timeout)
        super().__init__(client, place, "collection.get of the server", faults)


def _connect(url: str, headers: dict[str, str], tenant: str | None, database: str | None, timeout: float) -> Any:
    import chromadb
    import httpx
    from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings

    # chromadb's client has no time-out of its own, and tells every trouble as an unknown tenant: so ask first
    place = urlsplit(url).netloc
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v2/heartbeat", headers=headers, timeout=timeout)
    except httpx.HTTPError as error:
        raise NetworkError(
            f"no answer from {place} ({error or type(error).__name__}); is the server running, and is the port right?"
        ) from error
    if answer.status_code in (401, 403):
        raise NetworkError(f"{place} refuses the request (status {answer.status_code}); give --token or --header")
    if answer.status_code != 200 or "heartbeat" not in answer.text:
        raise NetworkError(
            f"{place} is no Chroma server of 0.6 or later (status {answer.status_code}); check the address"
        )
    client = chromadb.HttpClient(
        host=url,
        ssl=url.startswith("https"),
        headers=headers,
        settings=Settings(anonymized_telemetry=False),
        tenant=tenant or DEFAULT_TENANT,
        database=database or DEFAULT_DATABASE,
    )
    client._server._session.timeout = timeout
    return client
