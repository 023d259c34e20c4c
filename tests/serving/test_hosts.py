"""Our server answers to its own names only."""

from __future__ import annotations

import socket
from http.client import HTTPConnection

import pytest

from exporter.serving.hosts import is_loopback, names_of
from tests.serving.little_runs import write_run


def status_for(server, host: str, path: str = "/") -> tuple[int, str]:
    """Status and text of the answer to a request that names the server so."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:6006", "localhost:1", "LOCALHOST.", "[::1]:6006", "::1"])
def test_names_of_the_loopback_interface(host):
    """Bound to 127.0.0.1, the server is meant by any of this machine's own names, in any spelling, on any port."""
    assert names_of("127.0.0.1", bind_all=False).include(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:6006",
        "",
        "10.0.0.1",
        "[::2]:80",
        "127.0.0.2",
        "[::1].evil.example",
        "127.0.0.1:evil.example",
        "[::1]:80.evil.example",
    ],
)
def test_other_names(host):
    """Bound to 127.0.0.1, no other name or address is meant, however it begins."""
    assert not names_of("127.0.0.1", bind_all=False).include(host)


@pytest.mark.parametrize(
    "everywhere", [{"host": "0.0.0.0", "bind_all": False}, {"host": "127.0.0.1", "bind_all": True}]
)
def test_names_of_every_interface(everywhere):
    """Bound to every interface, each address and the machine's name are meant, and names of others are not."""
    names = names_of(**everywhere)
    for host in ("192.0.2.7:6006", "[2001:db8::7]", socket.gethostname(), "localhost"):
        assert names.include(host)
    assert not names.include("evil.example")


def test_more_names():
    """The host that was asked for is meant, and so is each name that is allowed beside it."""
    names = names_of("box.example", bind_all=False, allowed=["Proxy.Example"])
    assert names.include("box.example:6006")
    assert names.include("proxy.example")
    assert not names.include("other.example")


def test_loopback():
    """Only addresses that nobody else reaches are loopback."""
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "", "10.0.0.1", "box.example")] == [False] * 4


@pytest.mark.parametrize("stock", [False, True])
def test_a_wrong_host_gets_nothing(serve, tmp_path, stock):
    """A request for another name gets 403 and no word of any run, on every path, in our page and in the stock one."""
    write_run(tmp_path / "secret-run", 1)
    server = serve(tmp_path, stock=stock, allow_hosts=("proxy.example",))
    for path in ("/", "/data/plugin/projector/runs", "/data/logdir", "/data/plugin/projector/projector_binary.html"):
        status, text = status_for(server, "evil.example", path)
        assert status == 403
        assert "secret-run" not in text
        assert "evil.example" in text
    for host in ("localhost", f"127.0.0.1:{server.port}", "proxy.example"):
        status, text = status_for(server, host, "/data/plugin/projector/runs")
        assert status == 200
        assert "secret-run" in text
