"""Check a run."""

from __future__ import annotations

from pathlib import Path

from exporter.runs import manifest
from exporter.runs.verify import faults


def verify(run: str | Path) -> list[str]:
    """Everything wrong with a run, in words; empty when it is whole. Raises OutputError when the folder is no run."""
    return faults(Path(run))


def taken_out(run: str | Path) -> str:
    """What was redacted, for the end of a line; nothing where nothing was."""
    redacted = manifest.read(Path(run)).get("redacted")
    if not redacted:
        return ""
    with manifest.understood(Path(run)):
        gone = [name for name in ("text", "ids") if redacted.get(name)]
        return f"; taken out of it: {', '.join([*gone, *redacted.get('columns', ()), *redacted.get('left_out', ())])}"
