"""A proxy in front of a real Chroma server that does to chosen answers what networks do; with TLS and a token, too."""

import http.client
import http.server
import json
import random
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

HOP = {"connection", "transfer-encoding", "content-length", "host"}


class Faults:
    """What is done to whom. `plan(number, method, path)` names the fault of a request, None for none.

    cut: half of the answer, then the connection ends; drop: no answer at all; delay: one second first; drip: a byte
    every tenth of a second; garble: bytes of the answer are changed; page: somebody else's web page; a number: that
    status, with `headers`.
    """

    def __init__(self):
        self.plan = lambda number, method, path: None
        self.headers = {}
        self.token = None
        self.limit = None
        self.identity = None
        self.seen = []
        self.random = random.Random(0)

    def every(self, fault, step, first=0):
        """Every `step`-th request from the `first` on has it."""
        self.plan = lambda number, method, path: fault if number >= first and (number - first) % step == 0 else None

    def once_from(self, fault, first, path_end="/get", times=1):
        """The `first`-th request of a path that ends so, and the next ones, have it."""
        count = iter(range(1_000_000))

        def plan(number, method, path):
            if not path.split("?")[0].endswith(path_end):
                return None
            return fault if first <= next(count) < first + times else None

        self.plan = plan


@contextmanager
def proxy(target, context=None):
    """Its address, and its `Faults`; `context`: of TLS."""
    faults, number, lock = Faults(), iter(range(1_000_000)), threading.Lock()
    host, port = urlsplit(target).hostname, urlsplit(target).port

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                fault = faults.plan(next(number), self.command, self.path)
                faults.seen.append((self.command, self.path, body, self.headers))
            if faults.token and self.headers.get("X-Chroma-Token") != faults.token:
                return self.answer(403, b'{"detail": "you said ' + str(dict(self.headers)).encode() + b'"}')
            if isinstance(fault, int):
                return self.answer(fault, b"<html>busy</html>", faults.headers)
            if fault == "drop":
                return self.end()
            if fault == "page":
                return self.answer(200, b"<html>please log in</html>")
            if faults.limit and body and self.over(json.loads(body)):
                said = {"error": "ChromaError", "message": "Quota exceeded: 'Limit value' exceeded quota limit"}
                return self.answer(422, json.dumps(said).encode())
            if faults.identity and self.path.endswith("/auth/identity"):
                return self.answer(200, json.dumps(faults.identity).encode())
            if fault == "delay":
                time.sleep(1)
            status, found = self.forward(body)
            if fault == "garble":
                found = self.garbled(found)
            return self.answer(status, found, fault=fault)

        do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815

        def over(self, asked):
            rows = max(asked.get("limit") or 0, asked.get("n_results") or 0, len(asked.get("ids") or ()))
            endless = self.path.endswith("/get") and not asked.get("ids") and asked.get("limit") is None
            return rows > faults.limit or endless

        def forward(self, body):
            with_body = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            behind = http.client.HTTPConnection(host, port, timeout=60)
            try:
                behind.request(self.command, self.path, body, {**with_body, "Accept-Encoding": "identity"})
                answer = behind.getresponse()
                return answer.status, answer.read()
            except OSError:
                return 502, b"<html>nobody behind</html>"
            finally:
                behind.close()

        def garbled(self, found):
            bytes_ = bytearray(found)
            for _ in range(1 + len(bytes_) // 500):
                bytes_[faults.random.randrange(len(bytes_))] = faults.random.randrange(256)
            return bytes(bytes_)

        def answer(self, status, body, headers=None, fault=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if fault == "cut":
                self.wfile.write(body[: len(body) // 2])
                return self.end()
            if fault == "drip":
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.1)
            else:
                self.wfile.write(body)
            return None

        def end(self):
            self.wfile.flush()
            self.close_connection = True

        def log_message(self, *_):
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            """Clients go away; that is what is tested."""

    server = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
