"""Real servers behind a proxy that cuts, delays, garbles and wants a token: each read ends in its rows or one line."""

import re
import ssl

import pytest
import trustme

from exporter.errors import CollectionError, ExporterError, NetworkError, SourceError, UsageError
from exporter.sources import Access, open_source
from exporter.sources import server as servers
from exporter.sources.faults import Faults
from tests.sources.conftest import content_of, read, rows
from tests.sources.fault_proxy import proxy
from tests.sources.served import free_port, running

QUICK = Access(retries=2, timeout=5)


@pytest.fixture(scope="module")
def directory(worker, tmp_path_factory):
    """Several pages of chunks."""
    path = tmp_path_factory.mktemp("faults") / "db"
    worker("write", path=path, collection="chunks", steps=[["add", rows(2300)]])
    worker("close", path=path)
    return path


@pytest.fixture(scope="module")
def content(directory):
    return read(directory)


@pytest.fixture(scope="module")
def address(directory, content):
    with running(directory) as (_, address):
        yield address


@pytest.fixture
def faulty(address):
    with proxy(address) as (place, faults):
        yield place, faults


@pytest.fixture
def waits(monkeypatch):
    """How long was waited, without waiting."""
    waited = []
    monkeypatch.setattr("exporter.sources.transport.PatientClient.wait", lambda self, seconds: waited.append(seconds))
    return waited


def whole(place, access=QUICK, told=None):
    source = open_source(place, access, told.append if told is not None else lambda line: None)
    (collection,) = source.collections()
    return source.read(collection, content_of)


@pytest.mark.parametrize("fault", ["cut", "drop", 429, 500, 502, 503, 504])
def test_what_passes_is_outlived(faulty, content, waits, fault):
    """A read whose every third request fails ends in all the rows, and each repetition was said."""
    place, faults = faulty
    faults.every(fault, 3, first=1)
    told = []
    assert whole(place, told=told) == content
    assert waits
    assert len(told) == len(waits)
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+: .*: asking again in 0\.5 s \(1 of 2\)", line) for line in told), told


@pytest.mark.parametrize("fault", ["cut", "drop", 429, 503])
def test_what_lasts_is_one_line(faulty, waits, fault):
    """Retries have a limit, the waits double, and the line says how often it was asked."""
    place, faults = faulty
    faults.once_from(fault, 0, times=100)
    with pytest.raises(NetworkError, match=r"after 3 attempts in \d+\.\d s") as caught:
        whole(place)
    assert waits == [0.5, 1.0]
    assert "\n" not in str(caught.value)
    assert place.removeprefix("http://") in str(caught.value)
    assert "<html>" not in str(caught.value)


def test_the_wait_that_a_server_asks_for(faulty, content, waits):
    """`Retry-After` is honoured up to a minute; a server that wants more is not waited for."""
    place, faults = faulty
    faults.headers = {"Retry-After": "7"}
    faults.once_from(429, 0)
    assert whole(place) == content
    assert waits == [7.0]
    faults.headers = {"Retry-After": "3600"}
    faults.once_from(429, 0)
    with pytest.raises(NetworkError, match=r"status 429; it asks for a wait of 3600 s: try again later"):
        whole(place)


def test_a_slow_answer(faulty, content):
    """A late answer is waited for, one that drips is given up after --timeout, however often a byte comes."""
    place, faults = faulty
    faults.once_from("delay", 0)
    assert whole(place) == content
    for fault in ("drip", "delay"):
        faults.once_from(fault, 0, times=100)
        with pytest.raises(NetworkError, match=r"no answer from 127\.0\.0\.1:\d+ \("):
            whole(place, Access(retries=0, timeout=0.6))


@pytest.mark.parametrize("fault", ["page", 404, 302])
def test_somebody_else_answers(faulty, fault):
    """A web page in Chroma's place, at any request, is said to be none of Chroma's."""
    place, faults = faulty
    faults.once_from(fault, 0, times=100)
    with pytest.raises(NetworkError, match=r"answers as Chroma never does: .*; is a proxy in the way\?"):
        whole(place)


def test_garbled_answers(faulty, content, waits):
    """Whatever changed bytes make of an answer, it ends in an error of ours, of one line, or in rows."""
    place, faults = faulty
    ended, lines = [], []
    for seed in range(40):
        faults.random.seed(seed)
        faults.every("garble", 3, first=seed % 11)
        try:
            found = whole(place)
            ended.append("rows")
            assert len(found.ids) == len(content.ids)
        except ExporterError as error:
            ended.append(type(error).__name__)
            lines.append(str(error))
    assert not any("\n" in line for line in lines)
    assert ended.count("NetworkError") > 20


