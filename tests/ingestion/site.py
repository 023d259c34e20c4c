"""A website on loopback with all that a crawler meets: hundreds of pages, and traps."""

import gzip
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECTIONS, PAGES = 12, 25
BIG = 50_000_000
ROBOTS = "User-agent: chroma-projector\nDisallow: /docs/private/\n\nUser-agent: *\nDisallow: /\n"

FRENCH = "Le nœud de raccordement optique, à Évreux, coûte 5 € : « naïveté » ou génie de l'œuvre ?"


def page(title, body, *links, lang="en"):
    anchors = " ".join(f'<a href="{link}">link</a>' for link in links)
    return (
        f"<html lang='{lang}'><head><title>{title}</title></head><body><nav>Home</nav>"
        f"<main><h1>{title}</h1><p>{body}</p><p>{anchors}</p></main></body></html>"
    )


def words(seed, count=40):
    """Text that no other page has."""
    return " ".join(f"word{seed * 7919 + number}" for number in range(count)) + "."


class Site(ThreadingHTTPServer):
    """`asked` has every path that was requested, `agents` who asked; `routes` may be changed."""

    daemon_threads = True

    def __init__(self, host="127.0.0.1", port=0):
        super().__init__((host, port), Handler)
        self.asked, self.agents = [], set()
        self.release = threading.Event()
        self.routes = {}

    @property
    def base(self):
        return f"http://{self.server_address[0]}:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.agents.add(self.headers["User-Agent"])
        found = self.server.routes.get(self.path) or next(
            (
                answer
                for pattern, answer in self.server.routes.items()
                if pattern.startswith("^") and re.match(pattern, self.path)
            ),
            (404, {}, page("Not found", "This page looks like any other, " + words(1))),
        )
        if callable(found):
            found = found(self)
            if found is None:
                return
        if isinstance(found, str):
            found = (200, {}, found)
        status, headers, body = found
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", "Content-Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


def redirect(to, status=302):
    return (status, {"Location": to}, "")


