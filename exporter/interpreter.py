"""A Python process beside this one: it finds the packages that this one finds, and nothing in the working directory,
where a random.py would be taken for the standard library's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """What runs one of our modules; -P keeps its own directory out of the path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Ours, with this process's module path, of which "" is the working directory (in `python -c` and notebooks)."""
    ours = str(Path(__file__).parents[1])  # where that entry alone leads to it
    path = [entry for entry in sys.path if entry]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path if ours in path else [*path, ours])}