def test_a_server_that_dies(directory, tmp_path, worker, waits):
    """One that goes away between two pages is one line; one that comes back in time is read to the end."""
    import shutil

    copy = shutil.copytree(directory, tmp_path / "db")
    port = free_port()
    with running(copy, port) as (process, place):
        source = open_source(place, QUICK)
        (collection,) = source.collections()

        def use(found):
            batches = found.batches()
            count = len(next(batches))
            process.kill()
            process.wait()
            return count + sum(map(len, batches))

        with pytest.raises(NetworkError, match=rf"no answer from 127\.0\.0\.1:{port} .* after 3 attempts"):
            source.read(collection, use)

    with proxy(place) as (between, faults), running(copy, port):
        source = open_source(between, QUICK)
        faults.once_from(502, 1)
        assert source.read(collection, lambda found: sum(map(len, found.batches()))) == 2300


def test_changes_that_can_be_seen(directory, tmp_path):
    """A chunk that goes while another comes, which no count shows, and a vector that changes between two readings of
    it each start the read over; the reading rule says what could not be seen.
    """
    import shutil

    import chromadb
    import numpy as np

    with running(shutil.copytree(directory, tmp_path / "db")) as (_, place):
        source = open_source(place)
        (collection,) = source.collections()
        made = chromadb.HttpClient(port=int(place.rpartition(":")[2])).get_collection("chunks")
        tries = []

        def exchanged(found):
            batches = found.batches()
            next(batches)
            if not tries:
                made.delete(ids=["id3"])
                made.add(ids=["late"], embeddings=[[1, 2, 3, 4]])
            tries.append(1)
            return [*batches][-1].ids[-1]

        assert source.read(collection, exchanged) == "late"
        assert len(tries) == 2
        tries.clear()

        def rewritten(found):
            list(found.batches())
            if not tries:
                made.update(ids=["id9"], embeddings=[[9, 9, 9, 9]])
            tries.append(1)
            (batch,) = found.take(np.array([8]))
            return batch

        found = source.read(collection, rewritten)
        assert (found.ids, found.vectors.tolist(), len(tries)) == (["id9"], [[9, 9, 9, 9]], 2)
        assert "at no one point in time" in source.read(collection, lambda rows: rows.rule)


def test_a_token(faulty, content):
    """Token and headers let in; without, or with another, the line says what to do, and no secret."""
    place, faults = faulty
    faults.token = "s3cret-token"
    assert whole(place, Access(token="s3cret-token")) == content
    (authorization,) = {headers["Authorization"] for *_, headers in faults.seen}
    assert authorization == "Bearer s3cret-token"
    assert whole(place, Access(headers={"x-chroma-token": "s3cret-token"})) == content
    for token in (None, "an0ther"):
        with pytest.raises(NetworkError, match=r"refuses the request \(status 403\); give --token") as caught:
            whole(place, Access(token=token))
        assert "an0ther" not in str(caught.value)


def test_a_secret_of_several_words():
    """A secret with white space in it is no more told than another, although an error is put into one line."""
    faults = Faults(NetworkError, "host", ("one  two",))
    with pytest.raises(NetworkError) as caught, faults.told():
        raise ValueError("you said one  two\nand more")
    assert str(caught.value) == "host: you said *** and more"


