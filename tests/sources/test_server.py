import http.server
import json
import shutil
import socket
import threading
import time
from typing import ClassVar

import numpy as np
import pytest

from exporter.errors import CollectionError, NetworkError, QueryError, SourceError
from exporter.sources import Access, open_source
from exporter.sources.directory import Directory
from exporter.sources.server import Server
from tests.sources.conftest import content_of, fingerprint, read, rows
from tests.sources.served import free_port, running


@pytest.fixture(scope="module")
def directory(worker, tmp_path_factory):
    """A collection of several pages, one of cosine distance, and an empty one."""
    path = tmp_path_factory.mktemp("server") / "db"
    worker("write", path=path, collection="chunks", steps=[["add", rows(2300)], ["delete", {"ids": ["id5"]}]])
    worker("write", path=path, collection="cosine", steps=[["add", rows(40)]], metadata={"hnsw:space": "cosine"})
    worker("write", path=path, collection="empty", steps=[])
    worker("close", path=path)
    return path


@pytest.fixture(scope="module")
def address(directory, tmp_path_factory):
    """A real server for a copy of that directory."""
    copy = shutil.copytree(directory, tmp_path_factory.mktemp("served") / "db")
    with running(copy) as (_, address):
        yield address


def collection(source, name="chunks"):
    return next(one for one in source.collections() if one.name == name)


def test_a_server_gives_what_its_directory_gives(address, directory):
    """Every id, text, value and bit is the one that the files give, through pages of at most a thousand rows."""
    source = open_source(address)
    for name in ("chunks", "cosine", "empty"):
        sizes, found = source.read(
            collection(source, name), lambda rows: ([len(batch) for batch in rows.batches()], content_of(rows))
        )
        assert found == read(directory, name)
        assert max(sizes, default=0) <= 1000


def test_a_server_tells_what_its_collections_are(address):
    """Name, rows, dimension and metric of each, in the order of names."""
    source = open_source(address)
    assert source.location == address.removeprefix("http://")
    found = [(one.name, one.rows, one.dimension, one.space, one.space_from) for one in source.collections()]
    assert found == [
        ("chunks", 2299, 4, "l2", "configuration"),
        ("cosine", 40, 4, "cosine", "configuration"),
        ("empty", 0, None, "l2", "configuration"),
    ]


def test_a_filter_is_the_servers_own(address, directory):
    """A filter gives the rows that it gives on the files, and one that Chroma refuses is refused in the same words."""
    source = open_source(address)
    where = {"page": {"$gte": 1200}}
    document = {"$or": [{"$regex": "7$"}, {"$not_regex": r"\d"}]}
    for filters in (
        {"where": where},
        {"where_document": {"$contains": "7"}},
        {"where_document": document},
        {"where": where, "where_document": {"$not_regex": r"\b[[:alpha:]]+ 1"}},
        {"where": {"page": -1}},
    ):
        assert source.read(collection(source), content_of, **filters) == read(directory, **filters)
    with pytest.raises(QueryError, match=r"where: \$near of page is no operator"):
        source.read(collection(source), content_of, where={"page": {"$near": 1}})
    with pytest.raises(QueryError, match=r"the pattern '.*' can't be read \(look-around"):
        source.read(collection(source), content_of, where_document={"$regex": "(?=x)"})


def test_its_own_query(address, directory):
    """The server's query, and that of a private copy of its directory, return the nearest chunks, as many as asked for,
    of those that a filter leaves; and the directory keeps its bytes.
    """
    local = Directory(directory)
    vectors = np.random.default_rng(0).normal(size=(130, 4)).astype(np.float32)
    before = fingerprint(directory)
    for source in (open_source(address), local):
        one = collection(source)
        for where, last in ((None, 2299), ({"page": {"$lt": 40}}, 39)):
            rows = source.read(one, content_of, where=where)
            chunks = np.array(rows.bits, np.uint32).view(np.float32).astype(float)
            assert len(chunks) == last
            found = source.query(one, vectors, 3, where=where)
            exact = [np.argsort(np.linalg.norm(chunks - vector, axis=1))[:3] for vector in vectors]
            alike = [len(set(ids) & {rows.ids[i] for i in order}) for ids, order in zip(found, exact, strict=True)]
            assert all(len(ids) == 3 for ids in found)
            assert np.mean(alike) > 2.9
    assert fingerprint(directory) == before


