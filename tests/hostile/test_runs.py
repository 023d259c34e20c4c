"""Runs and archives that others made: shown, or refused in one line; nothing outside is read into them, or written."""

import io
import json
import os
import shutil
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import open_run, share
from exporter.errors import ExporterError
from exporter.runs.verify import faults
from exporter.serving.page import told_of
from exporter.sharing.archive import unpack
from exporter.workflows.plot import plot
from exporter.workflows.verify import taken_out
from tests.hostile.mutations import changed, examples, harmless, mutated
from tests.workflows.test_export import ask

SECRET = "THE-SECRET-OF-ANOTHER-FILE"


@pytest.fixture(scope="module")
def run(chroma, tmp_path_factory):
    """A run with everything in it."""
    return ask(chroma, tmp_path_factory.mktemp("run"), answer="text 7", text_length=20).path


@pytest.fixture
def fresh(run, tmp_path):
    """A function that gives a copy of it."""

    def copy():
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        return shutil.copytree(run, tmp_path / "a")

    return copy


def look_at(run, out):
    """All that we do with a run of somebody's."""
    harmless(lambda: faults(run))
    harmless(lambda: taken_out(run))
    told_of(run)
    harmless(lambda: share(run, out / "run.zip"))


def look_at_everything(run, out):
    """The slower ones as well."""
    look_at(run, out)
    harmless(lambda: share(run, out / "run.html"))
    harmless(lambda: share(run, out / "small.html", text=False, anonymize_ids=True, map_only=True))
    harmless(lambda: plot(run, out / "run.svg"))


@examples(80)
@given(data=st.data())
def test_manifests(fresh, tmp_path, data):
    """Whatever a manifest says: what is made of the run is made, or refused in one line."""
    path = fresh()
    facts = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(data.draw(mutated(facts))))
    look_at(path, tmp_path)


@examples(12)
@given(data=st.data())
def test_manifests_drawn(fresh, tmp_path, data):
    """The same, with pages and pictures."""
    path = fresh()
    facts = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(data.draw(mutated(facts))))
    look_at_everything(path, tmp_path)


