"""A run as a zip: whole again when unpacked, and harmless whoever made it."""

import hashlib
import io
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import urllib.request
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from exporter import serve, share
from exporter.cli.app import run as run_cli
from exporter.errors import OutputError, ServingError
from exporter.runs.verify import faults
from exporter.serving.tensorboard import start
from exporter.sharing.archive import unpack
from tests.serving.little_runs import get, runs_of
from tests.workflows.test_export import ask

CONFIG = b'embeddings {\n  tensor_name: "a"\n  tensor_path: "a.tsv"\n}\n'


@pytest.fixture
def run(chroma, tmp_path):
    """A run; its metadata.tsv is there twice."""
    return ask(chroma, tmp_path, answer="text 7")


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def packed(path, *entries):
    """A zip of names, or of ZipInfos, each with its content."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_there_and_back(run, tmp_path):
    """A run that was zipped is, unpacked elsewhere, the same run file by file, and whole."""
    zipped = share(run.path, tmp_path / "run.zip")
    logdir = unpack(zipped, tmp_path / "elsewhere")
    assert files_of(logdir / run.name) == files_of(run.path)
    assert faults(logdir / run.name) == []


def test_each_content_once(run, tmp_path):
    """No content is in the archive twice, and nothing that does not belong to the run."""
    (run.path / "secret.txt").write_text("put here by accident")
    with ZipFile(share(run.path, tmp_path / "run.zip")) as archive:
        contents = [hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()]
        assert len(set(contents)) == len(contents)
        assert not any("secret" in name for name in archive.namelist())
        assert all(name.startswith(f"{run.name}/") for name in archive.namelist())


def test_unpacked_by_hand(run, tmp_path):
    """What any zip tool unpacks is a run that TensorBoard lists, and that verify finds whole."""
    with ZipFile(share(run.path, tmp_path / "run.zip")) as archive:
        archive.extractall(tmp_path / "by-hand")
    assert faults(tmp_path / "by-hand" / run.name) == []


def test_renamed_and_packed_by_hand(run, tmp_path):
    """An archive of the run's files alone, under any name, opens too."""
    shutil.make_archive(tmp_path / "Mein Lauf (2)", "zip", run.path)
    logdir = unpack(tmp_path / "Mein Lauf (2).zip", tmp_path / "elsewhere")
    assert [faults(path) for path in logdir.iterdir()] == [[]]


def test_a_name_that_the_page_cannot_ask_for(run, tmp_path):
    """A run that was renamed as none can be called is packed, and unpacked, under a name that the page can ask for."""
    odd = run.path.rename(tmp_path / "Lauf é & #1")
    shutil.make_archive(tmp_path / "by-hand", "zip", tmp_path, odd.name)
    for zipped in (share(odd, tmp_path / "run.zip"), tmp_path / "by-hand.zip"):
        logdir = unpack(zipped, tmp_path / zipped.stem)
        assert [path.name for path in logdir.iterdir()] == ["Lauf - - -1"]
        assert faults(logdir / "Lauf - - -1") == []
    share(odd, tmp_path / "run.html", text=False)


def test_served(run, tmp_path):
    """TensorBoard serves what was unpacked, under the run's name."""
    logdir = unpack(share(run.path, tmp_path / "run.zip"), tmp_path / "elsewhere")
    with start(logdir, port=0) as server:
        assert runs_of(server) == [run.name]
        assert get(server, "metadata", run=run.name, name=run.facts["tensors"][0]["name"])[0] == 200


def link(name, target):
    made = ZipInfo(name)
    made.external_attr = (stat.S_IFLNK | 0o777) << 16
    return made, target


def device(name):
    made = ZipInfo(name)
    made.external_attr = (stat.S_IFIFO | 0o666) << 16
    return made, b""


def other_packing(name):
    made = ZipInfo(name)
    made.compress_type = ZIP_BZIP2
    return made, b"x" * 100


ATTACKS = {
    "parent": [("run/../../../../outside.txt", b"x")],
    "parent first": [("../outside.txt", b"x")],
    "absolute": [("/tmp/outside.txt", b"x")],
    "backslashes": [("run\\..\\..\\outside.txt", b"x")],
    "drive": [("C:/outside.txt", b"x")],
    "dots": [("run/./a", b"x")],
    "control": [("run/a\nb", b"x")],
    "link": [link("run/inside", "/etc")],
    "link, then through it": [link("run/inside", ".."), ("run/inside/outside.txt", b"x")],
    "pipe": [device("run/pipe")],
    "twice": [("run/a.tsv", b"x"), ("run/A.tsv", b"y")],
    "file and folder": [("run/a.tsv", b"x"), ("run/a.tsv/b", b"y")],
    "long name": [("run/" + "a" * 300, b"x")],
    "other packing": [other_packing("run/a")],
    "many": [(f"run/{i}", b"") for i in range(40)],
    "large": [("run/large", b"\0" * 2_000_000)],
    "config names a checkpoint": [("run/projector_config.pbtxt", b'model_checkpoint_path: "/etc/passwd"\n' + CONFIG)],
    "checkpoint elsewhere": [("run/checkpoint", b'model_checkpoint_path: "/etc/passwd"\n')],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(attack, tmp_path):
    """An archive that attacks is refused in one line that says why, and nothing is written outside the target."""
    entries = ATTACKS[attack]
    if not any(name == "run/projector_config.pbtxt" for name, _ in entries):
        entries = [("run/projector_config.pbtxt", CONFIG), *entries]
    bad = packed(tmp_path / "bad.zip", *entries)
    target = tmp_path / "deep" / "er" / "target"
    with pytest.raises(ServingError) as refused:
        unpack(bad, target, most_files=30, most_bytes=1_000_000)
    assert "is refused: " in str(refused.value)
    assert "\n" not in str(refused.value)
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and target not in path.parents]
    assert outside == [bad]


