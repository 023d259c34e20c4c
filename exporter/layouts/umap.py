"""UMAP: chunks of one subject near each other. By scranpy, where it has wheels; else by umap-learn."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np

from exporter.layouts.pca import exponent, principal_axes
from exporter.records import Float32, Float64

FEWEST = 4
"""Fewer rows have no neighbourhoods; the caller takes principal axes."""
_COMPONENTS = 50
"""UMAP runs on so many principal axes: as good, and half again as fast."""
_NEIGHBOURS = 15
_THREADS = 2
_FLAT_EPOCHS = 100


def engine() -> str:
    """Which library makes the map here; for the manifest."""
    return "scranpy" if importlib.util.find_spec("scranpy") else "umap-learn"


def umap(vectors: Float32, seed: int) -> tuple[Float64, Float64]:
    """(n, d), n at least `FEWEST` -> (n, 3) and (n, 2), from one search for neighbours.

    The same vectors, seed, versions and machine give the same bytes.
    """
    reduced = principal_axes(vectors, min(_COMPONENTS, vectors.shape[1]))
    reduced = np.ldexp(reduced, -exponent(reduced))
    if engine() == "scranpy":
        return _by_scranpy(reduced, seed)
    return _by_umap_learn(reduced, seed)


def turned(places: Float64) -> Float64:
    """Centred and turned to its principal axes: the page's own PCA then shows a map as it is."""
    return principal_axes(places, places.shape[1])


def _by_scranpy(reduced: Float64, seed: int) -> tuple[Float64, Float64]:
    import knncolle
    import scranpy

    index = knncolle.build_index(knncolle.AnnoyParameters(), reduced)
    found = knncolle.find_knn(index, num_neighbors=min(_NEIGHBOURS, len(reduced) - 1), num_threads=_THREADS)
    settled = {"num_threads": _THREADS, "parallel_optimization": True, "initialize_seed": seed, "optimize_seed": seed}
    places = turned(np.asarray(scranpy.run_umap(found, num_dim=3, **settled), np.float64))
    # The flat map starts from the deep one, so it looks like it, and settles in a fraction of the epochs.
    flat = scranpy.run_umap(
        found,
        num_dim=2,
        num_epochs=_FLAT_EPOCHS,
        initialize_method="none",
        initial_coordinates=places[:, :2],
        **settled,
    )
    return places, turned(np.asarray(flat, np.float64))


def _by_umap_learn(reduced: Float64, seed: int) -> tuple[Float64, Float64]:
    hidden: dict[str, Any] = {"tensorflow": sys.modules.get("tensorflow")}
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # umap imports it when it finds it: 49 s
    try:
        import umap as umap_learn
    finally:
        if hidden["tensorflow"] is None:
            del sys.modules["tensorflow"]
        else:
            sys.modules.update(hidden)

    def place(dimensions: int) -> Float64:
        neighbours = min(_NEIGHBOURS, len(reduced) - 1)
        start = "spectral" if len(reduced) > dimensions + 1 else "random"
        made = umap_learn.UMAP(n_components=dimensions, n_neighbors=neighbours, random_state=seed, init=start, n_jobs=1)
        return np.asarray(made.fit_transform(reduced.astype(np.float32)), np.float64)

    return turned(place(3)), turned(place(2))
