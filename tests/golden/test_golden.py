"""The committed run, made again and compared whole; and its format with the committed one."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from exporter.runs.verify import faults
from scripts.run_format import described, main, missing, new
from tests.golden.make import GOLDEN, HERE, make

HASH = re.compile(rb"(?<=-)[0-9a-f]{12}(?=\.)|(?<= )[0-9a-f]{4}(?=\")")
MOVING = ("created", "made_by", "longest_lock_ms", "files")
"""Keys of the manifest that no two exports share; `files` has the sizes and hashes of what is compared here."""
COMPUTED = ("around_question", "map", "flat")
"""Their last bits depend on the processor."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("golden"))


def contents(run):
    """Each file by its name without hashes; those in assets/ of one name in the order of the config."""
    found = {}
    for path in sorted(run.rglob("*")):
        if path.is_file() and path.name != "picture.png":
            name = re.sub(
                r"tfevents\.\d+", "tfevents", HASH.sub(b"*", path.relative_to(run).as_posix().encode()).decode()
            )
            found.setdefault(name, []).append(path.read_bytes())
    return found


def known(value):
    """A manifest without what moves, hashes taken out, numbers rounded."""
    if isinstance(value, dict):
        return {key: known(inner) for key, inner in value.items() if key not in MOVING}
    if isinstance(value, list):
        return [known(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 6)
    return re.sub(r"(?<=-)[0-9a-f]{12}(?=\.)|(?<= )[0-9a-f]{4}$", "*", value) if isinstance(value, str) else value


def bookmarks(raw):
    """Bookmarks with their places rounded to a thousandth."""
    return json.loads(raw, parse_float=lambda text: round(float(text), 3) + 0.0)


def test_the_golden_run(made):
    """An export of the same is the committed run: byte for byte in its texts and vectors, to a thousandth in what is
    laid out, in pixels' number where they are drawn. If this fails on purpose: `python -m tests.golden.make`, and a
    line in CHANGELOG.md.
    """
    ours, golden = contents(made), contents(GOLDEN)
    assert {name: len(files) for name, files in ours.items()} == {name: len(files) for name, files in golden.items()}
    assert (made / "picture.png").is_file()
    for name, files in golden.items():
        for one, other in zip(ours[name], files, strict=True):
            if name == "manifest.json":
                assert known(json.loads(one)) == known(json.loads(other))
            elif name.startswith(tuple(f"assets/{kind}-" for kind in COMPUTED)):
                assert np.allclose(np.frombuffer(one, "<f4"), np.frombuffer(other, "<f4"), atol=1e-3)
            elif "bookmarks" in name:
                assert bookmarks(one) == bookmarks(other)
            elif name.endswith(".png"):
                continue  # below: two of one name may stand in another order
            elif "tfevents" in name:
                assert len(one) == len(other)
            else:
                assert HASH.sub(b"*", one) == HASH.sub(b"*", other), name


def test_its_pictures(made):
    """Sprites are of the committed sizes."""
    ours, golden = (sorted(Image.open(path).size for path in run.glob("assets/*.png")) for run in (made, GOLDEN))
    assert ours == golden


def test_the_golden_run_is_whole():
    """The committed run is one that any later version still reads; but for the picture, which is not committed."""
    assert faults(GOLDEN) == ["picture.png is missing"]


def test_its_format(made):
    """The format is the committed one. What is new: `python -m scripts.run_format tests/golden/run` into format.json,
    and a line in CHANGELOG.md. What is gone, or of another kind: a higher FORMAT, and a major version, too.
    """
    committed = json.loads((HERE / "format.json").read_text())
    assert described(GOLDEN) == committed
    assert described(made) == {**committed, "files": sorted([*committed["files"], "picture.png"])}


def test_formats_are_compared(tmp_path, capsys):
    """What is gone or of another kind asks for a higher format; what is new does not."""
    now = described(GOLDEN)
    before = json.loads(json.dumps(now))
    assert missing(before, now) == new(before, now) == []
    before["manifest"]["top_k"] = "str"
    before["manifest"]["gone"] = "str"
    before["columns"].reverse()
    before["files"].remove("vectors.tsv")
    assert len(missing(before, now)) == 3
    assert new(before, now) == ["files: vectors.tsv is new"]
    (tmp_path / "format.json").write_text(json.dumps(before))
    assert main([str(GOLDEN), "--since", str(tmp_path / "format.json")]) == 1
    (tmp_path / "format.json").write_text(json.dumps({**before, "format": 0}))
    assert main([str(GOLDEN), "--since", str(tmp_path / "format.json")]) == 0
    assert "raise FORMAT" in capsys.readouterr().out
