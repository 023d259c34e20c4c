"""What `compare` reports, as titles and tables; `cli.console` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exporter.cli.report import LISTED, Found, Section, short


def title(found: Found) -> str:
    """What was compared."""
    count = found["questions"]
    names = [Path(found[side]).absolute().name for side in ("a", "b")]
    return f"A {names[0]}, B {names[1]}: {count:,} shared question{'' if count == 1 else 's'}"


def sections(found: Found) -> Iterator[Section]:
    """Headings and rows of the tables: settings that differ, figures, questions won and lost, verdicts, ranks."""
    if found["settings"]:
        yield (
            ("made with", "A", "B"),
            [(name, _setting(one["a"]), _setting(one["b"])) for name, one in found["settings"].items()],
        )
    if found["metrics"]:
        yield (
            ("metric", "A", "B", "difference", "p", ""),
            [
                (name, f"{one['a']:.3f}", f"{one['b']:.3f}", _apart(one), f"{one['p']:.4f}", _proof(one))
                for name, one in found["metrics"].items()
            ],
        )
    for name, heading in (("won", "won by B"), ("lost", "lost by B")):
        yield (heading, "which"), [(f"{len(found[name]):,}", short(", ".join(found[name]) or "-", 90))]
    for name, heading in (("verdicts_changed", "verdict"), ("rank_moves", "rank of the first right chunk")):
        moves = found[name]
        if moves:
            more = f" ({LISTED} of {len(moves):,})" if len(moves) > LISTED else ""
            rows = [(one["id"], f"{_cell(one['a'])} -> {_cell(one['b'])}", short(one["question"])) for one in moves]
            yield ("question", heading, f"text{more}"), rows[:LISTED]


def _apart(one: Found) -> str:
    sure = "" if one["low"] is None else f" ({one['low']:+.3f} to {one['high']:+.3f})"
    return f"{one['difference']:+.3f}{sure}"


def _proof(one: Found) -> str:
    """Of a mean that is the same, nothing was to be proven."""
    if one["proven"]:
        return "better" if one["difference"] > 0 else "worse"
    return "not proven" if one["difference"] else "same"


def _setting(value: str | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:,g}"


def _cell(value: object) -> str:
    return "none" if value is None else str(value).replace("_", " ")
