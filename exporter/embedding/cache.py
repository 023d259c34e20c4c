"""Vectors that were computed before: a question that is asked again needs no model.

A small SQLite file in the user's cache folder. A text is in it as a hash only, and a vector is found again only for the
same text, in the same role, by a model whose files are the same. What can't be read or written counts as empty.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from exporter.embedding.encoders import Encoder
from exporter.records import Float32

MOST_BYTES = 32 * 2**20
"""Of vectors; the oldest go first."""
_PATIENCE = 1.0  # seconds that another process is waited for

Role = Literal["question", "document"]


class Cache:
    """Vectors by key; nothing is opened before it is asked."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def find(self, keys: Sequence[bytes]) -> list[Float32 | None]:
        """The vector of each key, (d,); None where it is not known."""
        found: dict[bytes, object] = {}
        with suppress(OSError, sqlite3.Error), self._open() as database:
            for key in keys:
                found.update(database.execute("SELECT key, vector FROM vectors WHERE key = ?", (key,)))
        return [_vector(found.get(key)) for key in keys]

    def keep(self, keys: Sequence[bytes], vectors: Float32) -> None:
        """Remember (n, d) vectors; the oldest are forgotten where there are too many."""
        now = time.time()
        rows = [(key, vector.astype("<f4").tobytes(), now) for key, vector in zip(keys, vectors, strict=True)]
        with suppress(OSError, sqlite3.Error), self._open() as database, database:
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
            database.execute(
                "DELETE FROM vectors WHERE key IN (SELECT key FROM (SELECT key, sum(length(vector)) OVER"
                " (ORDER BY kept DESC, key) AS bytes FROM vectors) WHERE bytes > ?)",
                (MOST_BYTES,),
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=_PATIENCE)) as database:
            try:
                database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB, kept REAL)")
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorname in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
                    self._file.unlink()  # the next one begins anew
                raise
            yield database


def users_cache() -> Cache | None:
    """The one in $XDG_CACHE_HOME, else in ~/.cache; None for a user without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # https://specifications.freedesktop.org/basedir-spec: a relative one is ignored
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return Cache(base / "chroma-projector" / "vectors.sqlite3")


class CachedEncoder:
    """An `Encoder` that is loaded when a text is new to it. `identity`: the model, its files and how it is used."""

    def __init__(self, load: Callable[[], Encoder], identity: str, cache: Cache) -> None:
        self._load, self._identity, self._cache = load, identity, cache

    def embed_documents(self, texts: list[str]) -> Any:
        """(n, d) float32."""
        return self._embed(texts, "document", lambda new: self._encoder.embed_documents(new))

    def embed_query(self, text: str) -> Any:
        """(d,) float32."""
        return self.embed_queries([text])[0]

    def embed_queries(self, texts: list[str]) -> Any:
        """(q, d) float32."""
        return self._embed(texts, "question", lambda new: self._encoder.embed_queries(new))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    @cached_property
    def _encoder(self) -> Any:
        return self._load()

    def _embed(self, texts: list[str], role: Role, embed: Callable[[list[str]], Any]) -> Float32:
        keys = [_key(self._identity, role, text) for text in texts]
        vectors = self._cache.find(keys)
        new = [row for row, vector in enumerate(vectors) if vector is None]
        if new:
            made = np.asarray(embed([texts[row] for row in new]), np.float32)
            for row, vector in zip(new, made, strict=True):
                vectors[row] = vector
            self._cache.keep([keys[row] for row in new], made)
        known = [vector for vector in vectors if vector is not None]
        if len({len(vector) for vector in known}) > 1:  # somebody has written into the file
            return np.asarray(embed(texts), np.float32)
        return np.stack(known)


def _vector(kept: object) -> Float32 | None:
    """What was kept, when it is a vector."""
    if not isinstance(kept, bytes) or not kept or len(kept) % 4:
        return None
    vector = np.frombuffer(kept, "<f4")
    return vector if np.isfinite(vector).all() else None


def _key(identity: str, role: Role, text: str) -> bytes:
    return hashlib.sha256("\0".join((identity, role, text)).encode("utf-8", "surrogatepass")).digest()
