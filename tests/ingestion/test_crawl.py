"""A website with all its traps: what is read, what fails and what is left out is known exactly."""

import gzip
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.ingestion import Failed, LeftOut, Text, crawl
from exporter.ingestion.crawl import Rules, Website
from tests.ingestion import site as test_site
from tests.ingestion.site import BAD, FRENCH, GOOD, LEFT, PAGES, SECTIONS, Site, page, redirect, serve, words
from tests.ingestion.test_files import write_pdf

RULES = Rules(max_depth=5, max_bytes=2_000_000, timeout=1.5, rate=0, allow_private=True)


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    """The site, after one crawl of it, and what came of that."""
    pdf = tmp_path_factory.mktemp("pdf") / "manual.pdf"
    write_pdf(pdf, "Manual first page", "Manual second page")
    with serve(Site()) as running:
        running.routes = test_site.routes(pdf.read_bytes())
        website = Website(running.base + "/docs/", RULES)
        outcomes = list(website.outcomes())
        yield running, website, outcomes


@pytest.fixture
def little():
    """An empty site, to be filled."""
    with serve(Site()) as running:
        yield running


def crawl_all(running, start="/", **rules):
    website = Website(running.base + start, replace(RULES, **rules))
    return website, list(website.outcomes())


def texts(outcomes):
    """Text by path."""
    return {
        "/" + one.source.split("/", 3)[3]: "\n".join(document.page_content for document in one.documents)
        for one in outcomes
        if isinstance(one, Text)
    }


def left(outcomes):
    return Counter(one.why for one in outcomes if isinstance(one, LeftOut))


def test_every_page_is_read(crawled):
    """Each page that can be read is read once: the sections, the good ones, and the traps as far as they are let."""
    _, _, outcomes = crawled
    expected = {"/docs/"}
    for section in range(SECTIONS):
        expected |= {f"/docs/s{section}/", *(f"/docs/s{section}/p{number}" for number in range(PAGES))}
    expected |= set(GOOD) - {"/docs/good/menu-only", "/docs/good/moved"} | {"/docs/good/here"}
    expected |= {f"/docs/calendar/{day}" for day in range(1, 5)}  # as deep as is asked for
    expected |= {"/docs/trap", "/docs/trap/deeper", "/docs/trap/deeper/deeper", "/docs/trap/deeper/deeper/deeper"}
    expected |= {"/docs/session?id=1"}
    found = texts(outcomes)
    assert set(found) == expected
    assert len(found) == 1 + SECTIONS * (PAGES + 1) + len(GOOD) - 1 + 4 + 4 + 1
    assert len([one for one in outcomes if isinstance(one, Text)]) == len(found)


def test_every_failure_is_named(crawled):
    """Each page that fails is named once, with its reason, and nothing else fails."""
    running, _, outcomes = crawled
    failed = {one.source: one.why for one in outcomes if isinstance(one, Failed)}
    assert set(failed) == {running.base + path for path in BAD}
    assert all(BAD[url.removeprefix(running.base)] in why for url, why in failed.items())


def test_what_has_gone_and_what_may_pass(crawled):
    """404 and 410 are gone; errors of the server and of the line may pass."""
    running, website, outcomes = crawled
    failed = {one.source.removeprefix(running.base): one for one in outcomes if isinstance(one, Failed)}
    assert {path for path, one in failed.items() if one.gone} == {"/docs/bad/404", "/docs/bad/410"}
    passing = {f"/docs/bad/{name}" for name in ("500", "silent", "drip", "headers", "cut")}
    assert {path for path, one in failed.items() if one.passing} == passing
    assert not website.complete


def test_what_is_left_out(crawled):
    """What is left out is counted by reason, each address once."""
    _, _, outcomes = crawled
    assert left(outcomes) == {
        # /docs2/page, /other/page (once, though it is linked in two ways; the third way is no address), two hosts
        crawl.OUTSIDE: 4,
        crawl.NO_PAGE: len(LEFT),
        crawl.ROBOTS: 2,  # the page, and a redirect to it
        crawl.NO_TEXT: 2,
        crawl.SAME: 56,  # the copy; the session's five, the links of these, and some of theirs
        crawl.ELSEWHERE: 1,  # to a section
        crawl.DEEPER: 1,  # the calendar
        crawl.ENDLESS: 1,  # the trap
    }


