"""Addresses: one form for each; what belongs to a website; which are private, in whatever disguise."""

import pytest

from exporter.errors import UsageError
from exporter.ingestion.addresses import Endless, Scope, canonical, is_public, start_of


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("HTTP://Example.COM:80", "http://example.com/"),
        ("https://example.com:443/a#b", "https://example.com/a"),
        ("https://example.com:444/a?b=c", "https://example.com:444/a?b=c"),
        ("https://exämple.com/œ?q=é", "https://xn--exmple-cua.com/%C5%93?q=%C3%A9"),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
        ("http://x/a/./b/../c", "http://x/a/c"),
        ("http://x/a/%2e%2e/c", None),
        ("http://x/%252e%252e/c", None),
        ("http://user:secret@x/", None),
        ("ftp://x/", None),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("http://x/" + "a" * 2000, None),
        ("http://[broken", None),
        ("http://x:99999999/", None),
        ("", None),
    ],
)
def test_canonical(given, expected):
    """Each address has one form, in ASCII; what can't be asked for, or should not, has none."""
    assert canonical(given) == expected
    assert expected is None or canonical(expected) == expected


def test_relative():
    """A link is read from where it stands."""
    assert canonical("../c?d#e", "http://x/a/b") == "http://x/c?d"
    assert canonical("//y/c", "https://x/a/b") == "https://y/c"


def test_start():
    """A start needs no scheme; a password in it is refused."""
    assert start_of(" docs.example.com/x/ ") == "https://docs.example.com/x/"
    with pytest.raises(UsageError):
        start_of("http://me:secret@x/")


@pytest.mark.parametrize(
    ("start", "inside", "outside"),
    [
        (
            "http://x/docs/",
            ["http://x/docs/", "http://x/docs/a/b?c", "https://x/docs/a"],
            ["http://x/docs", "http://x/"],
        ),
        ("http://x/docs", ["http://x/docs", "http://x/docs/a"], ["http://x/docs2", "http://x/doc"]),
        ("http://x/docs/index.html", ["http://x/docs/", "http://x/docs/b.html"], ["http://x/other"]),
        ("http://x/", ["http://x/a"], ["http://x.evil/a", "http://evil.x/a", "http://x:8000/a", "http://y/x/"]),
        ("http://x:8000/", ["http://x:8000/a"], ["http://x/a", "http://x:8001/a"]),
    ],
)
def test_scope(start, inside, outside):
    """A website is its host, its port and all below its path: no host or folder of a like name."""
    scope = Scope.of(start)
    assert all(scope.holds(url) for url in inside)
    assert not any(scope.holds(url) for url in outside)


def test_endless():
    """A folder in itself again and again, and one page with ever new parameters, look endless; other pages don't."""
    endless = Endless()
    assert "http://x/a/b/a/b/a/b/c" not in endless
    assert "http://x/a/b/a/b/a/b/a/b" in endless
    assert "http://x/" + "/".join(map(str, range(21))) in endless
    assert [f"http://x/q?p={number}" in endless for number in range(150)] == [False] * 100 + [True] * 50
    assert not any(f"http://x/2024/{number}" in endless for number in range(500))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_private_addresses(address):
    """No address of this machine, of a local network or of no network is public, also not when it is wrapped."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses(address):
    """An address of the open internet is public."""
    assert is_public(address)
