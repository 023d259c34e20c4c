"""The way from a question in the page to the process that can answer it, and back.

The browser posts to TensorBoard's process, which knows no models; that passes the question on to its parent, line by
line through the pipes between them, and what comes back to the browser, line by line too: `{"progress": ...}` while it
takes, then `{"done": ...}` or `{"error": ...}`.
"""

from __future__ import annotations

import itertools
import json
import queue
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from exporter.serving.hosts import WSGIApp

LONGEST = 8_000
"""Characters of a question, or of an answer."""
TOKEN_HEADER = "X-Asking-Token"  # noqa: S105 - the header's name
_LONGEST_BODY = 100_000  # bytes; each of 16,000 characters takes six at most, as JSON escapes it
_PIECE = 200
"""Characters in a line to the parent: with what is around them less than the 512 bytes that every pipe takes at once,
so that neither another question nor TensorBoard's chatter can get between.
"""
_WAITING = 4
"""How many may wait while one is answered."""
KINDS: Mapping[str, Mapping[str, str]] = {
    "ask": {"question": "a question", "answer": "", "run": "a run"},
    "keep": {"run": "a run", "name": ""},
}
"""What each request holds; what must not be blank has a name."""


class Relay:
    """Sends requests to the parent, and hands its answers to whoever waits for them."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._numbers = itertools.count()
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def ask(self, what: Mapping[str, Any]) -> Iterator[dict[str, Any]] | None:
        """What the parent says to it, the last of it `done` or `error`; None when too many wait already."""
        with self._lock:
            if len(self._waiting) > _WAITING:
                return None
            number = next(self._numbers)
            answers = self._waiting[number] = queue.Queue()
        text = json.dumps(what)
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        for piece in pieces:
            self._send(asked=number, piece=piece, more=piece is not pieces[-1])
        return self._answers(answers)

    @staticmethod
    def _answers(answers: queue.Queue[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        while True:
            said = answers.get()
            yield said
            if _is_last(said):
                return

    def hear(self, line: str) -> None:
        """A line of the parent's; whoever asked may have left, and then nobody reads it."""
        said = json.loads(line)
        number = said.pop("asked")
        with self._lock:
            waiting = self._waiting.pop(number) if _is_last(said) else self._waiting[number]
        waiting.put(said)


def _is_last(said: Mapping[str, Any]) -> bool:
    return "progress" not in said


class Refusal(Exception):
    """A request that is not passed on: the HTTP status, and why, in words for the page."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Desk:
    """Takes questions from the page: by POST, with the token that the page was given, none too long, one at a time."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.token = secrets.token_urlsafe(24)

    def app(self, kind: str) -> WSGIApp:
        """What answers under `/ask` and `/keep`."""

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            headers = [
                ("Content-Type", "application/x-ndjson; charset=utf-8"),
                ("X-Content-Type-Options", "nosniff"),
                ("Cache-Control", "no-store"),
            ]
            try:
                said = self._take(kind, environ)
            except Refusal as refusal:
                allow = [("Allow", "POST")] if refusal.status.startswith("405") else []
                start_response(refusal.status, [*headers, *allow])
                return [_line({"error": refusal.why})]
            start_response("200 OK", headers)
            return map(_line, said)

        return answer

    def _take(self, kind: str, environ: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if environ["REQUEST_METHOD"] != "POST":
            raise Refusal("405 Method Not Allowed", "a question is asked by POST")
        given = environ.get(f"HTTP_{TOKEN_HEADER.upper().replace('-', '_')}", "")
        if not secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            raise Refusal("403 Forbidden", "this page was opened on another start of the server: reload it")
        what = _read(kind, environ)
        said = self._relay.ask(what)
        if said is None:
            raise Refusal("429 Too Many Requests", "too many questions wait already: ask again in a moment")
        return said


def _read(kind: str, environ: Mapping[str, Any]) -> dict[str, str]:
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != "application/json":
        raise Refusal("415 Unsupported Media Type", "a question is sent as JSON")
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = -1
    if not 0 <= length <= _LONGEST_BODY:
        raise Refusal("413 Content Too Large", f"a question has {LONGEST:,} characters at most")
    try:
        sent = json.loads(environ["wsgi.input"].read(length))
        what = {name: sent.get(name, "") for name in KINDS[kind]}
    except (ValueError, AttributeError, RecursionError):
        raise Refusal("400 Bad Request", "this is not a question in JSON") from None
    for name, needed in KINDS[kind].items():
        text = what[name]
        if not isinstance(text, str) or not _is_unicode(text):
            raise Refusal("400 Bad Request", f"the {name} is no text")
        if len(text) > LONGEST:
            raise Refusal("413 Content Too Large", f"the {name} has {len(text):,} characters, {LONGEST:,} are allowed")
        if needed and not text.strip():
            raise Refusal("400 Bad Request", f"{needed} is missing: type some words")
    return {"do": kind, **what}


def _is_unicode(text: str) -> bool:
    """Half of a pair of surrogates can be sent in JSON, and written nowhere."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"
