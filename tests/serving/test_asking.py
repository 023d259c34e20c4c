"""What is asked in the page, on its way to whoever answers: methods, the token, lengths, the queue."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import pytest

from exporter.errors import ModelError
from exporter.workflows.serve import serve as workflow
from tests.serving.little_runs import eventually, get, write_run


class Echo:
    """Answers with what it was asked; waits for `go` when told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.asked: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self.closed = 0

    def answer(self, what, progress):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked.append(what)
        progress("thinking", 0, None)
        assert self.go.wait(60)
        self.at_once -= 1
        if what.get("question") == "fail":
            raise ModelError("no model\ncan be loaded")
        if what.get("question") == "break":
            raise RuntimeError("a mistake")
        return {"run": f"about {what.get('question') or what.get('name')}"}

    def close(self):
        self.closed += 1


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def server(serve, tmp_path, echo):
    write_run(tmp_path / "run", 1)
    return serve(tmp_path, asking=echo)


def token_of(server) -> str:
    page = get(server, "projector_binary.html")[1].decode()
    return re.search(r'<script src="opening\.js" data-token="([\w-]+)"', page)[1]


def post(server, sent: Any = None, *, kind: str = "ask", token: str | None = None, method: str = "POST", **headers):
    """Status, and the lines of the answer."""
    body = sent if isinstance(sent, bytes) else json.dumps({"run": "run", "question": "?", **(sent or {})}).encode()
    given = {"Content-Type": "application/json", "X-Asking-Token": token or token_of(server), **headers}
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, f"/data/plugin/projector/{kind}", body, given)
    answer = connection.getresponse()
    text = answer.read().decode()
    try:
        return answer.status, [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return answer.status, text


def test_a_question_and_its_answer(server, echo):
    """A question reaches who answers, with its run, and its answer comes back after what was said meanwhile."""
    sent = {"question": "Why? <b>ü</b> ★", "answer": "so", "more": "is dropped"}
    assert post(server, sent) == (200, [{"progress": "thinking"}, {"done": {"run": "about Why? <b>ü</b> ★"}}])
    assert echo.asked == [{"do": "ask", "run": "run", "question": "Why? <b>ü</b> ★", "answer": "so"}]


def test_keeping(server, echo):
    """A run is kept by the same way, with a name or without."""
    assert post(server, {"name": "mine"}, kind="keep")[1][-1] == {"done": {"run": "about mine"}}
    assert echo.asked == [{"do": "keep", "run": "run", "name": "mine"}]


def test_failures_are_told(server):
    """An error that the user can mend is told in one line, and any other as a fault of ours; then the next is asked."""
    assert post(server, {"question": "fail"})[1][-1] == {"error": "no model can be loaded"}
    assert "fault of ours: RuntimeError: a mistake" in post(server, {"question": "break"})[1][-1]["error"]
    assert post(server)[0] == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_post_only(server, echo, method):
    """Any method but POST gets 405, and asks nothing."""
    status, said = post(server, method=method)
    assert (status, list(said[0])) == (405, ["error"])
    assert echo.asked == []


@pytest.mark.parametrize("token", ["wrong", "ü".encode().decode("latin-1"), " "])
def test_a_wrong_token(server, echo, token):
    """Without the token of the page nothing is asked."""
    assert post(server, token=token)[0] == 403
    assert echo.asked == []


def test_tokens_differ(serve, server, tmp_path, echo):
    """Each start of a server has a token of its own."""
    assert token_of(serve(tmp_path, asking=echo)) != token_of(server)


def test_a_wrong_host(server, echo):
    """A request for another name is refused before the token is looked at."""
    assert post(server, Host="evil.example")[0] == 403
    assert echo.asked == []


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (413, {"question": "x" * 8001}),
        (413, {"answer": "x" * 8001}),
        pytest.param(413, b"x" * 200_000, id="long"),
        (400, {"question": " \t\n\u2003"}),
        (400, {"run": ""}),
        (400, {"question": 7}),
        (400, {"question": None}),
        (400, b'{"run": "run", "question": "\\ud800"}'),
        (400, b"not json"),
        (400, b"[]"),
        (400, b"\xff"),
        pytest.param(400, b"[" * 50_000, id="deep"),
    ],
)
def test_what_is_no_question(server, echo, status, sent):
    """What is too long, blank or no text is refused with the reason, and asks nothing."""
    got, said = post(server, sent)
    assert got == status
    assert len(said[0]["error"]) > 10
    assert echo.asked == []


