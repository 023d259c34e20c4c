"""Bytes become the text that was meant, whatever is said of their encoding; a page gives its main text and links."""

import gzip
import random
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.ingestion import Unreadable
from exporter.ingestion.text import MOST_LINKS, decode, read_page, read_sitemap, unzip

FRENCH = "À l'œuvre, Élodie paya 5 € : « naïveté » du cœur, forêt, où, ça. " * 3
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
JAPANESE = "いろはにほへと ちりぬるを わかよたれそ つねならむ。" * 5


@settings(deadline=None)
@given(
    st.text().filter(lambda text: "\0" not in text),
    st.sampled_from([None, "latin-1", "utf-8", "shift_jis", "nonsense"]),
)
def test_utf8_is_utf8(text, declared):
    """Whatever is declared, text in UTF-8 comes back, without control characters; unless it is full of those."""
    try:
        found = decode(text.encode("utf-8", "replace"), declared)
    except Unreadable:
        assert any(character < " " for character in text)
    else:
        expected = text.encode("utf-8", "replace").decode().removeprefix("\ufeff")
        kept = "\t\n\x0b\x0c\r\x1b"
        assert found == "".join(one for one in expected if one >= " " or one in kept)


@pytest.mark.parametrize("declared", [None, "utf-8", "iso-8859-1", "windows-1252", "us-ascii", "hex", "none such"])
def test_french_in_the_western_encoding(declared):
    """French in Windows-1252 comes through with œ and €, under any name that servers give it, wrong ones too."""
    assert decode(FRENCH.encode("cp1252"), declared) == FRENCH


