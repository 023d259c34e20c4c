"""What goes wrong in a chromadb client, told in one line: as which kind, in whose name, and without which secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from exporter.errors import CollectionError, ExporterError, QueryError
from exporter.sources.changes import Changed

LONGEST_ERROR = 300
"""Characters of a foreign error that are told: a proxy may answer with a whole page."""


class Trouble(Exception):
    """What went wrong with a server, without its name, and in whatever words: to be told by `Faults`."""


class Refused(Trouble):
    """The server wants to know who asks."""


class Silent(Trouble):
    """Nobody answers there, or not to the end."""


class Foreign(Trouble):
    """Something answers that is not Chroma."""


@dataclass(frozen=True)
class Faults:
    """How what goes wrong in a client is told: as which kind, in whose name, and without which secrets."""

    kind: type[ExporterError]
    place: str
    secrets: tuple[str, ...] = ()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raise an `ExporterError` of one line in place of whatever the client raises: it knows no common class."""
        try:
            yield
        except (ExporterError, Changed):  # told by us already, or no fault
            raise
        except Exception as error:
            raise self._told(error) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # how Rust gives up; no Exception to Python
                raise
            raise self._told(error) from error

    def _told(self, error: BaseException) -> ExporterError:
        # by name: chromadb is not imported here, and a server's errors have other classes than a local client's
        name = type(error).__name__
        text = str(error)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = (" ".join(text.split()) or name)[:LONGEST_ERROR]
        if isinstance(error, Refused):
            return self.kind(f"{self.place} refuses the request ({text}); give --token or --header")
        if isinstance(error, Silent):
            return self.kind(f"no answer from {self.place} ({text}); is the server running, and is the port right?")
        if isinstance(error, Foreign) or name == "JSONDecodeError":
            return self.kind(f"{self.place} answers as Chroma never does: {text}; is a proxy in the way?")
        if name == "NotFoundError" and text.startswith(("Tenant", "Database")):
            return CollectionError(f"{self.place} has it not: {text}; name another by --tenant or --database")
        if name == "NotFoundError":
            return CollectionError(f"{self.place} has it not: {text}; list what it has with `collections`")
        if name == "InvalidArgumentError":
            return QueryError(f"{self.place} can't use the filter: {text}; mend it")
        if "finding id" in text or "getting embedding" in text:
            return self.kind(
                f"{self.place}: {text}: rows without a vector; read the directory itself, which skips them"
            )
        return self.kind(f"{self.place}: {text}")
