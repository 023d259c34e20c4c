"""What a collection records about itself: its metric, and the embedding function it was made with.

Chroma has written the metric in four places over the years. The newest that is there counts:

- 1.3 and later: `schema_str`, keys.#embedding.float_list.vector_index.config.space;
- 1.0 to 1.2: `config_json_str`, vector_index.hnsw.space; clients show both as configuration_json, hnsw.space;
- 0.4 to 0.6: the metadata key `hnsw:space`. The `hnsw_configuration` of 0.5 and 0.6 says l2 even where it is not true.

A collection of 0.4 to 0.6 that 1.x has opened shows all defaults, l2 among them. Chroma then believes the metadata
(rust/types/src/collection_schema.rs:1135-1151 at tag 1.5.9), and so does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast, get_args

from exporter.records import INGEST_KEYS, INGESTED, RecordedModel, Space

SPACES = get_args(Space)
SCHEMA = (
    ("keys", "#embedding", "float_list", "vector_index", "config"),
    ("defaults", "float_list", "vector_index", "config"),
)
CONFIGURATION = (("vector_index", "hnsw"), ("vector_index", "spann"), ("hnsw",), ("spann",))
DEFAULTS = {
    "space": "l2",
    "ef_construction": 100,
    "ef_search": 100,
    "max_neighbors": 16,
    "resize_factor": 1.2,
    "sync_threshold": 1000,
    "batch_size": 100,
}


def space_of(
    schema: Mapping[str, Any], configuration: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[Space, str]:
    """The metric by which the collection's own retrieval ranks, and where it was found."""
    older = metadata.get("hnsw:space")
    older = cast(Space, older) if older in SPACES else None
    recorded = [(_dig(schema, *path), "schema") for path in SCHEMA]
    recorded += [(_dig(configuration, *path), "configuration") for path in CONFIGURATION]
    for config, place in recorded:
        if isinstance(config, Mapping) and config.get("space") in SPACES:
            if older is None or not _is_default(config):
                return cast(Space, config["space"]), place
            break
    return ("l2", "Chroma's default") if older is None else (older, "hnsw:space in the metadata")


def model_of(
    schema: Mapping[str, Any], configuration: Mapping[str, Any], metadata: Mapping[str, Any] = MappingProxyType({})
) -> RecordedModel | None:
    """The embedding function that is recorded by name, if one is: one without a name is recorded as `legacy`.

    Chroma's own record counts first, then what an `ingest` wrote into the metadata: that name counts nowhere else.
    """
    recorded = [_dig(schema, *path, "embedding_function") for path in SCHEMA]
    for function in (*recorded, _dig(configuration, "embedding_function")):
        if isinstance(function, Mapping) and function.get("type") == "known":
            name, config = function.get("name", INGESTED), function.get("config")
            if name != INGESTED:
                return RecordedModel(str(name), dict(config) if isinstance(config, Mapping) else {})
    if not metadata.get(INGEST_KEYS["model_name"]):
        return None
    return RecordedModel(INGESTED, {name: metadata[key] for name, key in INGEST_KEYS.items() if key in metadata})


def _is_default(config: Mapping[str, Any]) -> bool:
    inner = config.get("hnsw")
    values = {**config, **(inner if isinstance(inner, Mapping) else {})}
    return all(values.get(key, value) == value for key, value in DEFAULTS.items())


def _dig(tree: object, *path: str) -> object:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree
