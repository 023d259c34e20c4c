"""The command line, called in this process."""

from types import SimpleNamespace

import pytest

from exporter.cli.app import run


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """`cli(*arguments)` in an empty folder: exit code, stdout and stderr."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments):
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err, folder=tmp_path / "here")

    return call
