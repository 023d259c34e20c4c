"""What is connected to is what was checked, and every page has an end."""

import socket
import ssl
import subprocess
import time

import pytest

from exporter.ingestion import Unreadable
from exporter.ingestion.fetch import Fetcher
from tests.ingestion.site import Site, serve


def fetcher(**settings):
    return Fetcher(**{"max_bytes": 1000, "timeout": 10.0, "may_connect": lambda address: True, **settings})


@pytest.fixture
def site():
    with serve(Site()) as running:
        running.routes["/"] = (200, {"Connection": "close"}, "<p>hello")
        yield running


def test_a_private_address_is_not_connected_to(site):
    """Unless asked, this machine is not asked: no request arrives, whether by name or by number."""
    port = site.server_address[1]
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
        with pytest.raises(Unreadable, match=r"private address.*--allow-private"):
            Fetcher(max_bytes=1000, timeout=5).get(f"http://{host}:{port}/")
    assert site.asked == []


def test_dns_rebinding(site):
    """A name that leads elsewhere at the second question is checked again: the other server is never asked."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
    with serve(Site("127.0.0.2", site.server_address[1])) as other:
        guarded = fetcher(may_connect=lambda address: address == "127.0.0.1", resolve=lambda host, port: next(answers))
        url = f"http://rebinds.test:{site.server_address[1]}/"
        assert guarded.get(url).body == b"<p>hello"
        with pytest.raises(Unreadable, match=r"private address \(127.0.0.2\)"):
            guarded.get(url)
        assert guarded.get(url).body == b"<p>hello"  # of several addresses only the allowed one
        assert other.asked == []
    assert site.asked == ["/", "/"]


def test_the_name_is_resolved_once_a_connection(site, monkeypatch):
    """Nothing resolves a name after it was checked: the connection goes to a number."""
    connected = []
    create = socket.create_connection

    def record(address, *arguments, **settings):
        connected.append(address[0])
        return create(address, *arguments, **settings)

    monkeypatch.setattr(socket, "create_connection", record)
    fetcher(resolve=lambda host, port: ["127.0.0.1"]).get(f"http://some.test:{site.server_address[1]}/")
    assert connected == ["127.0.0.1"]


def test_proxies_of_the_environment_are_not_asked(site, monkeypatch):
    """A proxy would choose the address by itself."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert fetcher().get(site.base + "/").status == 200


def test_certificates_are_those_of_the_name(tmp_path, monkeypatch):
    """Over TLS the certificate must be the name's, though a number is connected to."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    command += ["-days", "2", "-subj", "/CN=site.test", "-addext", "subjectAltName=DNS:site.test"]
    if subprocess.run(["which", "openssl"], capture_output=True).returncode:
        pytest.skip("no openssl here to make a certificate")
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Site()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.routes["/"] = "<p>sealed"
    with serve(server):
        port = server.server_address[1]
        asked = fetcher(resolve=lambda host, port: ["127.0.0.1"])
        assert asked.get(f"https://site.test:{port}/").body == b"<p>sealed"
        with pytest.raises(Unreadable, match="certificate"):
            asked.get(f"https://other.test:{port}/")


def test_the_next_address_is_tried(site):
    """Where a host has several addresses, one that does not answer is no end."""
    asked = fetcher(resolve=lambda host, port: ["127.0.0.3", "127.0.0.1"])
    assert asked.get(f"http://some.test:{site.server_address[1]}/").status == 200


def test_a_time_for_the_whole_page(site):
    """However a server drips, a page ends at its time."""
    from tests.ingestion.site import drip, drip_headers, silent

    site.routes |= {"/1": drip, "/2": drip_headers, "/3": silent}
    for path in ("/1", "/2", "/3"):
        start = time.monotonic()
        with pytest.raises(Unreadable, match=r"within 0\.5 seconds") as told:
            fetcher(timeout=0.5).get(site.base + path)
        assert told.value.passing
        assert time.monotonic() - start < 5


def test_no_answer():
    """An unknown host and a closed port are told as what may pass."""
    with pytest.raises(Unreadable, match="not known") as told:
        fetcher().get("http://no-such-host.invalid/")
    assert told.value.passing
    with pytest.raises(Unreadable, match="no answer") as told:
        fetcher().get("http://127.0.0.1:9/")
    assert told.value.passing


@pytest.mark.parametrize("host", ["a..b", "x" * 80 + ".com"])
def test_a_host_that_is_no_name(host):
    """What can't be a host's name is told like any page that fails."""
    with pytest.raises(Unreadable, match="is no name that can be looked up"):
        fetcher().get(f"http://{host}/")