def test_what_is_never_asked_for(crawled):
    """Nothing outside the path is asked for, nothing that robots.txt forbids, no picture; and nothing twice."""
    running, _, _ = crawled
    asked = Counter(path for path in running.asked if "circle" not in path)
    assert all(path.startswith("/docs/") or path == "/robots.txt" for path in asked)
    assert not [path for path in asked if "private/" in path or path in LEFT]
    assert {path for path, times in asked.items() if times > 1} == set()
    assert len(running.agents) == 1
    assert running.agents.pop().startswith("chroma-projector/")


def test_french(crawled):
    """œ, É and € come through in each encoding, declared rightly, wrongly, or not at all."""
    _, _, outcomes = crawled
    found = texts(outcomes)
    for name in ("latin1", "utf8", "wrong", "cp1252", "plain"):
        assert FRENCH in found[f"/docs/good/{name}"]


def test_metadata(crawled):
    """A page carries its address, title and language; a PDF its pages."""
    running, _, outcomes = crawled
    pages = {one.source.removeprefix(running.base): list(one.documents) for one in outcomes if isinstance(one, Text)}
    (french,) = pages["/docs/good/latin1"]
    assert french.metadata == {"source": running.base + "/docs/good/latin1", "title": "Fibre", "language": "fr"}
    manual = pages["/docs/good/manual.pdf"]
    assert [(one.page_content, one.metadata["page"], one.metadata["page_label"]) for one in manual] == [
        ("Manual first page", 0, "1"),
        ("Manual second page", 1, "2"),
    ]


def test_menus_are_no_text(crawled):
    """What stands on every page is not in its text."""
    _, _, outcomes = crawled
    assert not [path for path, text in texts(outcomes).items() if "Home" in text and path != "/docs/"]


def test_it_is_a_loader_of_langchains(little):
    """It gives the documents that any loader of LangChain gives."""
    from langchain_core.document_loaders import BaseLoader

    little.routes |= {"/": page("Home", words(1), "/a"), "/a": page("A", words(2))}
    loader = Website(little.base, RULES)
    assert isinstance(loader, BaseLoader)
    assert [one.metadata["title"] for one in loader.load()] == ["Home", "A"]


def test_depth_is_the_shortest_way(little):
    """A page that is met first on a long way is read all the same, and so are its children: level by level."""
    little.routes |= {
        "/": page("Home", words(1), "/long1", "/short"),
        "/long1": page("1", words(2), "/long2"),
        "/long2": page("2", words(3), "/short"),
        "/short": page("S", words(4), "/child"),
        "/child": page("C", words(5)),
    }
    _, outcomes = crawl_all(little, max_depth=3)
    assert list(texts(outcomes)) == ["/", "/long1", "/short", "/long2", "/child"]
    assert list(texts(crawl_all(little, max_depth=1)[1])) == ["/"]


def test_max_pages(little):
    """The number of pages is a limit; what was found beyond it is counted, and nothing counts as gone."""
    little.routes["/"] = page("Home", words(0), *(f"/p{number}" for number in range(20)))
    little.routes |= {f"/p{number}": page(f"{number}", words(number + 1)) for number in range(20)}
    website, outcomes = crawl_all(little, max_pages=8)
    assert len(texts(outcomes)) == 8
    assert left(outcomes)[crawl.MORE] == 13
    assert not website.complete
    assert crawl_all(little, max_pages=21)[0].complete


def test_exclude(little):
    """Addresses that hold a pattern are left out."""
    names = ["/tag/a", "/b/tag/", "/print-1", "/c"]
    little.routes["/"] = page("Home", words(0), *names)
    little.routes |= {name: page(name, words(1 + number)) for number, name in enumerate(names)}
    _, outcomes = crawl_all(little, exclude=("/tag/", "print-*"))
    assert set(texts(outcomes)) == {"/", "/c"}
    assert left(outcomes)[crawl.EXCLUDED] == 3


@pytest.mark.parametrize("ignore", [False, True])
def test_robots(little, ignore):
    """robots.txt is obeyed, for the start too; unless it is to be ignored, and then it is not even asked for."""
    little.routes |= {"/robots.txt": "User-agent: *\nDisallow: /", "/": page("Home", words(1))}
    _, outcomes = crawl_all(little, ignore_robots=ignore)
    if ignore:
        assert set(texts(outcomes)) == {"/"}
        assert "/robots.txt" not in little.asked
    else:
        (failed,) = outcomes
        assert "--ignore-robots" in failed.why
        assert little.asked == ["/robots.txt"]


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ((404, {}, ""), True),
        ((403, {}, ""), True),
        (redirect("/r2"), True),
        (redirect("http://example.com/robots.txt"), True),
        ((500, {}, ""), False),
        ((503, {}, ""), False),
    ],
)
def test_a_robots_txt_that_is_not_there(little, answer, allowed):
    """As RFC 9309 says: without one everything is allowed; while it can't be read, nothing is."""
    little.routes |= {"/robots.txt": answer, "/": page("Home", words(1))}
    _, outcomes = crawl_all(little)
    assert bool(texts(outcomes)) == allowed
    if not allowed:
        assert "robots.txt can't be read" in outcomes[0].why


