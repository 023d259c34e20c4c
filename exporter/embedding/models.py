"""Embedding models by name: the one that a collection records, one that the user names, or the usual one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from exporter.embedding.cache import Cache, CachedEncoder
from exporter.embedding.encoders import (
    MINILM,
    Encoder,
    FunctionEncoder,
    identity_of,
    load_endpoint,
    load_object,
    load_sentence_transformer,
)
from exporter.errors import ModelError, first_line
from exporter.records import INGESTED, Collection, Float32, RecordedModel

_LOCAL = frozenset({"instructor", "open_clip", "text2vec"})
"""Chroma's functions that compute on this machine; all others ask a server."""

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_PROVIDERS = frozenset({"api.openai.com", "api.morphllm.com", "infer.roboflow.com"})
"""Hosts that Chroma's functions record by themselves."""

MODELS_BY_DIMENSION: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        384: (MINILM, "BAAI/bge-small-en-v1.5", "intfloat/multilingual-e5-small"),
        512: ("sentence-transformers/distiluse-base-multilingual-cased-v1",),
        768: ("all-mpnet-base-v2", "BAAI/bge-base-en-v1.5", "nomic-ai/nomic-embed-text-v1.5"),
        1024: ("BAAI/bge-m3", "mixedbread-ai/mxbai-embed-large-v1", "intfloat/multilingual-e5-large"),
        1536: ("openai:text-embedding-3-small", "openai:text-embedding-ada-002"),
        3072: ("openai:text-embedding-3-large",),
    }
)
"""Models that people often use, to name in an error; not a list of what works."""


@dataclass(frozen=True)
class Model:
    """A loaded model. `origin` says how it was chosen; `host` who else reads what is embedded, None on this machine."""

    name: str
    origin: str
    encoder: Encoder
    host: str | None = None

    def embed_questions(self, texts: Sequence[str]) -> Float32:
        """(q, d) float32. Raises ModelError when the model fails."""
        at_once = getattr(self.encoder, "embed_queries", None)
        if at_once is not None:
            return self._embed(lambda: at_once(list(texts)))
        return self._embed(lambda: [self.encoder.embed_query(text) for text in texts])

    def embed_chunks(self, texts: Sequence[str]) -> Float32:
        """(n, d) float32. Raises ModelError when the model fails."""
        return self._embed(lambda: self.encoder.embed_documents(list(texts)))

    @property
    def longest(self) -> int | None:
        """How many tokens of a text it reads; None where that is not known."""
        return getattr(self.encoder, "longest", None)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each chunk has as the model gets it; only where `longest` is known."""
        counted: list[int] = getattr(self.encoder, "tokens")(list(texts))  # noqa: B009 - an Encoder may lack it
        return counted

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """Gives the length of a text in the model's tokens; None when they can't be counted on this machine."""
        return getattr(self.encoder, "count_tokens", None)

    def _embed(self, encode: Callable[[], Any]) -> Float32:
        try:
            vectors = np.asarray(encode(), dtype=np.float32)
        except ModelError:  # told already
            raise
        except Exception as error:  # a model is foreign code: any exception is its own
            raise ModelError(f"the model {self.name} failed: {first_line(error)}") from error
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ModelError(
                f"the model {self.name} gave no usable vectors (shape {vectors.shape}): use another --model"
            )
        return vectors


@dataclass(frozen=True)
class Settings:
    """How a model is used. `device` and the prompts count for sentence-transformers: the fastest there is, and the
    model's own, unless given. With a `cache` such a model is loaded when a text is new to it; others may change behind
    their names. `base_url` is where an endpoint is asked.
    """

    base_url: str | None = None
    device: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    cache: Cache | None = None


def load_model(
    wanted: str | Encoder, collection: Collection, base_url: str | None = None, cache: Cache | None = None
) -> Model:
    """The model that `wanted` names, or is.

    A sentence-transformers name or path; `openai:NAME`, an endpoint that speaks OpenAI's API, at `base_url` if given;
    `module:object`, a LangChain `Embeddings` or a Chroma embedding function; or such an object itself. `auto` takes
    what the collection records if that can be loaded, else all-MiniLM-L6-v2 for 384 dimensions. `base_url` and `cache`
    as in `Settings`. Raises ModelError when nothing fits or can be loaded.
    """
    settings = Settings(base_url, cache=cache)
    if wanted == "auto":
        return _automatic(collection, settings)
    recorded = collection.model
    if isinstance(wanted, str) and recorded and recorded.name == INGESTED and is_named(wanted, recorded):
        settings = as_recorded(recorded, settings)
    return named_model(wanted, settings)


def named_model(wanted: str | Encoder, settings: Settings, origin: str = "asked for by --model") -> Model:
    """The model that `wanted` names, or is: as `load_model`, without `auto`. Raises ModelError."""
    if not isinstance(wanted, str):
        return Model(type(wanted).__name__, "given", wanted)
    if wanted.startswith("openai:"):
        encoder, host = load_endpoint(wanted.removeprefix("openai:"), settings.base_url)
        return Model(wanted, origin, encoder, host)
    if is_code(wanted):
        return Model(wanted, origin, load_object(wanted))
    return Model(wanted.removeprefix("sentence-transformers/"), origin, _sentence_transformer(wanted, settings))


def _sentence_transformer(name: str, settings: Settings, *, prompts: bool = True, unit: bool = False) -> Encoder:
    own = {"query_prompt": settings.query_prompt, "document_prompt": settings.document_prompt}
    load = partial(load_sentence_transformer, name, prompts=prompts, unit=unit, device=settings.device, **own)
    identity = None if settings.cache is None else identity_of(name)
    if settings.cache is None or identity is None:
        return load()
    return CachedEncoder(load, f"{identity} prompts {prompts} {own} unit {unit}", settings.cache)


def is_code(wanted: str) -> bool:
    """Whether a name means `module:object`."""
    if wanted.startswith("openai:"):
        return False
    return bool(re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", wanted)) and not Path(wanted).exists()


def _automatic(collection: Collection, settings: Settings) -> Model:
    why_not = "records no model"
    if collection.model is not None:
        try:
            recorded = _recorded(collection.model, settings)
            if recorded.host is None:  # another one is asked nothing before the user was told
                fit(recorded.embed_questions(["?"]), collection, f"the recorded model {recorded.name}")
            return recorded
        except ModelError as error:
            if collection.model.name == INGESTED:  # that record is ours, and says which: another would be wrong
                raise ModelError(f"the collection {collection.name!r}: {error}") from error
            why_not = f"records {collection.model.name!r}, which can't be used ({error})"
    if collection.dimension == 384:
        origin = f"the usual one for 384 dimensions; the collection {why_not}"
        return Model(MINILM, origin, _sentence_transformer(MINILM, settings))
    raise ModelError(
        f"the collection {collection.name!r} has {collection.dimension} dimensions and {why_not}: name the model that "
        f"made it by --model{_suggestions(collection.dimension)}, or give the question's vector by --question-vector"
    )


def fit(vectors: Float32, collection: Collection, name: str) -> Float32:
    """The vectors, if they have the collection's dimension; else ModelError."""
    if vectors.shape[1] != collection.dimension:
        raise ModelError(
            f"{name} has {vectors.shape[1]} dimensions, the collection {collection.name!r} has {collection.dimension}: "
            f"name the model that made it by --model{_suggestions(collection.dimension)}, "
            "or give the question's vector by --question-vector"
        )
    return vectors


