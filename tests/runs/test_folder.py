"""The files of a run, and TensorBoard's own reading of them: equal to what was exported."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from exporter.runs import manifest, notf
from exporter.runs.folder import Tensor
from exporter.runs.metadata import table
from exporter.runs.verify import faults, read_tensor
from tests.runs.conftest import make_points, make_run

READ_WITH_TENSORFLOW = """
import sys, json, tensorflow
sys.path.insert(0, {root!r})
from tests.runs.test_folder import answers_of_tensorboard
print(json.dumps(answers_of_tensorboard({path!r})))
"""


def answers_of_tensorboard(path):
    """What TensorBoard's plugin, in this process, answers for /runs, /info, and each tensor and its metadata."""
    from pathlib import Path

    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
    from werkzeug.test import Client

    path = Path(path)
    provider = SimpleNamespace(list_runs=lambda *_, **__: [SimpleNamespace(run_name=path.name)])
    apps = ProjectorPlugin(TBContext(logdir=str(path.parent), data_provider=provider)).get_plugin_apps()

    def get(route, **query):
        answer = Client(apps[route]).get("/", query_string=query)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_data()

    info = json.loads(get("/info", run=path.name))
    found = {"runs": json.loads(get("/runs")), "tensors": {}}
    for entry in info["embeddings"]:
        if "tensorPath" not in entry and "tensorflow" not in sys.modules:
            continue  # only TensorFlow reads a checkpoint; the other tensors show all the same
        values = np.frombuffer(get("/tensor", run=path.name, name=entry["tensorName"]), "<f4")
        found["tensors"][entry["tensorName"]] = {
            "shape": entry["tensorShape"],
            "values": values.astype(float).tolist(),
            "metadata": get("/metadata", run=path.name, name=entry["tensorName"]).decode(),
        }
    return found


@pytest.mark.parametrize("tensor_format", ["bytes", "tsv", "checkpoint"])
@pytest.mark.parametrize("tensorflow", [False, True])
def test_tensorboard_reads_what_was_exported(tmp_path, tensor_format, tensorflow):
    """The plugin gives back names, shapes, values and metadata, with and without TensorFlow, in all three formats."""
    if (tensorflow or tensor_format == "checkpoint") and not sys.platform.startswith("linux"):
        pytest.skip("tensorflow-cpu has wheels for Linux on x86-64 only")
    points = make_points(rows=60, dimension=7)
    picture = Tensor("map", points.vectors[:, :3].copy())
    path = make_run(tmp_path / "run", points, tensor_format=tensor_format, pictures=[picture])
    if tensorflow:
        script = READ_WITH_TENSORFLOW.format(
            root=str(pytest.importorskip("exporter").__path__[0] + "/.."), path=str(path)
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
    else:
        notf.without_tensorflow()
        found = answers_of_tensorboard(path)
    assert found["runs"] == ["run"]
    suffix = json.loads((path / "manifest.json").read_text())["tensors"][0]["name"].split()[1]
    expected = {f"map {suffix}": picture.values, f"vectors {suffix}": points.vectors}
    if tensor_format == "checkpoint" and not tensorflow:
        del expected[f"vectors {suffix}"]
    assert set(found["tensors"]) == set(expected)
    for name, values in expected.items():
        read = found["tensors"][name]
        assert read["shape"] == list(values.shape)
        np.testing.assert_allclose(np.reshape(read["values"], values.shape), values, rtol=1.6e-5)
        assert read["metadata"].rstrip("\n") == b"".join(table(points).to_tsv()).decode().rstrip("\n")


def test_files_of_a_run(tmp_path):
    """The three files that people know are there, metadata.tsv is the asset's twin, and the manifest knows them all."""
    points = make_points()
    path = make_run(tmp_path / "run", points)
    assert {"projector_config.pbtxt", "vectors.tsv", "metadata.tsv", "manifest.json"} <= {
        p.name for p in path.iterdir()
    }
    asset = next((path / "assets").glob("metadata-*.tsv"))
    assert asset.samefile(path / "metadata.tsv")
    records = json.loads((path / "manifest.json").read_text())["files"]
    assert set(records) == {"projector_config.pbtxt", "vectors.tsv", "metadata.tsv"} | {
        p.relative_to(path).as_posix() for p in (path / "assets").iterdir()
    }
    assert asset.name == f"metadata-{records['metadata.tsv']['sha256'][:12]}.tsv"
    assert np.loadtxt(path / "vectors.tsv", delimiter="\t", dtype=np.float32).tobytes() == points.vectors.tobytes()
    assert faults(path) == []


def test_no_tsv(tmp_path):
    """Without vectors.tsv the run is whole all the same."""
    path = make_run(tmp_path / "run", vectors_tsv=False)
    assert not (path / "vectors.tsv").exists()
    assert faults(path) == []


def test_names_follow_the_content(tmp_path):
    """Other vectors or other metadata give other tensor names and assets; the same give the same."""

    def names(path):
        return {e["name"] for e in manifest.read(path)["tensors"]}, {p.name for p in (path / "assets").iterdir()}

    one, again = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    other = make_run(tmp_path / "c", make_points(seed=1))
    retold = make_run(tmp_path / "d", make_points(texts=[f"text {i}!" for i in range(12)]))
    assert names(one) == names(again)
    assert names(one)[0].isdisjoint(names(other)[0])
    assert names(one)[0].isdisjoint(names(retold)[0])
    assert names(one)[1].isdisjoint(names(other)[1])


def test_vectors_of_a_plane(tmp_path):
    """Two columns are padded with zeros in the tensor, and stay two in vectors.tsv."""
    points = make_points(dimension=2)
    path = make_run(tmp_path / "run", points)
    entry = manifest.read(path)["tensors"][-1]
    assert (read_tensor(path, entry["file"], tuple(entry["shape"]))[:, 2] == 0).all()
    assert np.loadtxt(path / "vectors.tsv", delimiter="\t").shape == (13, 2)