def test_a_redirected_robots_txt(little):
    """A robots.txt that has moved on its host counts."""
    little.routes |= {"/robots.txt": redirect("/r2"), "/r2": "User-agent: *\nDisallow: /", "/": page("Home", words(1))}
    assert not texts(crawl_all(little)[1])


@pytest.mark.parametrize(("rate", "delay", "pause"), [(4, 0, 0.25), (4, 3, 3.0), (0, 0, 0.0), (0, 2, 2.0)])
def test_rate(little, rate, delay, pause):
    """Between two pages passes what --rate says, or robots.txt, whichever is longer."""
    little.routes["/"] = page("Home", words(0), "/1", "/2")
    little.routes |= {"/1": page("1", words(1)), "/2": page("2", words(2))}
    little.routes["/robots.txt"] = f"User-agent: *\nCrawl-delay: {delay}\n" if delay else (404, {}, "")
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    rules = replace(RULES, rate=rate)
    assert len(list(Website(little.base, rules, clock=lambda: now[0], sleep=sleep).outcomes())) == 3
    assert slept == ([pause, pause] if pause else [])


def test_a_site_that_wants_to_be_left_in_peace(little):
    """A robots.txt that asks for an hour between pages is told, and no page is asked for; or it is ignored."""
    little.routes |= {"/": page("Home", words(0)), "/robots.txt": "User-agent: *\nCrawl-delay: 3600\n"}
    (failed,) = crawl_all(little)[1]
    assert "asks for 3,600 seconds between pages: --ignore-robots" in failed.why
    assert little.asked == ["/robots.txt"]
    assert set(texts(crawl_all(little, ignore_robots=True)[1])) == {"/"}


def test_a_start_that_redirects_away(little):
    """A start that leads to another host is told with the address to give instead."""
    little.routes["/"] = redirect("https://www.example.com/")
    (failed,) = crawl_all(little)[1]
    assert "redirects to 'https://www.example.com/'" in failed.why
    assert "give that address" in failed.why


def test_connections_are_given_back(little):
    """After the walk, and when it is broken off, no connection to the site is kept."""
    little.routes |= {"/": page("Home", words(0), "/a"), "/a": page("A", words(1))}
    website, _ = crawl_all(little)
    assert website._fetcher._pool.connections == []
    broken_off = Website(little.base + "/", RULES)
    walk = broken_off.outcomes()
    next(walk)
    assert broken_off._fetcher._pool.connections
    walk.close()
    assert broken_off._fetcher._pool.connections == []


def test_a_private_start(little):
    """A private address is refused unless asked for; nothing is sent."""
    (failed,) = crawl_all(little, allow_private=False)[1]
    assert "--allow-private" in failed.why
    assert little.asked == []


def test_a_sitemap(little):
    """A sitemap's pages are read, those of its sitemaps too; one elsewhere is left out."""
    urls = "".join(f"<url><loc>{little.base}{path}</loc></url>" for path in ("/docs/a", "/docs/b", "/c"))
    xml = {"Content-Type": "application/xml"}
    index = f"<sitemapindex><sitemap><loc>{little.base}/docs/one.xml</loc></sitemap></sitemapindex>"
    little.routes |= {
        "/docs/sitemap.xml": (200, xml, index),
        "/docs/one.xml": (200, xml, f"<urlset>{urls}</urlset>"),
        "/docs/a": page("A", words(1), "/docs/more"),
        "/docs/b": page("B", words(2)),
        "/docs/more": page("More", words(3)),
    }
    _, outcomes = crawl_all(little, "/docs/sitemap.xml", max_depth=1)
    assert set(texts(outcomes)) == {"/docs/a", "/docs/b"}
    assert left(outcomes) == {crawl.SITEMAP: 2, crawl.OUTSIDE: 1, crawl.DEEPER: 1}


