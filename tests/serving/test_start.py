"""Starting, stopping, and the process in which TensorBoard runs."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from exporter.errors import ServingError, UsageError
from exporter.serving.tensorboard import start
from tests.serving.little_runs import eventually, get, has_ended, runs_of, tab_is_enabled, write_run


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    """A log directory with one run."""
    logs = tmp_path / "logs"
    logs.mkdir()
    write_run(logs / "run")
    return logs


@contextmanager
def a_port_taken(*, listening: bool = True) -> Iterator[int]:
    """A port that somebody else has; below those that the system gives to any outgoing connection."""
    with socket.socket() as taken:
        while True:
            port = random.randrange(10_000, 30_000)
            with suppress(OSError):
                taken.bind(("127.0.0.1", port))
                break
        if listening:
            taken.listen()
        yield port


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def started_by_a_script(logdir: Path, then: str) -> subprocess.Popen[str]:
    """Another Python, in a process group of its own, that serves and prints the child's pid and the port."""
    script = f"""
import time
from exporter.serving.tensorboard import start
server = start({str(logdir)!r}, port=0)
try:
    print(server.pid, server.port, flush=True)
    {then}
except KeyboardInterrupt:
    time.sleep(0.5)
    print("child lives" if server._process.poll() is None else "child died", flush=True)
    server.stop()
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env, start_new_session=True
    )


def test_the_tab_is_there_when_start_returns(serve, logdir):
    """Once `start` has returned, the tab is enabled, the run is listed, and the addresses lead there."""
    server = serve(logdir)
    assert tab_is_enabled(server)
    assert runs_of(server) == ["run"]
    assert server.url == f"http://127.0.0.1:{server.port}/"
    assert server.projector_url == f"http://127.0.0.1:{server.port}/#projector"
    assert get(server, "/")[0] == 200


def test_a_pipe_for_a_config(serve, logdir):
    """A run whose config is a pipe is none, and keeps no other from being shown."""
    (write_run(logdir / "waiting") / "projector_config.pbtxt").unlink()
    os.mkfifo(logdir / "waiting" / "projector_config.pbtxt")
    assert runs_of(serve(logdir)) == ["run"]


def test_port_0_is_any_free_port(serve, logdir):
    """Port 0 takes a port that the system chooses, and `port` tells which."""
    server = serve(logdir, port=0)
    assert server.port > 1023


@pytest.mark.parametrize("listening", [True, False])
def test_a_taken_port_gives_the_next_free_one(serve, logdir, listening):
    """When the port is taken, by a listener or otherwise, a higher one is used, and the outcome tells both."""
    with a_port_taken(listening=listening) as taken:
        server = serve(logdir, port=taken)
        assert taken < server.port <= taken + 99
        assert tab_is_enabled(server)


def test_a_free_port_is_the_one_that_was_asked_for(serve, logdir):
    """When the port is free it is used, and again after a stop."""
    with a_port_taken() as free:
        pass
    server = serve(logdir, port=free)
    assert server.port == free
    server.stop()
    assert serve(logdir, port=free).port == free


def test_an_interface_that_is_not_there_is_said(logdir):
    """A host that this machine does not have is a ServingError with the reason, not a search for ports."""
    with pytest.raises(ServingError, match=r"start: Cannot assign requested address$"):
        start(logdir, port=0, host="192.0.2.1")


def test_it_listens_on_the_loopback_interface_only(serve, logdir):
    """Without being asked, nothing but 127.0.0.1 is bound."""
    server = serve(logdir)
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    bound = [address for _, address, _, state, *_ in sockets if state == "0A" and int(address[-4:], 16) == server.port]
    assert bound == [f"0100007F:{server.port:04X}"]


def test_a_path_prefix_is_part_of_the_address(serve, logdir):
    """With a path prefix the tab is there, below the prefix."""
    server = serve(logdir, path_prefix="/behind/a/proxy")
    assert server.url.endswith("/behind/a/proxy/")
    assert runs_of(server) == ["run"]


def test_a_bad_path_prefix_is_said(logdir):
    """What TensorBoard refuses ends in a ServingError with TensorBoard's words."""
    with pytest.raises(ServingError, match="Path prefix must start with slash"):
        start(logdir, port=0, path_prefix="prefix")


