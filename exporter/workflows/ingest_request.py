"""What can be asked of an ingest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from exporter.embedding.encoders import Encoder
from exporter.engines import EngineName, check_engine
from exporter.errors import UsageError
from exporter.ingestion.addresses import start_of
from exporter.ingestion.crawl import Rules
from exporter.sources import CLOUD, NO_ACCESS, Access

Unit = Literal["characters", "tokens"]
Device = Literal["auto", "cpu", "cuda", "mps"]

NEEDED = ("lxml", "lxml_html_clean", "protego", "pypdf", "trafilatura")
"""What the extra `ingest` installs."""


@dataclass(frozen=True, kw_only=True)
class IngestRequest:
    """All that can be asked of an ingest; the command line's options bear the same names.

    `source`: a Chroma directory, made when it is not there, or a server's address. `model`: as `embedding.load_model`
    takes it. `chunk_size` and `chunk_overlap`: None for what the collection records, else the unit's usual ones.
    `timeout` is that of a page, in seconds; `rate` pages a second, 0 without a pause; `max_bytes` those of one page.
    `engine`: where files are read and texts embedded; `ray_address` and `workers` as `exporter.engines.engine` has
    them. Raises UsageError where the options don't fit together.
    """

    source: str | Path
    urls: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    text_column: str = "text"
    collection: str = "langchain"
    into_existing: bool = False
    access: Access = NO_ACCESS
    model: str | Encoder = "auto"
    base_url: str | None = None
    device: Device = "auto"
    query_prompt: str | None = None
    document_prompt: str | None = None
    chunk_size: int | None = None
    chunk_overlap: int | None = None
    chunk_unit: Unit | None = None
    max_depth: int = 5
    max_pages: int = 1000
    max_bytes: int = 10_000_000
    timeout: float = 20.0
    rate: float = 2.0
    exclude: tuple[str, ...] = ()
    ignore_robots: bool = False
    allow_private: bool = False
    prune: bool = False
    engine: EngineName = "local"
    ray_address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            raise UsageError(f"ingest needs {', '.join(missing)}: pip install 'chroma-projector[ingest]'")
        check_engine(self.engine, self.ray_address, self.workers)
        if not self.urls and not self.files:
            raise UsageError("nothing to read: give --url https://... or --files PATH")
        if str(self.source) == CLOUD:
            raise UsageError("ingest stores in a directory or a server of your own: into Chroma Cloud was never tried")
        for url in self.urls:
            start_of(url)
        if re.match(r"([^/?#]*:)?//[^/?#]*@|[^/?#]*@", self.base_url or ""):
            raise UsageError("--base-url holds a user name or a password, which would be recorded: leave them away")
        for path in self.files:
            if not path.is_file() and not path.is_dir():
                raise UsageError(f"--files {path}: there is no such file or folder")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise UsageError(f"--chunk-size {self.chunk_size}: a chunk has 1 or more")
        if self.chunk_overlap is not None and self.chunk_overlap < 0:
            raise UsageError(f"--chunk-overlap {self.chunk_overlap}: an overlap is 0 or more")
        if min(self.max_depth, self.max_pages, self.max_bytes) < 1 or self.timeout <= 0 or self.rate < 0:
            raise UsageError("--max-depth, --max-pages and --max-bytes must be at least 1, --timeout above 0, --rate 0")
        for name, known in (("device", Device), ("chunk_unit", Unit)):
            if getattr(self, name) not in (None, *get_args(known)):
                raise UsageError(f"unknown {name} {getattr(self, name)!r}: use one of {', '.join(get_args(known))}")
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]+[a-zA-Z0-9]", self.collection):
            raise UsageError(
                f"--collection {self.collection!r}: a name has 3 or more letters, digits, '.', '_', '-', "
                "with a letter or digit at both ends"
            )
        if isinstance(self.model, str) and not self.model.strip():
            raise UsageError("--model is blank: give auto, a name, openai:NAME or module:object")

    @property
    def rules(self) -> Rules:
        """What holds for websites."""
        return Rules(
            max_depth=self.max_depth,
            max_pages=self.max_pages,
            max_bytes=self.max_bytes,
            timeout=self.timeout,
            rate=self.rate,
            exclude=self.exclude,
            ignore_robots=self.ignore_robots,
            allow_private=self.allow_private,
        )
