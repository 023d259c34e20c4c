"""HTTP that asks again: some times, after waits that are said, with so many seconds for each whole answer.

Whatever is asked of a server here may be asked twice: reads, and writes that say what shall be (`upsert`, `update`,
`delete` of ids, `get_or_create`).
"""

from __future__ import annotations

import time
from typing import Any

import httpx
import orjson

from exporter.records import Notice
from exporter.sources.faults import Foreign, Refused, Silent, Trouble

FIRST_WAIT = 0.5
"""Seconds before the second attempt; doubled each time."""

LONGEST_WAIT = 60.0
"""Seconds that a server may ask for by `Retry-After`; one that asks for more is not waited for."""

PASSING = frozenset({429, 500, 502, 503, 504})
"""Statuses that may be over soon. 500 is Chroma's own for many a trouble, passing or not."""

REFUSED = frozenset({401, 403})

_TLS_FOR_EVER = ("CERTIFICATE_VERIFY", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
"""What OpenSSL says of a certificate, and of an answer that is not TLS (of the latter 1.1 to 3.1, and since)."""

_JSON = frozenset(bytes([first]) for first in b'{["-0123456789tfn')


class PatientClient(httpx.Client):
    """An `httpx.Client` for one server, named `place` in what `notice` is told.

    `seconds` are for a whole answer, however slowly it drips; `retries` for how often it is asked again. The first
    connection of all is not tried again, so that a wrong address is told at once. Raises `Trouble` for what is not an
    answer of Chroma's; what Chroma itself says against a request is handed on.
    """

    def __init__(
        self,
        place: str,
        notice: Notice,
        *,
        seconds: float,
        retries: int,
        **settings: Any,
    ) -> None:
        super().__init__(timeout=seconds, **settings)
        self._place, self._notice = place, notice
        self._seconds, self._retries = seconds, retries
        self._was_there = False

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """The answer to a request, asked again as long as that may help."""
        began, attempt = time.monotonic(), 0
        while True:
            kind, wait = Trouble, FIRST_WAIT * 2**attempt
            try:
                answer = self._whole(request, options)
            except (httpx.TransportError, httpx.DecodingError) as error:
                kind, trouble = Silent, str(error) or type(error).__name__
                if any(name in trouble for name in _TLS_FOR_EVER):
                    raise _of_tls(trouble, self._place) from error
                if not self._was_there and isinstance(error, httpx.ConnectError):
                    raise Silent(trouble) from error
            else:
                self._was_there = True
                if answer.status_code in REFUSED:
                    raise Refused(f"status {answer.status_code}")
                if answer.status_code not in PASSING:
                    return _chromas(answer)
                trouble = f"status {answer.status_code}"
                wait = _asked_for(answer, wait)
                if attempt == self._retries and _is_chromas_error(answer):
                    return answer
            if wait > LONGEST_WAIT:
                raise Trouble(f"{trouble}; it asks for a wait of {wait:g} s: try again later")
            if attempt == self._retries:
                plain = request.url.scheme == "http" and not self._was_there
                hint = f"; if it speaks TLS, write https://{self._place}" if plain else ""
                raise kind(_given_up(trouble, attempt, time.monotonic() - began) + hint)
            attempt += 1
            self._notice(f"{self._place}: {trouble}: asking again in {wait:g} s ({attempt} of {self._retries})")
            self.wait(wait)

    def wait(self, seconds: float) -> None:
        """Until it is asked again."""
        time.sleep(seconds)

    def _whole(self, request: httpx.Request, options: dict[str, Any]) -> httpx.Response:
        """The answer, read to its end. httpx's own time-out is one for each piece of it, so the whole has another."""
        end = time.monotonic() + self._seconds
        answer = super().send(request, **{**options, "stream": True})
        try:
            pieces = []
            for piece in answer.iter_bytes():
                pieces.append(piece)
                if time.monotonic() > end:
                    raise httpx.ReadTimeout(f"it was not whole after {self._seconds:g} s: a longer --timeout may help")
        finally:
            answer.close()
        # the body is decoded now, so what says how it was sent holds no more
        sent = {"content-encoding", "content-length", "transfer-encoding"}
        headers = [(name, value) for name, value in answer.headers.multi_items() if name not in sent]
        return httpx.Response(answer.status_code, headers=headers, content=b"".join(pieces), request=request)


def _of_tls(trouble: str, place: str) -> Trouble:
    """With the next step. What is wrong with a certificate does not mend itself."""
    if "CERTIFICATE_VERIFY" not in trouble:
        return Trouble(f"it speaks no TLS ({trouble}): write http://{place}")
    if "mismatch" in trouble:
        return Trouble(f"{trouble}: use a name that it is for")
    if "expired" in trouble:
        return Trouble(f"{trouble}: it needs a new one")
    return Trouble(f"{trouble}: name the authority that signed its certificate by --ca-file")


def _given_up(trouble: str, retries: int, seconds: float) -> str:
    return f"{trouble}, after {retries + 1} attempts in {seconds:.1f} s" if retries else trouble


def _asked_for(answer: httpx.Response, usual: float) -> float:
    """The wait that a `Retry-After` of seconds asks for; a date in it is not understood, and the usual wait it is."""
    try:
        return max(float(answer.headers.get("Retry-After", "")), 0.0)
    except ValueError:
        return usual


def _chromas(answer: httpx.Response) -> httpx.Response:
    """The answer, when it may be Chroma's. Raises Foreign when something else speaks in its place."""
    if answer.is_success:
        if answer.content.lstrip()[:1] in _JSON:
            return answer
        raise Foreign("what is no JSON")
    if _is_chromas_error(answer):
        return answer
    raise Foreign(f"status {answer.status_code}")


def _is_chromas_error(answer: httpx.Response) -> bool:
    try:
        said = orjson.loads(answer.content)
    except ValueError:
        return False
    return isinstance(said, dict) and isinstance(said.get("error"), str) and isinstance(said.get("message"), str)