def test_the_stock_projector_can_be_served(serve, logdir):
    """With `stock`, TensorBoard's own Projector shows the run."""
    server = serve(logdir, stock=True)
    assert tab_is_enabled(server)
    assert runs_of(server) == ["run"]


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_impossible_port_is_a_usage_error(logdir, port):
    """A number that is no port is refused before anything is started."""
    with pytest.raises(UsageError, match=str(port)):
        start(logdir, port=port)


def test_host_and_bind_all_exclude_each_other(logdir):
    """As with TensorBoard, one interface and all of them can't both be meant."""
    with pytest.raises(UsageError, match=r"10\.0\.0\.1"):
        start(logdir, host="10.0.0.1", bind_all=True)


def test_a_log_directory_that_does_not_exist(tmp_path):
    """A log directory that isn't there is a ServingError, and is not made."""
    with pytest.raises(ServingError, match="no directory"):
        start(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_log_directory_without_runs(tmp_path):
    """Without a run nothing is started, and the message says how to make one."""
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(ServingError, match="make export"):
        start(tmp_path)


def test_a_time_out_leaves_no_process(logdir):
    """When the tab isn't there in time, that is a ServingError, and the child has ended."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    with pytest.raises(ServingError, match=r"0\.01 seconds"):
        start(logdir, port=0, timeout=0.01)
    assert children.read_text() == before


def test_stop_ends_the_process_and_frees_the_port(serve, logdir):
    """`stop` returns within five seconds; then the process is gone and the port is free; stopping again is harmless."""
    server = serve(logdir)
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 5
    assert has_ended(server.pid)
    assert not accepts(server.port)
    server.stop()
    server.wait()


def test_the_end_of_the_process_ends_the_waiting(serve, logdir):
    """`wait` raises when TensorBoard ends by itself, with its status."""
    server = serve(logdir)
    os.kill(server.pid, signal.SIGTERM)
    with pytest.raises(ServingError, match="-15"):
        server.wait()


def test_two_servers_at_once(serve, logdir, tmp_path):
    """Two servers on two log directories don't disturb each other."""
    other = tmp_path / "other"
    other.mkdir()
    write_run(other / "another")
    one, two = serve(logdir), serve(other)
    assert one.port != two.port
    assert (runs_of(one), runs_of(two)) == (["run"], ["another"])
    one.stop()
    assert runs_of(two) == ["another"]


def test_a_killed_parent_takes_the_child_along(logdir):
    """When the parent dies of SIGKILL, the child is gone within a few seconds."""
    with started_by_a_script(logdir, "time.sleep(600)") as parent:
        pid, port = map(int, parent.stdout.readline().split())
        assert accepts(port)
        parent.kill()
        assert eventually(lambda: has_ended(pid) and not accepts(port), seconds=5)


def test_interrupt_is_the_parent_s_to_decide(logdir):
    """^C reaches parent and child; the child goes on until the parent stops it, then both are gone."""
    with started_by_a_script(logdir, "server.wait()") as parent:
        pid, port = map(int, parent.stdout.readline().split())
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.readline() == "child lives\n"
        assert parent.wait(5) == 0
        assert has_ended(pid)
        assert not accepts(port)


def test_the_parent_does_not_import_tensorboard(logdir):
    """A program that serves has neither TensorBoard nor TensorFlow in it."""
    show = "import sys; print({name.partition('.')[0] for name in sys.modules} & {'tensorboard', 'tensorflow'})"
    with started_by_a_script(logdir, show) as parent:
        assert parent.stdout.readlines()[1] == "set()\n"


def test_nothing_reaches_the_terminal(serve, logdir, capfd):
    """TensorBoard's own chatter stays away from the user's terminal, and so does ours."""
    server = serve(logdir)
    write_run(logdir / "run", 2)  # TensorBoard has a word to say about that
    assert eventually(lambda: server._chatter)
    server.stop()
    assert capfd.readouterr() == ("", "")


def test_a_module_in_the_working_directory_is_not_taken_for_python_s(serve, logdir, tmp_path, monkeypatch):
    """A random.py where the user happens to be doesn't stop the server."""
    (tmp_path / "random.py").write_text("raise SystemExit('wrong random')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # as `python -c` and notebooks have it
    assert runs_of(serve("logs")) == ["run"]
