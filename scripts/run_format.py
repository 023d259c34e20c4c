"""The format of a run: its files, its columns, the keys and kinds of its manifest. Compared with the last release's.

`python -m scripts.run_format RUN` prints it; with `--since FILE` what a reader of that older format would miss, and
exit code 1 when that needs a higher `format` in the manifest.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from exporter.runs import manifest
from exporter.runs.metadata import FIXED_COLUMNS, LINES
from exporter.runs.projector import read_config

HASHED = re.compile(r"-[0-9a-f]{12}(?=\.)")
EVENTS = re.compile(r"tfevents\.\d+")


def described(run: Path) -> dict[str, Any]:
    """What a reader of runs relies on, as JSON: the same for two runs that were asked the same kind of question."""
    facts = manifest.read(run)
    files = sorted({EVENTS.sub("tfevents", HASHED.sub("", path.relative_to(run).as_posix())) for path in _files(run)})
    config = {field.name for entry in read_config(run).embeddings for field, _ in entry.ListFields()}
    with (run / "metadata.tsv").open(encoding="utf-8") as file:
        columns = [name for name in file.readline().rstrip("\n").split("\t") if name in (*FIXED_COLUMNS, LINES)]
    known = {key: value for key, value in facts.items() if key not in ("files", "renamed")}
    kinds: dict[str, set[str]] = {}
    for place, kind in _kinds("", known):
        kinds.setdefault(place, set()).add(kind)
    return {
        "format": facts["format"],
        "files": files,
        "columns": columns,
        "config": sorted(config),
        "manifest": {place: " | ".join(sorted(kinds[place])) for place in sorted(kinds)},
    }


def missing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What a reader of the older format would not find, or would find of another kind; in words."""
    gone = [
        f"{what}: {name} is gone" for what in ("files", "columns", "config") for name in before[what]
        if name not in now[what]
    ]  # fmt: skip
    for place, kind in before["manifest"].items():
        if now["manifest"].get(place) != kind:
            gone.append(f"manifest: {place} was {kind}, and is {now['manifest'].get(place, 'gone')}")
    kept = [name for name in now["columns"] if name in before["columns"]]
    if kept != [name for name in before["columns"] if name in kept]:
        gone.append("columns: their order is another")
    return gone


def new(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the older format had not: readers of it pass over that."""
    return [f"{what}: {name} is new" for what in ("files", "columns", "config", "manifest") for name in now[what]
            if name not in before[what]]  # fmt: skip


def _files(run: Path) -> Iterator[Path]:
    return (path for path in run.rglob("*") if path.is_file())


def _kinds(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _kinds(f"{place}.{key}" if place else key, inner)
    elif isinstance(value, list):
        yield place, "list"
        for inner in value:
            yield from _kinds(f"{place}[]", inner)
    else:
        kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
        yield place, kind


def main(arguments: list[str] | None = None) -> int:
    """Print, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--since", type=Path, help="what this script printed of the last release's run")
    asked = parser.parse_args(arguments)
    now = described(asked.run)
    if asked.since is None:
        print(json.dumps(now, indent=1))
        return 0
    before = json.loads(asked.since.read_text("utf-8"))
    gone = missing(before, now)
    for line in (*gone, *new(before, now)):
        print(line)
    if gone and now["format"] <= before["format"]:
        print(f"a reader of format {before['format']} would misread it: raise FORMAT, and the version's first number")
        return 1
    print(f"format {before['format']} -> {now['format']}: readers of the older one get what they know")
    return 0


if __name__ == "__main__":
    sys.exit(main())