def test_a_token_that_ends(faulty):
    """A token that is refused in the middle is told as one that is refused in the beginning."""
    place, faults = faulty
    source = open_source(place)
    faults.token = "other"
    with pytest.raises(NetworkError, match=r"refuses the request \(status 403\)"):
        source.collections()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def tls(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_tls(address, authority, content, tmp_path, monkeypatch, waits):
    """A server with a certificate of one's own is read when its authority is named, by option or SSL_CERT_FILE, and by
    nothing else: neither without it, nor by another, nor under another name.
    """
    authority.cert_pem.write_to_path(ca := tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(other := tmp_path / "other.pem")
    with proxy(address, tls(authority, "127.0.0.1")) as (place, _):
        assert whole(place, Access(ca_file=ca)) == content
        for wrong in (None, other):
            with pytest.raises(NetworkError, match=r"CERTIFICATE_VERIFY_FAILED.*--ca-file"):
                whole(place, Access(ca_file=wrong))
        assert waits == []
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        assert whole(place) == content
    with (
        proxy(address, tls(authority, "elsewhere.example")) as (place, _),
        pytest.raises(NetworkError, match=r"CERTIFICATE_VERIFY_FAILED.*127\.0\.0\.1.*use a name that it is for$"),
    ):
        whole(place, Access(ca_file=ca))
    (tmp_path / "text.pem").write_text("none")
    for path in ("text.pem", "missing.pem"):
        with pytest.raises(UsageError, match=r"--ca-file .* can't be read as a certificate"):
            open_source("https://127.0.0.1:1", Access(ca_file=tmp_path / path))


def test_tls_where_there_is_none(address, authority, waits):
    """TLS to a server that has none, none to one that has it, and a certificate of another name: each line names the
    cause and what to write, and what waiting can't mend is not waited for.
    """
    with pytest.raises(NetworkError, match=r"speaks no TLS \(.*\): write http://127\.0\.0\.1:\d+$"):
        whole(address.replace("http:", "https:"))
    assert waits == []
    with (
        proxy(address, tls(authority, "127.0.0.1")) as (place, _),
        pytest.raises(NetworkError, match=r"no answer from .*; if it speaks TLS, write https://127\.0\.0\.1:\d+"),
    ):
        whole(place.replace("https:", "http:"))


@pytest.mark.parametrize(
    "place", ["http://", "http://:8000", "https:///path", "http://host:port", "http://host:99999", "http://[::1"]
)
def test_what_is_no_address(place, waits):
    """An address without a host, or with a port that can't be, is told at once, as what was typed."""
    with pytest.raises(UsageError, match=r"is no address of a server: .*") as caught:
        open_source(place)
    assert repr(place) in str(caught.value)
    assert waits == []


def test_how_an_address_may_be_written(address, content, tmp_path, monkeypatch):
    """HTTP:// is http://; an address without it is a path that does not exist, and the line says what to write."""
    assert whole(address.replace("http:", "HTTP:")) == content
    monkeypatch.chdir(tmp_path)
    for place in ("localhost:8000", "127.0.0.1:8000", "chroma.example.com:8000/base"):
        with pytest.raises(SourceError, match=rf"{place} does not exist; .* a server is http://{place}"):
            open_source(place)


def test_a_token_in_the_clear(monkeypatch):
    """A token that would go over a network unencrypted is warned of; on this machine it is not."""
    told = []
    for place in ("http://host.invalid:1", f"http://127.0.0.1:{free_port()}"):
        with pytest.raises(NetworkError):
            open_source(place, Access(token="s3cret", retries=0), told.append)
    assert told == ["the token and headers go to host.invalid:1 unencrypted: use https:// where you can"]


def test_tenant_and_database(directory, tmp_path):
    """Collections of another tenant's database are read, and unknown ones are missed by name."""
    import shutil

    import chromadb

    with running(shutil.copytree(directory, tmp_path / "db")) as (_, place):
        port = int(place.rpartition(":")[2])
        settings = chromadb.Settings(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host="127.0.0.1",
            chroma_server_http_port=port,
            anonymized_telemetry=False,
        )
        admin = chromadb.AdminClient(settings)
        admin.create_tenant("team")
        admin.create_database("shelf", tenant="team")
        there = chromadb.HttpClient(port=port, tenant="team", database="shelf")
        there.create_collection("books", embedding_function=None).add(ids=["1"], embeddings=[[1, 2]], documents=["x"])
        source = open_source(place, Access(tenant="team", database="shelf"))
        (collection,) = source.collections()
        assert (collection.name, collection.tenant, collection.database) == ("books", "team", "shelf")
        assert source.read(collection, content_of).texts == ["x"]
        for access in (Access(tenant="nobody"), Access(tenant="team"), Access(database="nowhere")):
            with pytest.raises(CollectionError, match=r"not found.*name another by --tenant or --database"):
                open_source(place, access)


def test_the_environment_of_chroma_is_not_in_the_way(address, content, monkeypatch, tmp_path):
    """What other programs set for chromadb, in the environment or in .env, changes nothing here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("CHROMA_SERVER_HTTP_PORT=1\n")
    monkeypatch.setenv("CHROMA_SERVER_HOST", "elsewhere.example")
    monkeypatch.setenv("CHROMA_CLIENT_AUTH_PROVIDER", "chromadb.auth.token_authn.TokenAuthClientProvider")
    monkeypatch.setenv("CHROMA_SERVER_SSL_VERIFY", "false")
    assert whole(address) == content


def test_chroma_cloud(address, authority, content, tmp_path, monkeypatch):
    """Of Chroma Cloud, which can't be tried here, a stand-in: a real server that refuses more than 300 rows a request
    and knows a key's only database. No request asks for more, and the key goes by the header that Cloud reads.
    """
    authority.cert_pem.write_to_path(ca := tmp_path / "ca.pem")
    with proxy(address, tls(authority, "127.0.0.1")) as (place, faults):
        monkeypatch.setattr(servers, "CLOUD_URL", place)
        faults.limit, faults.token = 300, "ck-key"
        faults.identity = {"user_id": "u", "tenant": "default_tenant", "databases": ["default_database"]}
        access = Access(token="ck-key", ca_file=ca)
        source = open_source("cloud:", access)
        (collection,) = source.collections()
        assert source.read(collection, content_of) == content
        chosen = source.read(collection, content_of, where={"page": {"$lt": 700}})
        assert len(chosen.ids) == 700
        assert "Authorization" not in faults.seen[-1][3]
        faults.identity = {"user_id": "u", "tenant": "default_tenant", "databases": ["one", "two"]}
        with pytest.raises(CollectionError, match=r"name the database by --database .*it may use one, two"):
            open_source("cloud:", access)
    with pytest.raises(UsageError, match="Chroma Cloud wants a token: set CHROMA_API_KEY"):
        open_source("cloud:")
