"""Who can read what is served."""

import os
import subprocess
import sys
import urllib.request

import pytest

from tests.workflows.test_export import ask


@pytest.mark.parametrize(
    ("options", "warned"),
    [([], False), (["--host", "127.0.0.2"], False), (["--host", "0.0.0.0"], True), (["--bind_all"], True)],
)
def test_elsewhere_than_loopback(chroma, tmp_path, options, warned):
    """Only a host that is named makes the server listen beyond this machine, and a warning says who can read it."""
    run = ask(chroma, tmp_path, projection="none")
    command = [sys.executable, "-m", "exporter", "tensorboard", run.path.parent, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip().removesuffix("#projector")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=30) as answer:
            assert answer.status == 200
        process.terminate()
        told = process.communicate(timeout=30)[1]
    assert ("everybody who can reach this machine can read the documents" in told) == warned
    assert os.linesep not in address
