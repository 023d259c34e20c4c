from types import SimpleNamespace

import pytest

from exporter.errors import NetworkError
from exporter.records import RecordedModel
from exporter.sources.configuration import model_of, space_of
from exporter.sources.faults import Faults
from exporter.sources.paging import describe


def schema(**config):
    return {"keys": {"#embedding": {"float_list": {"vector_index": {"config": config}}}}}


HNSW = {"ef_construction": 100, "ef_search": 100, "max_neighbors": 16, "sync_threshold": 1000}
METADATA = "hnsw:space in the metadata"


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (({}, {}, {}), ("l2", "Chroma's default")),
        (({}, {}, {"hnsw:space": "cosine"}), ("cosine", METADATA)),
        (({}, {}, {"hnsw:space": "manhattan"}), ("l2", "Chroma's default")),
        (({}, {"hnsw_configuration": {"space": "l2"}}, {"hnsw:space": "ip"}), ("ip", METADATA)),
        (({}, {"vector_index": {"hnsw": {"space": "cosine"}}}, {}), ("cosine", "configuration")),
        (({}, {"hnsw": {"space": "ip"}, "spann": None}, {"hnsw:space": "cosine"}), ("ip", "configuration")),
        (({}, {"hnsw": {"space": "l2", **HNSW}}, {"hnsw:space": "cosine"}), ("cosine", METADATA)),
        (({}, {"hnsw": {"space": "l2", **HNSW}}, {}), ("l2", "configuration")),
        (({}, {"hnsw": {"space": "l2", "ef_search": 50}}, {"hnsw:space": "cosine"}), ("l2", "configuration")),
        (({}, {"spann": {"space": "cosine"}, "hnsw": None}, {}), ("cosine", "configuration")),
        ((schema(space="ip"), {"hnsw": {"space": "l2"}}, {"hnsw:space": "cosine"}), ("ip", "schema")),
        ((schema(space="l2", hnsw=HNSW), {}, {"hnsw:space": "cosine"}), ("cosine", METADATA)),
        ((schema(space="l2", hnsw={**HNSW, "max_neighbors": 8}), {}, {"hnsw:space": "cosine"}), ("l2", "schema")),
    ],
)
def test_the_metric_is_found_where_chroma_looks_for_it(recorded, expected):
    """The newest record counts, unless it holds nothing but defaults and the metadata says otherwise."""
    assert space_of(*recorded) == expected


def test_a_model_is_known_by_its_name_only():
    """A named function is given out with its configuration; legacy and missing ones are not."""
    named = {"type": "known", "name": "default", "config": None}
    assert model_of({}, {"embedding_function": named}) == RecordedModel("default", {})
    assert model_of(schema(embedding_function={**named, "config": {"a": 1}}), {}) == RecordedModel("default", {"a": 1})
    assert model_of({}, {"embedding_function": {"type": "legacy"}}) is None
    assert model_of({}, {}) is None


def test_what_chroma_never_records_is_no_model():
    """A function that takes the name of what an ingest records is none; a configuration that is no object is empty."""
    assert model_of({}, {"embedding_function": {"type": "known", "name": "ingest", "config": {}}}) is None
    odd = {"type": "known", "name": "ollama", "config": "abc"}
    assert model_of({}, {"embedding_function": odd}) == RecordedModel("ollama", {})


@pytest.mark.parametrize("configuration", ["abc", {"hnsw": {"space": "l2", "hnsw": 7}}, {"embedding_function": 1}, []])
def test_a_client_that_tells_nonsense(configuration):
    """What a server says of a collection's configuration is understood as far as it can be."""
    model = SimpleNamespace(dimension=4)
    told = {"name": "x", "tenant": "t", "database": "d", "configuration_json": configuration}
    odd = SimpleNamespace(count=lambda: 3, get_model=lambda: model, metadata={"hnsw:space": "cosine"}, **told)
    assert describe(odd, Faults(NetworkError, "host")).space == "cosine"


def test_a_client_that_tells_worse_is_told_in_one_line():
    """What can't be understood at all comes as an error of ours."""
    odd = SimpleNamespace(count=lambda: 3, get_model=lambda: SimpleNamespace(dimension=4), configuration_json=None)
    with pytest.raises(NetworkError, match=r"^host: 'str' object has no attribute 'get'$"):
        describe(SimpleNamespace(**vars(odd), metadata="abc"), Faults(NetworkError, "host"))
