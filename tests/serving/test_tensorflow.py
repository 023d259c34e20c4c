"""TensorFlow is loaded when a run holds a checkpoint, and only then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exporter.serving.logdir import find_runs, holds_checkpoint
from exporter.serving.tensorboard import Server
from tests.serving.little_runs import EVENTS, eventually, generation_of, get, runs_of, tensor_of, write_run

WRITE_CHECKPOINT = """
import sys
import tensorflow as tf
tf.compat.v1.disable_eager_execution()
with tf.compat.v1.Session() as session:
    variable = tf.compat.v1.get_variable("vectors", initializer=tf.reshape(tf.range(40.0), (10, 4)))
    session.run(variable.initializer)
    tf.compat.v1.train.Saver([variable], save_relative_paths=True).save(session, sys.argv[1] + "/vectors.ckpt")
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose vectors are in a checkpoint that TensorFlow wrote."""
    run = tmp_path_factory.mktemp("checkpoint") / "run"
    run.mkdir()
    subprocess.run([sys.executable, "-c", WRITE_CHECKPOINT, str(run)], check=True, capture_output=True)
    config = 'embeddings { tensor_name: "vectors" tensor_shape: 10 tensor_shape: 4 metadata_path: "m.tsv" }'
    (run / "projector_config.pbtxt").write_text(config)
    (run / "m.tsv").write_text("label\tgeneration\n" + "row\t7\n" * 10)
    (run / "events.out.tfevents.1.here").write_bytes(EVENTS)
    return run


def has_tensorflow(server: Server) -> bool:
    """Whether the library is in the memory of the server's process."""
    return "_pywrap_tensorflow" in Path(f"/proc/{server.pid}/maps").read_text()


def test_without_a_checkpoint_there_is_no_tensorflow(serve, tmp_path):
    """Though TensorFlow is installed, a server of runs without a checkpoint doesn't load it."""
    write_run(tmp_path / "run")
    assert not has_tensorflow(serve(tmp_path))


def test_a_checkpoint_run_that_appears_is_served(serve, checkpoint, tmp_path):
    """A checkpoint that appears is served at the same address, by a process with TensorFlow; other runs still are."""
    write_run(tmp_path / "run", 3)
    notices: list[str] = []
    server = serve(tmp_path, notice=notices.append)
    url, pid = server.url, server.pid
    checkpoint.rename(tmp_path / "checkpoint")
    try:
        assert eventually(lambda: server.pid != pid)
        assert eventually(lambda: answers(server) and set(runs_of(server)) == {"run", "checkpoint"}, seconds=60)
        assert server.url == url
        assert has_tensorflow(server)
        assert tensor_of(server, "checkpoint")["tensorShape"] == [10, 4]
        tensor = get(server, "tensor", run="checkpoint", name="vectors")[1]
        assert (np.frombuffer(tensor, "<f4") == np.arange(40)).all()
        assert generation_of(server, "run") == (3, 3)
        assert len(notices) == 1
        assert "TensorFlow" in notices[0]
    finally:
        (tmp_path / "checkpoint").rename(checkpoint)


def answers(server: Server) -> bool:
    """Whether it is listening; while it is started again it is not."""
    try:
        return get(server, "runs")[0] == 200
    except OSError:
        return False


def test_a_checkpoint_that_is_there_is_served_from_the_start(serve, checkpoint):
    """With a checkpoint in the log directory, TensorFlow is loaded at once and nothing is started twice."""
    notices: list[str] = []
    server = serve(checkpoint.parent, notice=notices.append)
    assert runs_of(server) == ["run"]
    assert generation_of(server, "run")[1] == 7
    assert notices == []


def test_a_checkpoint_where_tensorflow_is_not_installed(serve, checkpoint, tmp_path, monkeypatch):
    """Without TensorFlow a checkpoint run is left out with a warning, and the others are served."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = None\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    logs = tmp_path / "logs"
    logs.mkdir()
    write_run(logs / "run", 3)
    (logs / "checkpoint").symlink_to(checkpoint)
    notices: list[str] = []
    server = serve(logs, notice=notices.append)
    pid = server.pid
    assert eventually(lambda: notices)
    assert "checkpoint" in notices[0]
    assert "pip install tensorflow-cpu" in notices[0]
    assert runs_of(server) == ["run"]
    assert server.pid == pid


@pytest.mark.parametrize(
    ("config", "holds"),
    [
        ("", True),
        ('embeddings { tensor_name: "a" }', True),
        ('embeddings: <tensor_name: "a">', True),
        ('embeddings { tensor_path: "a" } embeddings { tensor_name: "b" sprite { image_path: "s" } }', True),
        ('embeddings { tensor_path: "a" }', False),
        ('embeddings {\n  tensor_path: "a"\n}\nembeddings {\n  tensor_path: "b"\n}\n', False),
    ],
)
def test_which_configs_ask_for_a_checkpoint(tmp_path, config, holds):
    """A config asks for a checkpoint when a tensor has no file, and it gets TensorFlow when there is a checkpoint."""
    (tmp_path / "projector_config.pbtxt").write_text(config)
    assert not holds_checkpoint(tmp_path)
    (tmp_path / "checkpoint").touch()
    assert holds_checkpoint(tmp_path) is holds
    assert find_runs(tmp_path) == {".": tmp_path}


TENSORFLOW_OF_TENSORBOARD = """
import sys, json
from types import ModuleType
from exporter.runs.notf import without_tensorflow
{before}
without_tensorflow()
without_tensorflow()
from tensorboard.compat import tf
print(json.dumps([tf.__version__, "tensorflow.python" in sys.modules]))
"""


@pytest.mark.parametrize(
    ("before", "version"),
    [
        ("", "stub"),
        ("sys.modules['tensorflow'] = ModuleType('tensorflow'); sys.modules['tensorflow'].__version__ = '9'", "9"),
    ],
)
def test_without_tensorflow(before, version):
    """TensorBoard takes its stand-in, however often it is told to, but for a TensorFlow that is imported already."""
    script = TENSORFLOW_OF_TENSORBOARD.format(before=before)
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert json.loads(output) == [version, False]