@pytest.mark.parametrize(
    ("text", "encoding"), [(RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (JAPANESE, "shift_jis"), (JAPANESE, "euc-jp")]
)
def test_declared_encodings(text, encoding):
    """A true declaration is followed, in the header or in the page itself."""
    assert decode(text.encode(encoding), encoding) == text
    page = f'<html><head><meta charset="{encoding}"></head><body>{text}</body></html>'
    assert decode(page.encode(encoding)) == page


@pytest.mark.parametrize(("text", "encoding"), [(RUSSIAN, "cp1251"), (JAPANESE, "shift_jis")])
def test_guesses(text, encoding):
    """Without a declaration a longer text of another script is recognized."""
    assert decode(text.encode(encoding)) == text


def test_one_broken_letter():
    """One broken letter in a text of UTF-8 costs that letter, not the others."""
    broken = FRENCH.encode() + b" \xff"
    assert decode(broken, "utf-8") == FRENCH + " \ufffd"


def test_binary_is_no_text():
    """What is full of control characters is no text."""
    with pytest.raises(Unreadable, match="binary"):
        decode(b"\x7fELF\x02\x01\x01" + bytes(100))


PAGE = """<!doctype html><html lang="fr-FR"><head><title>Le &amp; titre</title><base href="/docs/">
<script>secret = 1</script><style>.x {}</style></head><body>
<header>Bandeau</header><nav><a href="menu.html">Menu</a></nav>
<article><header><h1>La fibre</h1></header><p>%s</p><p>Voir <a href="?a=1&amp;b=2#x">la suite</a>,
<a href="/other">ceci</a>, <a href="mailto:a@b">écrire</a>, <a href="http://[bad">non</a>,
<a href="menu.html">Menu</a>.</article>
<aside>Publicité</aside><footer>Mentions</footer></body></html>"""


def test_the_main_text():
    """Text, title, language; not what stands round it. Broken HTML is read as far as it can be."""
    page = read_page(PAGE % FRENCH, "http://x/a/b.html")
    assert FRENCH.strip() in page.text
    assert "La fibre" in page.text
    assert not any(word in page.text for word in ("secret", "Bandeau", "Publicité", "Mentions", ".x"))
    assert (page.title, page.language) == ("Le & titre", "fr-FR")
    assert "half" in read_page("<p>one <b>two <table><tr><td>half", "http://x/").text


@pytest.mark.filterwarnings("error")
def test_xhtml():
    """XHTML is read like HTML, with its own way to tell the language, and without a word on the terminal."""
    head = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr">'
    page = read_page(f"{head}<head><title>Œuvre</title></head><body><p>{FRENCH}</p></body></html>", "http://x/")
    assert (page.title, page.language) == ("Œuvre", "fr")
    assert FRENCH.strip() in page.text
    assert read_page("http://x/index.html", "http://x/").text == "http://x/index.html"


def test_links():
    """Links are absolute, by the page's own base, each once, in order, with their entities undone."""
    links = read_page(PAGE % "", "http://x/a/b.html").links
    assert links == (
        "http://x/docs/menu.html",
        "http://x/docs/?a=1&b=2#x",
        "http://x/other",
        "mailto:a@b",
    )


def test_a_page_without_text():
    """A page of menus only has no text."""
    assert read_page("<nav><a href=x>x</a></nav><script>1</script>", "http://x/").text == ""


def test_a_page_that_breaks_its_parser(monkeypatch):
    """What a library throws at an odd page is told of that page, and ends nothing else."""
    import trafilatura

    def fails(*arguments, **settings):
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(trafilatura, "extract", fails)
    with pytest.raises(Unreadable, match=r"can't be parsed \(RecursionError\)"):
        read_page("<p>x", "http://x/")


TAGS = (
    "p", "div", "table", "tr", "td", "nav", "article", "header", "script", "svg", "template", "title", "body", "html",
    "li", "br", "pre", "frameset",
)  # fmt: skip
PIECES = [f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]
PIECES += ["<a href='y'>", "text œ ", "<!--", "-->", "<![CDATA[", "&#x0;", "&#xD800;", "<b", "<base href='a'>", "\x01"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_html(html):
    """Whatever tags come in whatever order, a page is read, and its text can be stored."""
    assert isinstance(read_page(html, "http://x/").text.encode(), bytes)


SITEMAP = b"""<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url><loc> http://x/a?b=1&amp;c=2 </loc>
<image:image><image:loc>http://x/i.png</image:loc></image:image></url><url><loc>http://x/b</loc></url></urlset>"""


@pytest.mark.parametrize("data", [SITEMAP, gzip.compress(SITEMAP)], ids=["plain", "packed"])
def test_sitemaps(data):
    """A sitemap's pages, not its pictures; packed or not; a sitemap of sitemaps; and what is none."""
    assert read_sitemap(data, 10_000) == (["http://x/a?b=1&c=2", "http://x/b"], [])
    index = b"<sitemapindex><sitemap><loc>http://x/s.xml</loc></sitemap></sitemapindex>"
    assert read_sitemap(index, 10_000) == ([], ["http://x/s.xml"])
    assert read_sitemap(b"<rss><url><loc>http://x/</loc></url></rss>", 10_000) is None


def test_entities_of_a_sitemap_stay_inside(tmp_path):
    """A sitemap can't read a file of this machine, nor grow without an end."""
    (tmp_path / "secret").write_text("http://x/secret")
    entity = f'<!DOCTYPE urlset [<!ENTITY s SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    data = f"{entity}<urlset><url><loc>&s;</loc></url></urlset>".encode()
    assert "secret" not in str(read_sitemap(data, 10_000))
    growing = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    laughs = f'<!DOCTYPE urlset [<!ENTITY e0 "ha">{growing}]><urlset><url><loc>&e9;</loc></url></urlset>'
    assert len(str(read_sitemap(laughs.encode(), 10_000))) < 1_000_000


def test_unzip():
    """What is packed is unpacked as far as the limit allows; a bomb and a damaged one are told."""
    assert unzip(gzip.compress(b"x" * 100), 100) == b"x" * 100
    assert unzip(zlib.compress(b"x" * 100), 100) == b"x" * 100
    with pytest.raises(Unreadable, match="more than 99 bytes"):
        unzip(gzip.compress(b"x" * 100_000_000), 99)
    with pytest.raises(Unreadable, match="damaged"):
        unzip(b"no gzip", 99)
    for length in (10, 5000):
        with pytest.raises(Unreadable, match="its end is missing"):
            unzip(gzip.compress(random.Random(1).randbytes(9000))[:length], 10_000)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=9000), min_size=1, max_size=4), st.integers(0, 20_000))
def test_packed_in_pieces(pieces, limit):
    """Pieces come out one after the other, without the padding that follows; as far as the first bytes are enough."""
    packed = b"".join(map(gzip.compress, pieces)) + bytes(700)
    assert unzip(packed, 36_000) == b"".join(pieces)
    assert unzip(packed, limit, whole=False) == b"".join(pieces)[:limit]
    assert unzip(packed[: len(packed) // 2], limit, whole=False) in b"".join(pieces)


def test_many_tiny_pieces():
    """Half a million empty pieces take seconds, not minutes."""
    start = time.monotonic()
    assert unzip(gzip.compress(b"") * 500_000, 1000) == b""
    assert time.monotonic() - start < 45


def test_a_very_long_page(monkeypatch):
    """A page that trafilatura would work on for minutes is taken plainly, and its links have an end."""
    monkeypatch.setattr("trafilatura.extract", lambda *arguments, **settings: pytest.fail("it was asked"))
    paragraphs = ("<p>" + "word " * 500) * 1000
    links = "".join(f"<a href=/{number}>x</a>" for number in range(12_000))
    read = read_page(f"<title>Long</title><nav>Menu</nav>{paragraphs}{links}", "http://x/")
    assert read.text.count("word") == 500_000
    assert "Menu" not in read.text
    assert len(read.links) == MOST_LINKS
