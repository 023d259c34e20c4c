"""The picture of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import OutputError, UsageError
from exporter.runs.publish import output_error
from exporter.runs.sprites import Glyph
from exporter.runs.verify import read_tensor
from exporter.sharing.picture import FORMATS, Panel, draw, save
from exporter.workflows.pictures import DARTBOARD, MAP, Pictures
from exporter.workflows.run import Run, open_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(run: str | Path, output: str | Path) -> Path:
    """Draw a run into a .png, .svg or .pdf file, and return its path.

    Raises UsageError for another kind of file, OutputError when the folder is no run, has no layout, or the file can't
    be written.
    """
    output = Path(output)
    kind = output.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"{output} is no picture: end its name in .{', .'.join(FORMATS)}")
    picture = save(plot_run(open_run(run)), kind)
    try:
        output.write_bytes(picture)
    except OSError as error:
        raise output_error(output, error) from error
    return output


def plot_run(run: Run) -> Figure:
    """The figure of a run that is on disk. Raises OutputError when it was exported without a layout."""
    if run.facts.get("flat_map") is None:
        raise OutputError(f"{run.path} was exported without a layout: export it with --projection auto")
    rows = run.facts["points"]
    flat = read_tensor(run.path, run.facts["flat_map"], (rows, 2))
    drawn = run.facts["drawn"]
    on_map = _glyphs(drawn[MAP], rows)
    entry = next((entry for entry in run.facts["tensors"] if entry["kind"] == DARTBOARD), None)
    if entry is None:
        return draw_run(run.facts, Pictures([], flat=flat, map_glyphs=on_map))
    around = read_tensor(run.path, entry["file"], tuple(entry["shape"]))[:, :2]
    around_glyphs = _glyphs(drawn[DARTBOARD], rows)
    return draw_run(run.facts, Pictures([], around=around, around_glyphs=around_glyphs, flat=flat, map_glyphs=on_map))


def draw_run(facts: Mapping[str, Any], pictures: Pictures) -> Figure:
    """Dartboard left, map right, under the question that the dartboard is about, and its verdict."""
    panels = []
    if pictures.around is not None:
        title = "nearer the middle = nearer the question (only the radius is meant)"
        panels.append(Panel(title, pictures.around, pictures.around_glyphs))
    if pictures.flat is not None:
        title = "map: chunks of one subject stand together"
        panels.append(Panel(title, pictures.flat, pictures.map_glyphs))
    question = facts["questions"][facts["focus"]]
    return draw(panels, question["text"], question["verdict"])


def _glyphs(drawn: list[list[Any]], rows: int) -> list[Glyph]:
    """From the manifest, which lists the rows that are no plain chunks."""
    glyphs = [Glyph("chunk")] * rows
    for row, role, number in drawn:
        glyphs[row] = Glyph(role, number)
    return glyphs