def drip(handler):
    """Headers and then a byte now and then: each read is quick, the page never ends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.end_headers()
    _now_and_then(handler)


def drip_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _now_and_then(handler)


def _now_and_then(handler):
    for _ in range(600):
        if handler.server.release.wait(0.05):
            break
        handler.wfile.write(b"x")
        handler.wfile.flush()


def silent(handler):
    handler.server.release.wait(30)


def endless_body(handler):
    """50 MB, of which no header speaks."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    block = b"x" * 100_000
    for _ in range(BIG // len(block)):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
    handler.wfile.write(b"0\r\n\r\n")


def cut_short(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"<p>half")
    handler.close_connection = True


def calendar(handler):
    """The next day, for ever."""
    day = int(handler.path.rsplit("/", 1)[1])
    return page(f"Day {day}", words(50_000 + day), f"/docs/calendar/{day + 1}")


def trap(handler):
    return page("Trap", words(len(handler.path) + 70_000), f"{handler.path}/deeper")


def session(handler):
    """The same page under ever new addresses."""
    number = int(handler.path.rsplit("=", 1)[1])
    return page("Session", words(60_000), *[f"/docs/session?id={number * 10 + i}" for i in range(5)])


BAD = {
    "/docs/bad/404": "status 404",
    "/docs/bad/410": "status 410",
    "/docs/bad/500": "status 500",
    "/docs/bad/silent": "no whole answer within 1.5 seconds",
    "/docs/bad/drip": "no whole answer within 1.5 seconds",
    "/docs/bad/headers": "no whole answer within 1.5 seconds",
    "/docs/bad/cut": "no answer",
    "/docs/bad/big": "it has 50,000,000 bytes, more than --max-bytes 2000000",
    "/docs/bad/endless": "it has more than --max-bytes 2000000",
    "/docs/bad/bomb": "it has more than 2,000,000 bytes when unpacked",
    "/docs/bad/packed": "it is packed by br, which was not asked for",
    "/docs/bad/blob": "it is application/octet-stream, no page",
    "/docs/bad/picture": "it is image/png, no page",
    "/docs/bad/fake": "it is binary, not text",
    "/docs/bad/cut.pdf": "the PDF can't be read",
    "/docs/bad/circle1": "it redirects in a circle",
    "/docs/bad/circle2": "it redirects in a circle",
    "/docs/bad/self": "it redirects in a circle",
    "/docs/bad/host": "it redirects to 'http://example.com/', on another host or path",
    "/docs/bad/private": "it redirects to 'http://10.0.0.1/latest/meta-data', on another host or path",
    "/docs/bad/path": "/other/page', on another host or path",
    "/docs/bad/scheme": "it redirects to 'file:///etc/passwd', on another host or path",
}
"""What fails, and what is said of it."""

GOOD = {
    "/docs/good/latin1": "French in Latin-1",
    "/docs/good/utf8": "French in UTF-8",
    "/docs/good/wrong": "French in UTF-8 that is declared as Latin-1",
    "/docs/good/cp1252": "French in Windows-1252 that is declared as UTF-8",
    "/docs/good/broken": "HTML that is not closed",
    "/docs/good/plain": "plain text",
    "/docs/good/no-type": "a page without a content type",
    "/docs/good/gzip": "a packed page",
    "/docs/good/manual.pdf": "a PDF",
    "/docs/good/moved": "a page that has moved, to `here`",
    "/docs/good/amp?a=1&b=2": "an address with an ampersand",
    "/docs/good/%C5%93uvre": "an address with an œ",
    "/docs/good/menu-only": "a page of links only, which has a child",
    "/docs/good/child": "which is this one",
}
LEFT = ["/docs/logo.png", "/docs/style.css", "/docs/file.zip"]


def routes(pdf):
    """Path -> answer."""
    sections = [f"/docs/s{number}/" for number in range(SECTIONS)]
    found = {
        "/robots.txt": (200, {"Content-Type": "text/plain"}, ROBOTS),
        "/docs/": page(
            "Home",
            words(0),
            *sections,
            *(path.replace("&", "&amp;") for path in GOOD if path != "/docs/good/child"),
            *BAD,
            *LEFT,
            "/docs/calendar/1",
            "/docs/trap",
            "/docs/session?id=1",
            "/docs/private/plans",
            "/docs/empty",
            "/docs/copy",
            "/docs/to-private",
            "/docs/to-s0",
            "/docs/../other/page",
            "/docs/%2e%2e/other/page",
            "/docs2/page",
            "https://example.com/",
            "//example.org/x",
            "mailto:a@example.com",
            "javascript:alert(1)",
            "#top",
            "/docs/#top",
        ),
        "/docs/copy": lambda handler: handler.server.routes["/docs/s0/"],
        "/docs/empty": page("", "")[:0] + "<html><body><script>x()</script></body></html>",
        "/docs/private/plans": page("Plans", words(2)),
        "/docs/to-private": redirect("/docs/private/plans"),
        "/docs/to-s0": redirect("/docs/s0/", 301),
        "/other/page": page("Other", words(3)),
        "/docs/good/latin1": (
            200,
            {"Content-Type": "text/html; charset=iso-8859-1"},
            page("Fibre", FRENCH, lang="fr").encode("cp1252"),
        ),
        "/docs/good/utf8": (200, {}, page("Fibre", FRENCH + " utf8")),
        "/docs/good/wrong": (200, {"Content-Type": "text/html; charset=latin-1"}, page("Fibre", FRENCH + " wrong")),
        "/docs/good/cp1252": (
            200,
            {"Content-Type": "text/html; charset=utf-8"},
            page("Fibre", FRENCH + " cp").encode("cp1252"),
        ),
        "/docs/good/broken": f"<title>Broken<body><p>{words(4)}<b>bold<table><tr><td>cell<a href=/docs/s0/>x",
        "/docs/good/plain": (200, {"Content-Type": "text/plain; charset=utf-8"}, FRENCH + " plain <b>"),
        "/docs/good/no-type": (200, {"Content-Type": None}, page("Untyped", words(5))),
        "/docs/good/gzip": (200, {"Content-Encoding": "gzip"}, gzip.compress(page("Packed", words(6)).encode())),
        "/docs/good/manual.pdf": (200, {"Content-Type": "application/pdf"}, pdf),
        "/docs/good/moved": redirect("here", 308),
        "/docs/good/here": page("Here", words(7)),
        "/docs/good/amp?a=1&b=2": page("Ampersand", words(8)),
        "/docs/good/%C5%93uvre": page("Œuvre", words(9)),
        "/docs/good/menu-only": "<nav><a href='child'>only a link</a></nav>",
        "/docs/good/child": page("Child", words(10)),
        "/docs/bad/410": (410, {}, page("Gone", words(11))),
        "/docs/bad/500": (500, {}, page("Error", words(12))),
        "/docs/bad/silent": silent,
        "/docs/bad/drip": drip,
        "/docs/bad/headers": drip_headers,
        "/docs/bad/cut": cut_short,
        "/docs/bad/big": lambda handler: (200, {}, b"x" * BIG),
        "/docs/bad/endless": endless_body,
        "/docs/bad/bomb": (200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(30_000_000))),
        "/docs/bad/packed": (200, {"Content-Encoding": "br"}, b"x"),
        "/docs/bad/blob": (200, {"Content-Type": "application/octet-stream"}, bytes(1000)),
        "/docs/bad/picture": (200, {"Content-Type": "image/png"}, b"\x89PNG"),
        "/docs/bad/fake": (200, {}, bytes(range(256)) * 10),
        "/docs/bad/cut.pdf": (200, {"Content-Type": "application/pdf"}, pdf[:400]),
        "/docs/bad/circle1": redirect("circle2"),
        "/docs/bad/circle2": redirect("circle1"),
        "/docs/bad/self": redirect("self"),
        "/docs/bad/host": redirect("http://example.com"),
        "/docs/bad/private": redirect("http://10.0.0.1/latest/meta-data"),
        "/docs/bad/path": redirect("/other/page"),
        "/docs/bad/scheme": redirect("file:///etc/passwd"),
        "^/docs/calendar/": calendar,
        "^/docs/trap": trap,
        "^/docs/session": session,
    }
    for section, path in enumerate(sections):
        pages = [f"{path}p{number}" for number in range(PAGES)]
        found[path] = page(f"Section {section}", words(100 + section), *pages, sections[(section + 1) % SECTIONS])
        for number, address in enumerate(pages):
            near = pages[(number + 1) % PAGES]
            found[address] = page(
                f"Page {section}.{number}", words(1000 + section * 100 + number), path, near, "/docs/"
            )
    return found


@contextmanager
def serve(site):
    """The site, until the block ends."""
    thread = threading.Thread(target=site.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.release.set()
        site.shutdown()
        site.server_close()
