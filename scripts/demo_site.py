"""A real website, from the address to the picture: `make demo-site`.

Python's own documentation as Debian packages it (`apt-get install python3-doc`) is served on this machine, its tutorial
and its questions and answers are ingested into `demo/site`, and one question is exported. Again, only what has changed
is embedded. Usage: python -m scripts.demo_site [LOGDIR [FOLDER OF A WEBSITE]]
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from exporter.cli.app import run

PACKAGE = "python3-doc"
INSTALLED = "/usr/share/doc"
PARTS = ("tutorial", "faq")
PORT = 8741
"""Always the same: an address is a chunk's source, and another one would be another website."""

COLLECTION = "python-docs"
QUESTION = "Why does a list that is a default argument remember values of earlier calls?"
ANSWER = "evaluated only once"


def main(logdir: str, folder: Path | None, port: int = PORT) -> int:
    """Ingest and export; gives the exit code."""
    if folder is None:
        print(f"{PACKAGE} is not installed: apt-get install {PACKAGE}, then again", file=sys.stderr)
        return 3
    with served(folder, port) as address:
        urls = [argument for part in PARTS for argument in ("--url", f"{address}/{part}/index.html")]
        how = ["--chunk-unit", "tokens", "--allow-private", "--rate", "0", "--prune"]
        code = run(["ingest", "demo/site", "--collection", COLLECTION, *urls, *how])
    if code:
        return code
    asked = ["--question", QUESTION, "--answer", ANSWER]
    exported = ["--run", "demo-site", "--overwrite", "--logdir", logdir]
    return run(["export", "demo/site", "--collection", COLLECTION, *asked, *exported])


def find_site() -> Path | None:
    """The folder in which the package put the website."""
    for version in sorted(Path(INSTALLED).glob("python3*"), reverse=True):
        if all((version / "html" / part / "index.html").exists() for part in PARTS):
            return version / "html"
    return None


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Write no line a request."""


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """The address of a website on loopback, as long as the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", port), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main(given[0] if given else "logs", Path(given[1]) if len(given) > 1 else find_site()))