def test_rows_are_taken_by_position(address, directory):
    """`take` gives the rows at these positions, before and after the batches were read, and those of a filter."""
    source, positions = open_source(address), np.array([0, 4, 5, 1500, 2298])

    def use(found):
        before = [name for batch in found.take(positions) for name in batch.ids]
        everything = content_of(found)
        (after,) = found.take(positions)
        return before, after, everything

    before, after, everything = source.read(collection(source), use)
    assert before == list(after.ids) == [everything.ids[position] for position in positions]
    assert list(after.texts) == [everything.texts[position] for position in positions]
    assert after.vectors.dtype == np.float32
    filtered = source.read(
        collection(source), lambda found: next(found.take(np.array([1]))).ids, where={"page": {"$gt": 2000}}
    )
    assert filtered == ["id2002"]


def test_a_write_in_between_starts_the_read_over(address):
    """Rows that appear between two pages are seen, and the read starts over."""
    import chromadb

    made = chromadb.HttpClient(host="127.0.0.1", port=int(address.rpartition(":")[2])).get_or_create_collection(
        "growing", embedding_function=None
    )
    made.add(ids=[f"a{i}" for i in range(1500)], embeddings=np.zeros((1500, 2)))
    calls = []

    def use(found):
        batches = found.batches()
        first = next(batches)
        if not calls:
            made.add(ids=["late"], embeddings=[[1, 1]])
        calls.append(1)
        return sum(map(len, [first, *batches]))

    source = open_source(address)
    assert source.read(collection(source, "growing"), use) == 1501
    assert len(calls) == 2

    def restless(found):
        made.add(ids=[f"late{time.monotonic()}"], embeddings=[[1, 1]])
        return content_of(found)

    with pytest.raises(NetworkError, match=r"growing was written to each time it was read; stop the writer"):
        source.read(collection(source, "growing"), restless)
    made._client._session.close()


def test_a_collection_that_is_gone_is_missed(address):
    """An unknown collection, tenant or database is not an error of the network."""
    source = open_source(address)
    gone = type(collection(source))("gone", 1, 4, "l2", "")
    with pytest.raises(CollectionError, match="gone"):
        source.read(gone, content_of)
    with pytest.raises((CollectionError, NetworkError), match="other"):
        open_source(address, Access(database="other"))


def test_a_server_that_does_not_answer_is_named():
    """Nobody there, and somebody who never answers: one line with the host, in time."""
    with pytest.raises(NetworkError, match=r"no answer from 127.0.0.1:\d+ .*; is the server running"):
        open_source(f"http://127.0.0.1:{free_port()}")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(NetworkError, match=r"no answer from 127\.0\.0\.1:"):
            open_source(f"http://127.0.0.1:{silent.getsockname()[1]}", Access(timeout=0.5, retries=0))
        assert time.monotonic() - start < 5


class Proxy(http.server.BaseHTTPRequestHandler):
    """Lets in who knows the token; tells the others what they said, as a bad proxy may."""

    seen: ClassVar[list] = []

    def do_GET(self):
        self.seen.append(self.headers)
        allowed = self.headers.get("X-Chroma-Token") == "s3cret" and self.path != "/plain/api/v2/heartbeat"
        status = {"/web/api/v2/heartbeat": 404}.get(self.path, 200 if allowed else 403)
        if self.path.endswith("heartbeat") and status == 200:
            body = {"nanosecond heartbeat": 1}
        else:
            status = 500 if status == 200 else status
            body = {"error": "X", "message": f"you said {dict(self.headers)}"}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_no_error_tells_a_secret(proxy):
    """Neither token nor header is in any message, even where the server repeats them; both are sent."""
    access = Access(token="s3cret", headers={"X-More": "hidden"}, retries=0)
    with pytest.raises(NetworkError) as caught:
        open_source(proxy, access)
    message = str(caught.value)
    assert message.startswith(proxy.removeprefix("http://"))
    assert "s3cret" not in message
    assert "hidden" not in message
    assert "\n" not in message
    assert Proxy.seen[-1]["Authorization"] == "Bearer s3cret"
    assert Proxy.seen[-1]["X-More"] == "hidden"


def test_refusal_and_another_kind_of_server_are_told_apart(proxy):
    """A missing token, a web server that is no Chroma, and credentials in the address each have their own next step."""
    with pytest.raises(NetworkError, match=r"refuses the request .status 403.; give --token or --header"):
        open_source(proxy)
    with pytest.raises(NetworkError, match=r"is no Chroma server .*\(status 404\); check the address"):
        open_source(f"{proxy}/web")
    with pytest.raises(NetworkError, match=r"holds a user name or a password; .*--header") as caught:
        open_source("http://me:pass@127.0.0.1:1")
    assert "pass@" not in str(caught.value)
    assert "me:" not in str(caught.value)


def test_open_source_tells_the_kinds_apart(directory, address):
    """A path, written as text or not, an address, and whatever is none of them."""
    assert type(open_source(directory)) is type(open_source(str(directory)))
    assert isinstance(open_source(address), Server)
    with pytest.raises(SourceError, match="a list is no source; give a path, an address"):
        open_source([])
