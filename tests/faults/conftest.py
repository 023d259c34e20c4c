"""The command line in a process of its own, on terminals and file systems that are made for a test."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.serving.conftest import serve  # noqa: F401

COMMAND = (sys.executable, "-m", "exporter")


@pytest.fixture
def command(tmp_path):
    """`command(*arguments, **environment)`: exit code, stdout and stderr; None takes a variable away."""

    def call(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **environment):
        whole = {**os.environ, **{name: value for name, value in environment.items() if value is not None}}
        for name in [name for name, value in environment.items() if value is None]:
            whole.pop(name, None)
        done = subprocess.run(
            [*COMMAND, *map(os.fspath, arguments)], stdout=stdout, stderr=stderr, cwd=tmp_path, env=whole
        )
        text = [None if stream is None else stream.decode() for stream in (done.stdout, done.stderr)]
        return SimpleNamespace(code=done.returncode, out=text[0], err=text[1])

    return call


@pytest.fixture
def on_terminal(tmp_path):
    """The same on a terminal of so many columns: exit code and what it was sent, as bytes."""

    def call(columns, *arguments, **environment):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        whole = {**os.environ, "TERM": "xterm", "COLUMNS": None, **environment}
        whole = {name: value for name, value in whole.items() if value is not None}
        process = subprocess.Popen(
            [*COMMAND, *map(os.fspath, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=whole
        )
        os.close(theirs)
        sent = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # Linux: the last one has closed it
                break
            if not block:
                break
            sent += block
        os.close(ours)
        return process.wait(), sent

    return call


@pytest.fixture
def mount(tmp_path):
    """`mount(name, options)`: a small file system in memory, gone at the end. Skips where none can be mounted."""
    mounted = []

    def make(name, options):
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here ({done.stderr.decode().strip()})")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def files(folder):
    """The content of every file below a folder, by path."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}