@examples(80)
@given(data=st.data())
def test_files_of_a_run(fresh, tmp_path, data):
    """Whatever bytes are in the files of a run."""
    path = fresh()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    content = data.draw(changed(file.read_bytes()))
    file.unlink()  # its twin is the same file
    file.write_bytes(content)
    look_at(path, tmp_path)
    harmless(lambda: share(path, tmp_path / "run.html", map_only=True))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("made", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_never_ends(fresh, tmp_path, made):
    """A pipe or a device in place of any file is refused, and neither waited for nor read for ever."""
    names = sorted({path.relative_to(fresh()).as_posix() for path in fresh().rglob("*") if path.is_file()})
    assert "manifest.json" in names
    for name in names:
        path = fresh()
        (path / name).unlink()
        made(path / name)
        with pytest.raises(ExporterError, match="is a pipe or a device"):
            faults(path)
        look_at_everything(path, tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["a"]
    print(f"{len(names)} files")


def test_a_manifest_that_is_huge(fresh, tmp_path):
    """A manifest of twenty gigabytes, of which the disk holds none, is refused before it is read."""
    path = fresh()
    os.truncate(path / "manifest.json", 20 * 2**30)
    with pytest.raises(ExporterError, match="larger than any"):
        faults(path)
    look_at_everything(path, tmp_path)


def test_a_file_of_another_size_is_not_hashed(fresh):
    """A picture of twenty gigabytes is told by its size; nobody waits for its sha256."""
    path = fresh()
    os.truncate(path / "picture.png", 20 * 2**30)
    start = time.monotonic()
    assert "picture.png has 21,474,836,480 bytes" in faults(path)[0]
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("name", ["../secret.txt", "/secret", "link"])
@pytest.mark.parametrize("place", ["flat_map", "tensors", "config", "files"])
def test_what_lies_outside_is_not_shared(fresh, tmp_path, place, name):
    """A run that names a file outside of itself does not get that file into what is shared."""
    path = fresh()
    secret = tmp_path / "secret.txt"
    secret.write_text((SECRET + "\n") * 400)
    os.symlink(secret, path / "link")
    name = str(secret) if name == "/secret" else name
    facts = json.loads((path / "manifest.json").read_text())
    if place == "flat_map":
        facts["flat_map"] = name
    elif place == "tensors":
        for tensor in facts["tensors"]:
            tensor["file"] = name
    elif place == "files":
        for file in ("metadata.tsv", facts["tensors"][0]["file"]):
            facts["files"][name] = facts["files"][file]
            (path / file).unlink()
    else:
        config = (path / "projector_config.pbtxt").read_text()
        for tensor in facts["tensors"]:
            config = config.replace(tensor["file"], name)
        for file in path.glob("assets/metadata*"):
            config = config.replace(f"assets/{file.name}", name)
        (path / "projector_config.pbtxt").write_text(config)
    (path / "manifest.json").write_text(json.dumps(facts))
    assert harmless(lambda: faults(path)) != []
    look_at_everything(path, tmp_path)
    for made in ("run.zip", "run.html", "small.html", "run.svg"):
        if (tmp_path / made).exists() and made.endswith("zip"):
            with zipfile.ZipFile(tmp_path / made) as archive:
                assert not any(SECRET.encode() in archive.read(one) for one in archive.namelist())
        elif (tmp_path / made).exists():
            assert SECRET.encode() not in (tmp_path / made).read_bytes()
    opened = open_run(path)
    read = harmless(lambda: read_points(opened))
    assert isinstance(read, ExporterError) or SECRET not in str(read)


def read_points(run):
    """The rows of a run, as Python's users get them."""
    try:
        return run.points.columns
    except (ValueError, OSError, KeyError):
        return None


@examples(150)
@given(data=st.data())
def test_archives(run, tmp_path_factory, data):
    """Whatever bytes of an archive are others: it is unpacked, or refused; nothing is written outside."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "in").mkdir()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(run.rglob("*")):
            if file.is_file() and file.stat().st_size < 5000:
                archive.write(file, f"a/{file.relative_to(run)}")
    (folder / "in" / "a.zip").write_bytes(data.draw(changed(packed.getvalue())))
    harmless(lambda: unpack(folder / "in" / "a.zip", folder / "out" / "deep", most_bytes=1_000_000))
    outside = [path for path in folder.rglob("*") if path.is_file() and folder / "out" / "deep" not in path.parents]
    assert [path.name for path in outside] == ["a.zip"]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_500_000


parts = st.sampled_from(
    ["a", "..", ".", "", "/", "C:", "con", "a\0b", "x" * 300, "é", "~", "a ", "a.", "*", "\\", "\ud800"]
)


@examples(150)
@given(
    st.lists(
        st.tuples(st.lists(parts, min_size=1, max_size=5), st.integers(0, 0xFFFF), st.binary(max_size=30)), max_size=6
    )
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_in_archives(tmp_path_factory, entries):
    """Whatever names and kinds an archive's files have, nothing is written outside."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "in").mkdir()
    with zipfile.ZipFile(folder / "in" / "a.zip", "w") as archive:
        archive.writestr("r/projector_config.pbtxt", b'embeddings { tensor_name: "a" }')
        for names, mode, content in entries:
            entry = zipfile.ZipInfo("x")
            entry.filename = "/".join(names)
            entry.external_attr = mode << 16
            try:
                archive.writestr(entry, content)
            except UnicodeEncodeError:
                return
    harmless(lambda: unpack(folder / "in" / "a.zip", folder / "out" / "deep"))
    outside = [path for path in folder.rglob("*") if path.is_file() and folder / "out" / "deep" not in path.parents]
    assert [path.name for path in outside] == ["a.zip"]
    assert not any(path.is_symlink() for path in folder.rglob("*"))


@pytest.mark.timeout(60)
def test_a_zip_bomb(tmp_path):
    """Thousands of names for one compressed gigabyte are refused before the disk is full of it."""
    block = zipfile.ZipInfo("a/0")
    block.compress_type = zipfile.ZIP_DEFLATED
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("a/projector_config.pbtxt", b'embeddings { tensor_name: "a" }')
        with archive.open(block, "w") as file:
            for _ in range(64):
                file.write(bytes(2**20))
        for number in range(1, 200):  # each overlaps the first: https://www.bamsoftware.com/hacks/zipbomb/
            twin = zipfile.ZipInfo(f"a/{number}")
            for field in ("header_offset", "compress_type", "CRC", "compress_size", "file_size"):
                setattr(twin, field, getattr(block, field))
            archive.filelist.append(twin)
    assert bomb.stat().st_size < 200_000
    with pytest.raises(ExporterError):
        unpack(bomb, tmp_path / "out")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100_000_000
