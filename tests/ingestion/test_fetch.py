"""What is connected to is what was checked, and every page has an end."""

import gzip
import random
import socket
import ssl
import time
from urllib.parse import quote

import pytest
import trustme

from exporter.ingestion import Unreadable
from exporter.ingestion.fetch import Fetcher
from tests.ingestion.site import Site, drip, drip_headers, serve, silent


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
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("site.test").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    server = Site()
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


def test_a_location_in_utf_8(site):
    """A redirect that is written in UTF-8, or in Latin-1, leads to those very bytes."""
    for written in ("/café".encode(), "/café".encode("latin-1")):

        def moved(handler, written=written):
            handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: " + written + b"\r\nContent-Length: 0\r\n\r\n")

        site.routes["/"] = moved
        assert fetcher().get(site.base + "/").location == quote(written)


def test_an_address_that_swallows(site):
    """An address that answers nothing leaves the next one its share of the time."""
    port = site.server_address[1]
    with socket.socket() as full:
        full.bind(("127.0.0.2", port))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", port))
        asked = fetcher(timeout=6.0, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
        assert asked.get(f"http://some.test:{port}/").status == 200
        for one in waiting:
            one.close()


def test_a_packed_page_whose_end_is_missing(site):
    """A packed body that was cut short is damaged, not taken for whole; one in two pieces is whole."""
    packed = gzip.compress(random.Random(1).randbytes(500))
    site.routes["/"] = (200, {"Content-Encoding": "gzip"}, packed[:400])
    with pytest.raises(Unreadable, match="its end is missing"):
        fetcher().get(site.base + "/")
    site.routes["/"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b"one ") + gzip.compress(b"two"))
    assert fetcher().get(site.base + "/").body == b"one two"