def test_a_site_that_stops_answering(little):
    """After ten pages in a row without an answer the crawl ends, and nothing counts as gone."""
    little.routes["/"] = page("Home", words(0), *(f"/p{number}" for number in range(30)))
    little.routes |= {f"/p{number}": (503, {}, "") for number in range(30)}
    slept = []
    website = Website(little.base + "/", RULES, clock=lambda: 0.0, sleep=slept.append)
    outcomes = list(website.outcomes())
    assert len([one for one in outcomes if isinstance(one, Failed)]) == 10
    assert len(slept) == 9
    assert slept == sorted(slept)  # ever longer, as it asks for
    assert left(outcomes)["the site stopped answering"] == 20
    assert not website.complete


def test_no_file_is_read(tmp_path, little):
    """A page that links to files of this machine gets none of them."""
    (tmp_path / "secret.html").write_text("<p>secret")
    uri = Path(tmp_path / "secret.html").as_uri()
    little.routes["/"] = f"<base href='{uri}'><p>{words(1)}<a href='secret.html'>x</a><a href='{uri}'>y</a>"
    assert set(texts(crawl_all(little)[1])) == {"/"}


def test_a_redirect_to_a_page_that_comes_later(little):
    """A page that a redirect leads to before its own turn is read once, under its own address."""
    little.routes |= {
        "/": page("Home", words(1), "/old", "/new", "/older"),
        "/old": redirect("/new"),
        "/older": redirect("/new"),
        "/new": page("New", words(2)),
    }
    _, outcomes = crawl_all(little)
    assert [one.source for one in outcomes if isinstance(one, Text)] == [little.base + "/", little.base + "/new"]
    assert left(outcomes) == {crawl.ELSEWHERE: 1}
    assert little.asked.count("/new") == 1


TREE = {
    "/d/": page("H", words(0), "/d/a", "/d/b"),
    "/d/a": page("a", words(1), "/d/a1"),
    "/d/a1": page("a1", words(2)),
    "/d/b": page("b", words(3)),
    "/d/index.html": page("H2", words(9)),
    "/d/leaf.html": page("L", words(8), "/d/b"),
}


@pytest.mark.parametrize(
    ("changed", "start", "rules"),
    [
        ({}, "/d/", {"max_depth": 1}),
        ({}, "/d/index.html", {"max_depth": 1}),
        ({}, "/d/index.html", {}),
        ({}, "/d/leaf.html", {}),
        ({"/d/": redirect("https://www.example.com/")}, "/d/", {}),
        ({"/d/": (404, {}, "")}, "/d/", {}),
        ({"/robots.txt": "User-agent: *\nDisallow: /d/"}, "/d/", {}),
        ({"/robots.txt": "User-agent: *\nDisallow: /d/a"}, "/d/", {}),
        ({"/d/": page("H", words(0, 600_000), "/d/a")}, "/d/", {"max_bytes": 1_000_000}),
        ({"/d/a": (400, {}, "")}, "/d/", {}),
        ({"/d/a": (200, {"Content-Type": "application/octet-stream"}, b"x")}, "/d/", {}),
        ({"/d/a": redirect("/d/a")}, "/d/", {}),
        ({"/d/a": page("H", words(0), "/d/a1")}, "/d/", {}),
        ({"/d/a": "<script>load()</script>"}, "/d/", {}),
        ({}, "/d/", {"exclude": ("/a",)}),
    ],
)
def test_what_was_not_read_may_still_be_there(little, changed, start, rules):
    """Whatever was not read, but for what is gone itself, leaves open what there is: nothing else counts as gone."""
    little.routes |= TREE
    assert crawl_all(little, "/d/")[0].complete
    little.routes |= changed
    assert not crawl_all(little, start, **rules)[0].complete


def test_what_is_gone_hides_nothing(little):
    """A page that answers 404, and what is no page of this website, leave no doubt."""
    little.routes |= TREE | {"/d/": page("H", words(0), "/d/a", "/d/gone", "/d/x.png", "/else", "https://example.com/")}
    assert crawl_all(little, "/d/")[0].complete


def test_refusals_are_no_silence(little):
    """Pages that answer, with whatever status, don't end the crawl."""
    little.routes["/"] = page("Home", words(0), *(f"/p{number}" for number in range(30)), "/last")
    little.routes |= {f"/p{number}": ((403, 500, 401)[number % 3], {}, "") for number in range(30)}
    little.routes["/last"] = page("Last", words(1))
    assert set(texts(crawl_all(little)[1])) == {"/", "/last"}


