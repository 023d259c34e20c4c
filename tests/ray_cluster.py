"""A real Ray cluster on loopback, of two workers; skipped, with the reason, only where Ray does not start."""

from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def cluster(monkeypatch, processors=2):
    """Its address, and the folder with its logs."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'chroma-projector[ray]'")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # workers are sent what tests define
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # there Ray stays on loopback, as this has to
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)

    head = {
        "num_cpus": processors,
        "include_dashboard": False,
        "node_ip_address": "127.0.0.1",
        "object_store_memory": 100 * 2**20,
    }
    try:
        made = Cluster(initialize_head=True, head_node_args=head)
    except Exception as error:
        pytest.skip(f"no Ray cluster can be started here ({type(error).__name__}: {error})")
    try:
        yield made.address, Path(made.head_node.get_session_dir_path())
    finally:
        made.shutdown()
