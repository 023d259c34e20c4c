"""A Chroma server, read by chromadb's own HTTP client over a transport that is patient."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exporter.errors import CollectionError, NetworkError, UsageError
from exporter.records import Notice, no_notice
from exporter.sources import CLOUD, NO_ACCESS, Access
from exporter.sources.faults import Faults, Foreign
from exporter.sources.paging import PAGE, ClientSource

CLOUD_URL = "https://api.trychroma.com:443"

CLOUD_PAGE = 300
"""Rows, ids and results that one request to Chroma Cloud may ask for (docs.trychroma.com/cloud/quotas-limits)."""

EXAMPLE = "http://localhost:8000"

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a header may be called (RFC 9110, 5.6.2)."""

HERE = ("localhost", "127.0.0.1", "::1")

RULE = (
    "collection.get of the server, in pages, at no one point in time: rows that appeared or vanished meanwhile, or "
    "vectors that changed between two readings of them, would have started it over; other changes would not be seen"
)


class Server(ClientSource):
    """A server at `http(s)://host:port`, perhaps with a path, or Chroma Cloud, as `exporter.sources.Source`.

    The token is sent as Chroma's clients send it, in `X-Chroma-Token` and as a bearer: which of them counts is decided
    by the proxy in front, as the server itself lets everybody in (rust/frontend/src/auth/mod.rs:132). Headers are sent
    as they are. No error names either.

    Raises `NetworkError` when nobody answers, or somebody who is no Chroma server, or when access is refused, and
    `CollectionError` for an unknown tenant or database.
    """

    def __init__(self, url: str, access: Access = NO_ACCESS, notice: Notice = no_notice) -> None:
        token, cloud = access.token, url == CLOUD
        url = CLOUD_URL if cloud else url
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
            if not host:
                raise ValueError("it names no host")
        except ValueError as error:
            raise UsageError(f"{url!r} is no address of a server: {error}; write it like {EXAMPLE}") from None
        url = parts.geturl()  # HTTP:// is http://
        place = parts.netloc.rpartition("@")[2]
        if "@" in parts.netloc:
            raise NetworkError(f"the address of {place} holds a user name or a password; pass them with --header")
        if cloud and not token:
            raise UsageError("Chroma Cloud wants a token: set CHROMA_API_KEY, or give --token @FILE")
        sent = {"X-Chroma-Token": token} if token else {}
        if token and not cloud:
            sent["Authorization"] = f"Bearer {token}"
        sent |= access.headers
        for name, value in sent.items():
            if not _HEADER.fullmatch(name):
                raise UsageError(f"{name!r} is no name of a header: write it like X-Team")
            if not (name + value).isascii() or not (name + value).isprintable():
                raise UsageError(f"the header {name!r} (or the token in it) holds characters that no header may hold")
        if sent and parts.scheme == "http" and host not in HERE:
            notice(f"the token and headers go to {place} unencrypted: use https:// where you can")
        faults = Faults(NetworkError, place, tuple(filter(None, (token, *sent.values()))))
        session = {
            "place": place,
            "notice": notice,
            "seconds": access.timeout,
            "retries": access.retries,
            "verify": True if access.ca_file is None else _trusting(access.ca_file),
        }
        with faults.told():
            client = _connect(url, sent, cloud, access.tenant, access.database, session)
        super().__init__(client, place, RULE, faults, page=CLOUD_PAGE if cloud else PAGE)


def _trusting(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one, too
        raise UsageError(f"--ca-file {ca_file} can't be read as a certificate (PEM): {error}") from None


def _connect(
    url: str, headers: dict[str, str], cloud: bool, tenant: str | None, database: str | None, session: dict[str, Any]
) -> Any:
    """A chromadb client whose requests are patient ones from the first on, and that has found tenant and database."""
    from chromadb.api import ServerAPI
    from chromadb.api.client import Client
    from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings, System

    from exporter.sources.transport import PatientClient

    settings = Settings(
        _env_file=None,  # nor what else the environment has for chromadb: what counts was given by options
        anonymized_telemetry=False,
        chroma_api_impl="chromadb.api.fastapi.FastAPI",
        chroma_server_host=url,
        chroma_server_http_port=8000,  # asked for, and unused beside a whole address
        chroma_server_ssl_enabled=url.startswith("https"),
        chroma_server_ssl_verify=None,
        chroma_server_headers=headers,
        chroma_client_auth_provider=None,
    )
    api = System(settings).instance(ServerAPI)
    sent = dict(api._session.headers)
    api._session.close()
    api._session = PatientClient(**session, headers=sent)
    try:
        # chromadb would tell every trouble as an unknown tenant: so ask first
        try:
            answer = api._session.get(f"{url.rstrip('/')}/api/v2/heartbeat")
            if not answer.is_success or "heartbeat" not in answer.text:
                raise Foreign(f"status {answer.status_code}")
        except Foreign as error:
            raise NetworkError(
                f"{session['place']} is no Chroma server of 0.6 or later ({error}); check the address"
            ) from error
        if cloud:
            tenant, database = _of_the_key(api.get_user_identity(), tenant, database)
        tenant, database = tenant or DEFAULT_TENANT, database or DEFAULT_DATABASE
        api.get_tenant(name=tenant)
        api.get_database(name=database, tenant=tenant)
    except Exception:  # no source was made of it that would be kept
        api._session.close()
        raise
    # not by its constructor, which makes a session of its own that waits for ever, and asks by it
    client = Client.__new__(Client)
    client._server, client.tenant, client.database = api, tenant, database
    return client


def _of_the_key(identity: Any, tenant: str | None, database: str | None) -> tuple[str | None, str | None]:
    """The tenant and the database of a key of Chroma Cloud, where they were not named. Raises CollectionError."""
    databases = [name for name in identity.databases or () if name != "*"]
    if database is None:
        if len(databases) != 1:
            there = f"it may use {', '.join(databases)}" if databases else "the key does not say which"
            raise CollectionError(f"name the database by --database or CHROMA_DATABASE: {there}")
        database = databases[0]
    tenant = tenant or (identity.tenant if identity.tenant != "*" else None)
    if tenant is None:
        raise CollectionError("name the tenant by --tenant or CHROMA_TENANT: the key does not say which")
    return tenant, database
