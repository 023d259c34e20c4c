"""Secrets on their way to a server: from the environment, from files, and into no file of ours and no line."""

import pytest

from tests.conftest import collection, write_chroma
from tests.sources.fault_proxy import proxy
from tests.sources.served import running

SECRET, HIDDEN = "s3cret-0f-the-team", "h1dden-value"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that wants a token, and what was asked of it."""
    folder = write_chroma(tmp_path_factory.mktemp("guarded") / "db", collection())
    with running(folder) as (_, address), proxy(address) as (place, faults):
        faults.token = SECRET
        yield place, faults


def ask(cli, place, vector, *more):
    return cli(
        "export", place, "-q", "text 3", "--question-vector", vector, "--projection", "none", "--overwrite", *more
    )


def assert_nowhere(done, *secrets):
    """In no file below the folder, and not printed."""
    for path in done.folder.rglob("*"):
        if path.is_file():
            assert not any(secret.encode() in path.read_bytes() for secret in secrets), path
    assert not any(secret in done.out + done.err for secret in secrets)


def test_from_the_environment(cli, guarded, vector, monkeypatch):
    """CHROMA_API_KEY and CHROMA_HEADERS are sent, and stand nowhere afterwards."""
    place, faults = guarded
    monkeypatch.setenv("CHROMA_API_KEY", SECRET)
    monkeypatch.setenv("CHROMA_HEADERS", f"X-Team: {HIDDEN}\nX-More: 1")
    done = ask(cli, place, vector)
    assert done.code == 0, done.err
    assert (faults.seen[-1][3]["X-Team"], faults.seen[-1][3]["X-More"]) == (HIDDEN, "1")
    assert (done.folder / "logs").is_dir()
    assert_nowhere(done, SECRET, HIDDEN)
    done = ask(cli, place, vector, "--header", "X-Team: other")
    assert faults.seen[-1][3]["X-Team"] == "other"


def test_from_a_file(cli, guarded, vector, tmp_path):
    """`@FILE` keeps a token and headers off the command line, which everybody on a machine sees."""
    place, faults = guarded
    (tmp_path / "token").write_text(f"{SECRET}\n")
    (tmp_path / "headers").write_text(f"X-Team: {HIDDEN}\n\nX-More: 2\n")
    done = ask(cli, place, vector, "--token", f"@{tmp_path / 'token'}", "--header", f"@{tmp_path / 'headers'}")
    assert done.code == 0, done.err
    assert (faults.seen[-1][3]["X-Team"], faults.seen[-1][3]["X-More"]) == (HIDDEN, "2")
    assert_nowhere(done, SECRET, HIDDEN)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 9, "refuses the request (status 403); give --token"),
        (("--token", HIDDEN), 9, "refuses the request"),
        (("--token", "@missing"), 2, "--token @FILE: the file can't be read: No such file"),
        (("--header", HIDDEN), 2, "take a name and a value"),
        (("--header", f"X-Team: {HIDDEN}é"), 2, "holds characters that no header may hold"),
        (("--retries", "-1"), 2, "--retries must be at least 0"),
        (("--timeout", "0"), 2, "--timeout above 0"),
        (("--timeout", "nan"), 2, "--timeout above 0"),
        (("--timeout", "inf"), 2, "--timeout above 0"),
        (("--header", f"X Team: {HIDDEN}"), 2, "'X Team' is no name of a header"),
    ],
)
def test_what_does_not_fit(cli, guarded, vector, options, code, words):
    """Each is one line with its exit code, which tells no secret, with --debug neither."""
    place, _ = guarded
    for more in ((), ("--debug",)):
        done = ask(cli, place, vector, *options, *more)
        assert done.code == code
        assert words in done.err
        assert more or done.err.count("\n") == 1
        assert HIDDEN not in done.err
        assert not (done.folder / "logs").exists()


def test_every_wait_is_said(cli, guarded, vector, monkeypatch):
    """A request that is repeated is a line on stderr, and the run is whole."""
    place, faults = guarded
    monkeypatch.setattr("exporter.sources.transport.PatientClient.wait", lambda self, seconds: None)
    monkeypatch.setenv("CHROMA_API_KEY", SECRET)
    faults.once_from(503, 0, times=2)
    done = ask(cli, place, vector)
    assert done.code == 0
    assert "status 503: asking again in 0.5 s (1 of 4)" in done.err
    assert "status 503: asking again in 1 s (2 of 4)" in done.err