def test_who_asks_to_wait_is_waited_for(little):
    """After 429 the next page is asked for when the server says, but not later than in a minute."""
    little.routes["/"] = page("Home", words(0), "/a", "/b", "/c")
    little.routes |= {"/a": (429, {"Retry-After": "7"}, ""), "/b": (503, {"Retry-After": "9999"}, "")}
    little.routes["/c"] = page("C", words(1))
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    outcomes = list(Website(little.base, RULES, clock=lambda: now[0], sleep=sleep).outcomes())
    assert set(texts(outcomes)) == {"/", "/c"}
    assert slept == [7.0, crawl.PATIENCE]


def test_links_of_pages_with_the_same_text(little):
    """A list in pages, whose text is the same on each, leads to all that it lists; but not for ever."""
    little.routes["/"] = page("Home", words(0), "/list1", "/ever/1")
    little.routes |= {f"/list{n}": page("List", words(99), f"/list{n + 1}", f"/item{n}") for n in range(1, 4)}
    little.routes |= {f"/item{n}": page("Item", words(n)) for n in range(1, 4)}
    little.routes["^/ever/"] = lambda handler: page("Ever", words(98), f"{handler.path}1")
    outcomes = crawl_all(little, max_depth=50)[1]
    assert {f"/item{n}" for n in range(1, 4)} < set(texts(outcomes))
    assert left(outcomes)[crawl.SAME] == 2 + crawl.LIKENESSES + 1


def test_pages_by_number(little):
    """A page with 150 numbers is read 150 times; how many are, goes with --max-pages."""
    little.routes["/"] = page("Home", words(0), *(f"/index.php?id={n}" for n in range(150)))
    little.routes |= {f"/index.php?id={n}": page(f"{n}", words(n + 1)) for n in range(150)}
    assert len(texts(crawl_all(little)[1])) == 151
    website, outcomes = crawl_all(little, max_pages=120)
    assert left(outcomes)[crawl.ENDLESS] == 50
    assert not website.complete


def test_a_folder_with_a_dot(little):
    """A folder is a page, whatever its name ends with."""
    little.routes |= {"/": page("Home", words(0), "/next.js/", "/x.js"), "/next.js/": page("Next", words(1))}
    outcomes = crawl_all(little)[1]
    assert set(texts(outcomes)) == {"/", "/next.js/"}
    assert left(outcomes) == {crawl.NO_PAGE: 1}


def test_a_pattern_holds_only_stars(little):
    """In --exclude brackets and question marks stand for themselves."""
    little.routes["/"] = page("Home", words(0), "/a?x=1", "/abx=1", "/[b]", "/b")
    little.routes |= {path: page(path, words(n)) for n, path in enumerate(("/a?x=1", "/abx=1", "/[b]", "/b"), start=1)}
    assert set(texts(crawl_all(little, exclude=("a?x", "[b]"))[1])) == {"/", "/abx=1", "/b"}


@pytest.mark.parametrize(
    "before", [b"\xef\xbb\xbf", b"", b"# " + b"x" * 600_000 + b"\n"], ids=["mark", "plain", "long"]
)
def test_a_robots_txt_of_any_kind(little, before):
    """A byte order mark hides no rule; of a robots.txt beyond --max-bytes, and beyond 500 KiB, the beginning counts."""
    rules = b"User-agent: *\nDisallow: /\n"
    after = b"# " + b"y" * 3_000_000
    body = rules + before if before.startswith(b"#") else before + rules + b"\n" + after
    little.routes |= {"/robots.txt": (200, {"Content-Type": "text/plain"}, body), "/": page("Home", words(1))}
    assert not texts(crawl_all(little)[1])


def test_a_packed_sitemap(little):
    """A sitemap.xml.gz is one, though its server calls it bytes."""
    xml = gzip.compress(f"<urlset><url><loc>{little.base}/a</loc></url></urlset>".encode())
    little.routes["/sitemap.xml.gz"] = (200, {"Content-Type": "application/octet-stream"}, xml)
    little.routes["/a"] = page("A", words(1))
    assert set(texts(crawl_all(little, "/sitemap.xml.gz")[1])) == {"/a"}


def test_the_queue_has_an_end(little):
    """A page with ever so many links fills no memory: what is beyond is counted."""
    little.routes["/"] = page("Home", words(0), *(f"/p{number}" for number in range(12_000)))
    website = Website(little.base + "/", replace(RULES, max_pages=3))
    most, outcomes = 0, []
    for outcome in website.outcomes():
        most = max(most, website.queued)
        outcomes.append(outcome)
    assert most <= 6
    assert left(outcomes)[crawl.MORE] == 10_000 - 2
    assert not website.complete