def recorded_by_ingest(recorded: RecordedModel, settings: Settings) -> Model:
    """The model that `ingest` recorded, used in the same way. Raises ModelError when it can't be loaded.

    Because a collection says so, no code is run and no other machine gets questions and a key: the collection may be
    somebody else's. A `base_url` in the settings is one that the user gave.
    """
    name = str(recorded.config["model_name"])
    if is_code(name):
        raise ModelError(f"it was made with {name}, which is code: if it is yours, name it by --model {name}")
    address = recorded.config.get("base_url")
    if address and not settings.base_url:
        if urlsplit(str(address)).hostname not in _HERE:
            raise ModelError(f"it was made with {name} at {address}: if you trust that address, give it by --base-url")
        settings = replace(settings, base_url=str(address))
    return named_model(name, as_recorded(recorded, settings), "recorded by the collection")


def recorded_name(wanted: str) -> str:
    """A model's name as `ingest` records it: a folder's is its whole path, so that it is found from everywhere."""
    if wanted.startswith("openai:") or is_code(wanted) or not Path(wanted).is_dir():
        return wanted.removeprefix("sentence-transformers/")
    return os.path.realpath(wanted)


def is_named(wanted: str, recorded: RecordedModel) -> bool:
    """Whether this is a name of the model that `ingest` recorded."""
    return recorded.config["model_name"] in (wanted.removeprefix("sentence-transformers/"), recorded_name(wanted))


def as_recorded(recorded: RecordedModel, settings: Settings) -> Settings:
    """The same settings with the prompts that `ingest` recorded."""
    query, document = (recorded.config.get(prompt) for prompt in ("query_prompt", "document_prompt"))
    return replace(
        settings,
        query_prompt=None if query is None else str(query),
        document_prompt=None if document is None else str(document),
    )


def _suggestions(dimension: int | None) -> str:
    known = MODELS_BY_DIMENSION.get(dimension or 0)
    return f" ({', '.join(known)} have {dimension})" if known else ""


def _recorded(recorded: RecordedModel, settings: Settings) -> Model:
    """The function that Chroma recorded. Its `default` is all-MiniLM-L6-v2, which is here; its own would be fetched."""
    origin, config = "recorded by the collection", recorded.config
    if recorded.name == INGESTED:
        return recorded_by_ingest(recorded, settings)
    if recorded.name in ("default", "onnx_mini_lm_l6_v2"):
        return Model(MINILM, origin, _sentence_transformer(MINILM, settings))
    if recorded.name == "sentence_transformer":
        name = str(config.get("model_name", MINILM))
        unit = bool(config.get("normalize_embeddings", False))
        encoder = _sentence_transformer(name, settings, prompts=False, unit=unit)
        return Model(name.removeprefix("sentence-transformers/"), origin, encoder)
    if foreign := [address for address in _addresses(config) if urlsplit(address).hostname not in _HERE | _PROVIDERS]:
        raise ModelError(
            f"it asks {foreign[0]}, which would get your questions and a key, and a collection may be somebody else's: "
            "if you trust it, name the model and it by --model openai:NAME --base-url URL, or by module:object"
        )
    from chromadb.utils.embedding_functions import config_to_embedding_function

    try:
        function = config_to_embedding_function({"name": recorded.name, "config": dict(config)})
    except Exception as error:  # each of Chroma's functions fails in its own way: no key, no package, another version
        raise ModelError(first_line(error)) from error
    host = config.get("api_base") or config.get("url") or f"{recorded.name}'s servers"
    return Model(recorded.name, origin, FunctionEncoder(function), None if recorded.name in _LOCAL else str(host))


def _addresses(config: object) -> Iterator[str]:
    """Every address in it, wherever its function may look for one, and however deep."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) and "://" in part:
            yield part
        elif isinstance(part, Mapping | list):
            waiting.extend(part.values() if isinstance(part, Mapping) else part)
