"""A collection that hands out what Chroma never does."""

from types import SimpleNamespace

import pytest

from exporter.errors import NetworkError
from exporter.ingestion.store import Stored


@pytest.mark.parametrize("answer", [None, {}, {"ids": None}, {"ids": ["a"], "metadatas": [5], "documents": [5]}])
@pytest.mark.parametrize("ask", [lambda it: it.known(["a"]), lambda it: list(it.own()), lambda it: it.sample(3)])
def test_nonsense_is_told_by_the_fault(answer, ask):
    """Whatever is asked of it, what can't be understood is the fault that was named, not a traceback."""
    collection = SimpleNamespace(get=lambda **asked: answer)
    client = SimpleNamespace(get_collection=lambda name, embedding_function: collection)
    with pytest.raises(NetworkError, match=r"^told: "):
        ask(Stored(lambda: client, "docs", None, lambda text: NetworkError(f"told: {text}")))


class PanicException(BaseException):
    """What Rust's code raises in Python."""


@pytest.mark.parametrize(
    ("raised", "comes"),
    [
        (PanicException("lost"), NetworkError),
        (ValueError("lost"), NetworkError),
        (KeyboardInterrupt, KeyboardInterrupt),
    ],
)
def test_what_the_client_raises(raised, comes):
    """An error of Chroma's, and its giving up, are the fault that was named; ^C stays what it is."""

    def get(**asked):
        raise raised

    client = SimpleNamespace(get_collection=lambda name, embedding_function: SimpleNamespace(get=get))
    with pytest.raises(comes, match="lost" if comes is NetworkError else None):
        Stored(lambda: client, "docs", None, NetworkError).known(["a"])
