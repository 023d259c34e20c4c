"""Which names our server answers to. TensorBoard answers to any, so a web page whose own name is made to lead to
127.0.0.1 (DNS rebinding) could read every document in it.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

WSGIApp: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
_LONGEST_NAME = 253
_WITH_PORT = re.compile(r"(?:\[(?P<address>[^\[\]]*)\]|(?P<name>[^:\[\]]+))(?::[0-9]*)?")


@dataclass(frozen=True)
class Names:
    """The names of a server. `any_address`: every IP address too, which no other site can have for its name."""

    names: frozenset[str]
    any_address: bool = False

    def include(self, host: str) -> bool:
        """Is a `Host` header, with or without a port, one of them?"""
        name = _name(host)
        return name in self.names or (self.any_address and _is_address(name))


def names_of(host: str, *, bind_all: bool, allowed: Sequence[str] = ()) -> Names:
    """What a server may be called that listens on `host`, or everywhere; `allowed` are more names that it has."""
    everywhere = bind_all or host in _EVERYWHERE
    machine = {socket.gethostname(), socket.getfqdn()} if everywhere else {host}
    return Names(LOOPBACK_NAMES | {_name(name) for name in (*machine, *allowed)}, any_address=everywhere)


def is_loopback(host: str) -> bool:
    """Does only this machine reach what listens there?"""
    name = _name(host)
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def answering_to(names: Names, app: WSGIApp) -> WSGIApp:
    """The same app, but a request for another name gets 403 and nothing else."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        if names.include(host):
            return app(environ, start_response)
        shown = "".join(character for character in _name(host)[:_LONGEST_NAME] if character.isprintable())
        text = (
            f"This server answers to {', '.join(sorted(names.names))}, not to {shown or 'a request without a name'}. "
            "If that is its name, start it with --allow-host NAME.\n"
        ).encode()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response("403 Forbidden", headers)
        return [text]

    return answer


def _name(host: str) -> str:
    """Without port, brackets and the dot at the end, in small letters."""
    host = host.strip().lower()
    if found := _WITH_PORT.fullmatch(host):
        host = found["address"] or found["name"]
    return host.rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
