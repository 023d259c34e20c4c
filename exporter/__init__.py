"""See why retrieval missed: a Chroma collection and a question, as a run of TensorBoard's Projector.

from exporter import export

run = export("chroma_db", question="How do I reset my password?", answer="Settings > Security")
run.questions[0].first_answer_rank, run.serve().url
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.workflows.assessment import Assessment
    from exporter.workflows.collections import collections
    from exporter.workflows.compare import compare
    from exporter.workflows.evaluate import evaluate
    from exporter.workflows.export import export
    from exporter.workflows.ingest import ingest
    from exporter.workflows.run import Run, open_run
    from exporter.workflows.serve import serve
    from exporter.workflows.share import share

__all__ = ["Assessment", "Run", "collections", "compare", "evaluate", "export", "ingest", "open_run", "serve", "share"]

_HOMES = {
    "Assessment": "assessment",
    "Run": "run",
    "open_run": "run",
    "collections": "collections",
    "compare": "compare",
    "evaluate": "evaluate",
    "export": "export",
    "ingest": "ingest",
    "serve": "serve",
    "share": "share",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the command line's --help needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"exporter.workflows.{_HOMES[name]}"), name)
