"""Check a run."""

from __future__ import annotations

from pathlib import Path

from exporter.runs.verify import faults


def verify(run: str | Path) -> list[str]:
    """Everything wrong with a run, in words; empty when it is whole. Raises OutputError when the folder is no run."""
    return faults(Path(run))
