"""What a collection records about itself: its metric, and the embedding function it was made with.

Chroma has written the metric in four places over the years. The newest that is there counts:

- 1.3 and later: `schema_str`, keys.#embedding.float_list.vector_index.config.space;
- 1.0 to 1.2: `config_json_str`, vector_index.hnsw.space. A client shows the same as configuration_json, hnsw.space;
- 0.4 to 0.6: the metadata key `hnsw:space`. The `hnsw_configuration` of 0.5 and 0.6 says l2 even where it is not true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from exporter.records import RecordedModel, Space

_SCHEMA = (
    ("keys", "#embedding", "float_list", "vector_index", "config"),
    ("defaults", "float_list", "vector_index", "config"),
)
_CONFIGURATION = (("vector_index", "hnsw"), ("vector_index", "spann"), ("hnsw",), ("spann",))


def space_of(
    schema: Mapping[str, Any], configuration: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[Space, str]:
    """The metric by which the collection's own retrieval ranks, and where it was found."""
    found = [(_dig(schema, *path, "space"), "schema") for path in _SCHEMA]
    found += [(_dig(configuration, *path, "space"), "configuration") for path in _CONFIGURATION]
    found += [(metadata.get("hnsw:space"), "hnsw:space in the metadata")]
    for space, where in found:
        if space in get_args(Space):
            return cast(Space, space), where
    return "l2", "Chroma's default"


def model_of(schema: Mapping[str, Any], configuration: Mapping[str, Any]) -> RecordedModel | None:
    """The embedding function that is recorded by name, if one is: a class without a name is recorded as `legacy`."""
    recorded = [_dig(schema, *path, "embedding_function") for path in _SCHEMA]
    for function in (*recorded, configuration.get("embedding_function")):
        if isinstance(function, Mapping) and function.get("type") == "known" and "name" in function:
            return RecordedModel(str(function["name"]), dict(function.get("config") or {}))
    return None


def _dig(tree: object, *path: str) -> object:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree
