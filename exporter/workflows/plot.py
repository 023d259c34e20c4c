"""Draw a run into a file."""

from __future__ import annotations

from pathlib import Path

from exporter.errors import UsageError
from exporter.runs import manifest
from exporter.runs.publish import output_error
from exporter.sharing.picture import FORMATS, save
from exporter.workflows.run import open_run


def plot(run: str | Path, output: str | Path) -> Path:
    """Draw a run into a .png, .svg or .pdf file, and return its path.

    Raises UsageError for another kind of file, OutputError when the folder is no run, has no layout, or the file can't
    be written.
    """
    output = Path(output)
    kind = output.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"{output} is no picture: end its name in .{', .'.join(FORMATS)}")
    with manifest.understood(Path(run)):
        picture = save(open_run(run).plot(), kind)
    try:
        output.write_bytes(picture)
    except OSError as error:
        raise output_error(output, error, "write it elsewhere") from error
    return output