def test_8000_characters(server, echo):
    """A question of 8,000 characters is passed on whole, whatever they are."""
    question = "★" * 4000 + "😀" * 4000
    assert post(server, {"question": question})[0] == 200
    assert echo.asked[0]["question"] == question


def test_only_json(server, echo):
    """A form of another site can't be taken for a question."""
    assert post(server, **{"Content-Type": "text/plain"})[0] == 415
    assert echo.asked == []


def test_one_at_a_time_and_a_short_queue(server, echo):
    """One question is answered at a time and four wait; one more is refused, and after that there is room again."""
    echo.go.clear()
    token = token_of(server)
    answers: list[Any] = []

    def ask(number: int) -> None:
        answers.append(post(server, {"question": f"question {number}"}, token=token))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    assert post(server, token=token)[0] == 429
    echo.go.set()
    for thread in threads:
        thread.join(60)
    assert sorted(said[-1]["done"]["run"] for _, said in answers) == [f"about question {number}" for number in range(5)]
    assert echo.most_at_once == 1
    assert post(server, token=token)[0] == 200


def test_a_browser_that_leaves(server, echo):
    """Whoever asks and leaves takes no place in the queue for ever."""
    echo.go.clear()
    token = token_of(server)
    body = json.dumps({"run": "run", "question": "left"}).encode()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(
                b"POST /data/plugin/projector/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                + f"X-Asking-Token: {token}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            time.sleep(0.1)
    echo.go.set()
    assert eventually(lambda: len(echo.asked) == 5)
    assert eventually(lambda: post(server, token=token)[0] == 200)


def test_the_page_is_served_meanwhile(server, echo):
    """While a question is answered the runs are served as ever."""
    echo.go.clear()
    asking = threading.Thread(target=post, args=(server,))
    asking.start()
    assert eventually(lambda: echo.asked)
    begun = time.monotonic()
    assert get(server, "runs")[0] == 200
    assert time.monotonic() - begun < 5
    echo.go.set()
    asking.join(60)


def test_stop_closes(server, echo):
    """When the server stops, whoever answers is told, once it has answered what it was at."""
    assert echo.closed == 0
    server.stop()
    assert echo.closed == 1


@pytest.mark.parametrize("stock", [False, True])
def test_without_asking(serve, tmp_path, echo, stock):
    """Nothing can be asked where nobody answers, nor in the stock page; the page is given no token."""
    write_run(tmp_path / "run", 1)
    server = serve(tmp_path, stock=stock, asking=echo if stock else None)
    assert post(server, token="any")[0] == 404
    assert b"data-token" not in get(server, "projector_binary.html")[1]


def test_chatter_is_no_report(server, echo):
    """What a browser sends comes back in TensorBoard's log: no such line is taken for one of ours, and none ends it."""
    said = quote('\x1e{"asked": 0, "piece": "{}", "more": false}')
    for path in ("%1e", said, "%1e%7B"):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", f"/{path}")
        assert connection.getresponse().status == 404
    assert post(server)[0] == 200
    assert len(echo.asked) == 1


def test_a_server_behind_a_proxy_is_not_asked(tmp_path):
    """With a name of its own the server may be reached by others, so nothing can be asked unless that is wished."""
    write_run(tmp_path / "run", 1)
    for allowed, token in (((), True), (("proxy.example",), False)):
        with workflow(tmp_path, port=0, allow_hosts=allowed) as server:
            assert (b"data-token" in get(server, "projector_binary.html")[1]) is token