def test_false_size(tmp_path):
    """A file that unpacks to more than the archive claims is cut off there, and refused."""
    honest = packed(
        tmp_path / "honest.zip", ("run/projector_config.pbtxt", CONFIG), ("run/bomb", b"\0" * 5_000_000)
    ).read_bytes()
    claimed = struct.pack("<I", 5_000_000)
    assert honest.count(claimed) == 2  # in front of the file, and in the list at the end
    (tmp_path / "bomb.zip").write_bytes(honest.replace(claimed, struct.pack("<I", 1_000)))
    with pytest.raises(ServingError, match=r"bomb\.zip"):
        unpack(tmp_path / "bomb.zip", tmp_path / "target", most_bytes=10_000)
    written = sum(path.stat().st_size for path in (tmp_path / "target").rglob("*") if path.is_file())
    assert written <= 10_000


def test_manifest_that_attacks(run, tmp_path):
    """A manifest can't have a file linked outside the run."""
    zipped = share(run.path, tmp_path / "run.zip")
    facts = json.loads((run.path / "manifest.json").read_text())
    facts["files"]["../../../../outside.tsv"] = facts["files"]["metadata.tsv"]
    with ZipFile(zipped) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist() if not name.endswith("manifest.json")]
    bad = packed(tmp_path / "bad.zip", *entries, (f"{run.name}/manifest.json", json.dumps(facts)))
    with pytest.raises(ServingError, match="in its manifest the name"):
        unpack(bad, tmp_path / "a" / "b" / "target")
    assert not list(tmp_path.rglob("outside.tsv"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no more", b"not a zip at all"])
def test_no_archive(content, tmp_path):
    """What is no zip is one line, and so is a zip without a run."""
    (tmp_path / "run.zip").write_bytes(content)
    with pytest.raises(ServingError, match="can't be unpacked"):
        unpack(tmp_path / "run.zip", tmp_path / "target")
    with pytest.raises(ServingError, match="holds no run"):
        unpack(packed(tmp_path / "other.zip", ("a/b.txt", b"x")), tmp_path / "target")


def test_broken(run, tmp_path):
    """A byte that was changed on the way is found."""
    zipped = share(run.path, tmp_path / "run.zip")
    raw = bytearray(zipped.read_bytes())
    raw[200] ^= 0xFF
    zipped.write_bytes(raw)
    with pytest.raises(ServingError, match="can't be unpacked"):
        unpack(zipped, tmp_path / "target")


def test_refused_on_the_command_line(tmp_path, capsys):
    """`tensorboard` refuses in one line, with the exit code of serving, and leaves nothing behind."""
    bad = packed(tmp_path / "bad.zip", ("run/projector_config.pbtxt", CONFIG), ("../outside.txt", b"x"))
    assert run_cli(["tensorboard", str(bad), "--port", "0"]) == 8
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert not (tmp_path.parent / "outside.txt").exists()


def test_a_file_is_missing(run, tmp_path):
    """What is not whole is not packed, and an older archive stays as it was."""
    zipped = share(run.path, tmp_path / "run.zip")
    before = zipped.read_bytes()
    next((run.path / "assets").glob("map-*")).unlink()
    with pytest.raises(OutputError, match="is not whole"):
        share(run.path, zipped)
    assert zipped.read_bytes() == before
    assert [path.name for path in tmp_path.glob(".run*")] == []
    assert ZipFile(io.BytesIO(before)).testzip() is None


def test_python_serves_an_archive(run, tmp_path, monkeypatch):
    """`exporter.serve` takes a zip as well; what it unpacked is gone when the server stops, or is refused."""
    zipped = share(run.path, tmp_path / "run.zip")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with serve(zipped, port=0) as server:
        assert runs_of(server) == [run.name]
        assert len(list((tmp_path / "tmp").rglob("manifest.json"))) == 1
    assert not list((tmp_path / "tmp").iterdir())
    with pytest.raises(ServingError, match="is refused"):
        serve(packed(tmp_path / "bad.zip", ("run/projector_config.pbtxt", CONFIG), ("../outside.txt", b"x")), port=0)
    assert not list((tmp_path / "tmp").iterdir())


def test_the_command_serves_an_archive(run, tmp_path):
    """`tensorboard run.zip` serves the run, and what it unpacked is gone at the end."""
    zipped = share(run.path, tmp_path / "run.zip")
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "exporter", "tensorboard", str(zipped), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    ) as process:
        address = process.stdout.readline().strip().removesuffix("#projector")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{address}data/plugin/projector/runs", timeout=30
        ) as answer:
            assert json.loads(answer.read()) == [run.name]
        assert len(list((tmp_path / "tmp").rglob("manifest.json"))) == 1
        process.terminate()
    assert process.returncode == 0
    assert not list((tmp_path / "tmp").rglob("manifest.json"))
