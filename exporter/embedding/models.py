"""Embedding models by name: the one that a collection records, one that the user names, or the usual one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from exporter.embedding.cache import Cache, CachedEncoder
from exporter.embedding.encoders import (
    MINILM,
    Encoder,
    FunctionEncoder,
    first_line,
    identity_of,
    load_endpoint,
    load_object,
    load_sentence_transformer,
)
from exporter.errors import ModelError
from exporter.records import Collection, Float32, RecordedModel

_LOCAL = frozenset({"instructor", "open_clip", "text2vec"})
"""Chroma's functions that compute on this machine; all others ask a server."""

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
        """How many tokens each text has; only where `longest` is known."""
        counted: list[int] = getattr(self.encoder, "tokens")(list(texts))  # noqa: B009 - an Encoder may lack it
        return counted

    def _embed(self, encode: Callable[[], Any]) -> Float32:
        try:
            vectors = np.asarray(encode(), dtype=np.float32)
        except ModelError:
            raise
        except Exception as error:  # a model is foreign code: any exception is its own
            raise ModelError(f"the model {self.name} failed: {first_line(error)}") from error
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ModelError(
                f"the model {self.name} gave no usable vectors (shape {vectors.shape}): use another --model"
            )
        return vectors


def load_model(
    wanted: str | Encoder, collection: Collection, base_url: str | None = None, cache: Cache | None = None
) -> Model:
    """The model that `wanted` names, or is.

    A sentence-transformers name or path; `openai:NAME`, an endpoint that speaks OpenAI's API, at `base_url` if given;
    `module:object`, a LangChain `Embeddings` or a Chroma embedding function; or such an object itself. `auto` takes
    what the collection records if that can be loaded, else all-MiniLM-L6-v2 for 384 dimensions. With a `cache` a
    sentence-transformers model is loaded when a text is new to it; others may change behind their names.
    Raises ModelError when nothing fits or can be loaded.
    """
    if not isinstance(wanted, str):
        return Model(type(wanted).__name__, "given", wanted)
    named = "asked for by --model"
    if wanted.startswith("openai:"):
        encoder, host = load_endpoint(wanted.removeprefix("openai:"), base_url)
        return Model(wanted, named, encoder, host)
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", wanted) and not Path(wanted).exists():
        return Model(wanted, named, load_object(wanted))
    if wanted != "auto":
        return Model(wanted.removeprefix("sentence-transformers/"), named, _sentence_transformer(wanted, cache))
    return _found(collection, cache)


def _sentence_transformer(name: str, cache: Cache | None, *, prompts: bool = True, unit: bool = False) -> Encoder:
    load = partial(load_sentence_transformer, name, prompts=prompts, unit=unit)
    identity = None if cache is None else identity_of(name)
    if cache is None or identity is None:
        return load()
    return CachedEncoder(load, f"{identity} prompts {prompts} unit {unit}", cache)


def _found(collection: Collection, cache: Cache | None) -> Model:
    why_not = "records no model"
    if collection.model is not None:
        try:
            recorded = _recorded(collection.model, cache)
            if recorded.host is None:  # another one is asked nothing before the user was told
                fit(recorded.embed_questions(["?"]), collection, f"the recorded model {recorded.name}")
            return recorded
        except ModelError as error:
            why_not = f"records {collection.model.name!r}, which can't be used ({error})"
    if collection.dimension == 384:
        origin = f"the usual one for 384 dimensions; the collection {why_not}"
        return Model(MINILM, origin, _sentence_transformer(MINILM, cache))
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


def _suggestions(dimension: int | None) -> str:
    known = MODELS_BY_DIMENSION.get(dimension or 0)
    return f" ({', '.join(known)} have {dimension})" if known else ""


def _recorded(recorded: RecordedModel, cache: Cache | None) -> Model:
    """The function that Chroma recorded. Its `default` is all-MiniLM-L6-v2, which is here; its own would be fetched."""
    origin, config = "recorded by the collection", recorded.config
    if recorded.name in ("default", "onnx_mini_lm_l6_v2"):
        return Model(MINILM, origin, _sentence_transformer(MINILM, cache))
    if recorded.name == "sentence_transformer":
        name = str(config.get("model_name", MINILM))
        unit = bool(config.get("normalize_embeddings", False))
        encoder = _sentence_transformer(name, cache, prompts=False, unit=unit)
        return Model(name.removeprefix("sentence-transformers/"), origin, encoder)
    from chromadb.utils.embedding_functions import config_to_embedding_function

    try:
        function = config_to_embedding_function({"name": recorded.name, "config": dict(config)})
    except Exception as error:  # each of Chroma's functions fails in its own way: no key, no package, another version
        raise ModelError(first_line(error)) from error
    host = config.get("api_base") or config.get("url") or f"{recorded.name}'s servers"
    return Model(recorded.name, origin, FunctionEncoder(function), None if recorded.name in _LOCAL else str(host))
