"""`ingest` on the command line: one line for people, one value for programs, the exit codes of the design."""

import json

import pytest

from tests.conftest import write_chroma
from tests.ingestion.site import BAD, GOOD, LEFT, PAGES, SECTIONS, Site, page, routes, serve, words
from tests.ingestion.test_files import write_pdf

MODEL = ("--model", "tests.ingestion.little_model:LittleModel")
WEB = ("--allow-private", "--rate", "0", "--timeout", "5")


@pytest.fixture
def site():
    """A page, a page below it, and one that is not there."""
    with serve(Site()) as running:
        running.routes |= {"/": page("Home", words(1), "/a", "/gone"), "/a": page("A", words(2))}
        yield running


def test_for_people(cli, site):
    """What was read and stored stands on stdout, what failed by name on stderr, with the next step."""
    done = cli("ingest", "my db", "--url", site.base, *WEB, *MODEL)
    assert done.code == 0, done.err
    assert done.out == "langchain: 2 chunks of 2 pages: 2 added, 0 unchanged\n"
    assert f"failed: {site.base}/gone: status 404" in done.err
    assert "next: chroma-projector export 'my db' -c langchain" in done.err


def test_for_programs(cli, site):
    """--json prints one value, with every failure; --strict makes an error of them, after all is stored."""
    done = cli("ingest", "db", "--url", site.base, "-c", "docs", *WEB, *MODEL, "--json", "--strict")
    assert done.code == 9
    told = json.loads(done.out)
    assert {name: told[name] for name in ("collection", "pages", "chunks", "added", "unchanged", "removed")} == {
        "collection": "docs",
        "pages": 2,
        "chunks": 2,
        "added": 2,
        "unchanged": 0,
        "removed": 0,
    }
    assert told["failed"] == [{"url": f"{site.base}/gone", "why": "status 404"}]
    assert "--strict" in json.loads(done.err)["error"]
    listed = cli("collections", "db", "--json")
    assert [(one["name"], one["rows"]) for one in json.loads(listed.out)] == [("docs", 2)]


def test_quiet(cli, site):
    """--quiet prints nothing."""
    done = cli("ingest", "db", "--url", site.base, *WEB, *MODEL, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_files_of_a_shell(cli):
    """What the shell makes of docs/*.md is taken whole."""
    (cli("--version").folder / "docs").mkdir()
    names = ["docs/a.md", "docs/b.md", "docs/c.md"]
    for name in names:
        (cli("--version").folder / name).write_text(f"text of {name}")
    done = cli("ingest", "db", *MODEL, "--files", *names)
    assert "3 chunks of 3 pages" in done.out


def nothing_to_read(**_):
    return ["db"], 2, "give --url"


def no_option(**_):
    return ["db", "docs"], 2, "--files"


def not_an_address(**_):
    return ["db", "--url", "ftp://x/"], 2, "ftp://x/"


def no_file(**_):
    return ["db", "--files", "nowhere"], 2, "nowhere"


def private(site, **_):
    return ["db", "--url", site.base], 9, "--allow-private"


def nobody_there(**_):
    return ["db", "--url", "http://127.0.0.1:9/", *WEB], 9, "nothing was stored"


def not_there(site, **_):
    return ["db", "--url", site.base + "/gone", *WEB], 9, "status 404"


def unknown_model(site, **_):
    return ["db", "--url", site.base, *WEB, "--model", "./no-such-model"], 5, "no-such-model"


def no_such_device(site, **_):
    return ["db", "--url", site.base, *WEB, "--model", "auto", "--device", "mps"], 5, "mps"


def foreign(site, tmp_path, **_):
    own = write_chroma(tmp_path / "own")
    return [own, "--url", site.base, *WEB, "-c", "chunks"], 4, "--into-existing"


def something_else(site, tmp_path, **_):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a").write_text("")
    return [tmp_path / "letters", "--url", site.base, *WEB], 3, "something else"


def bad_name(site, **_):
    return ["db", "--url", site.base, *WEB, "-c", "x/"], 2, "--collection 'x/'"


def no_server(site, **_):
    return ["http://127.0.0.1:9", "--url", site.base, *WEB], 9, "127.0.0.1"


CASES = [
    nothing_to_read,
    no_option,
    not_an_address,
    no_file,
    private,
    nobody_there,
    not_there,
    unknown_model,
    no_such_device,
    foreign,
    something_else,
    bad_name,
    no_server,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_line_and_its_code(case, cli, site, tmp_path):
    """Each kind of wrong input ends with its code and one line, and leaves nothing behind."""
    arguments, code, words = case(site=site, tmp_path=tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    done = cli("ingest", *arguments, *(() if "--model" in arguments else MODEL))
    assert done.code == code, done.err
    assert words in done.err
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_defaults_are_those_of_the_code():
    """The command line and Python start from the same defaults."""
    import click

    from exporter.cli.app import app
    from exporter.workflows.ingest_request import Device, IngestRequest, Unit

    command = app.get_command(click.Context(app), "ingest")
    given = command.make_context("ingest", ["db", "--url", "http://x/"]).params
    fields = {name: field.default for name, field in IngestRequest.__dataclass_fields__.items()}
    shared = given.keys() & fields.keys() - {"source", "urls"}
    assert len(shared) > 18
    assert {name: given[name] for name in shared} == {name: fields[name] for name in shared}
    choices = {option.name: option.type.choices for option in command.params if hasattr(option.type, "choices")}
    assert tuple(choices["device"]) == Device.__args__
    assert tuple(choices["chunk_unit"]) == Unit.__args__


def test_foreign_text_steers_no_terminal(cli, site):
    """What a site says can't write to the terminal: what is not printable is a question mark."""
    site.routes["/"] = page("Home", words(1), "/a", "/esc")
    site.routes["/esc"] = (302, {"Location": "http://\x1b[31m.example.com/"}, "")
    done = cli("ingest", "db", "--url", site.base, *WEB, *MODEL)
    assert done.code == 0
    assert "\x1b" not in done.err
    assert "/esc" in done.err


def test_a_site_with_all_its_traps(cli, tmp_path):
    """Of hundreds of pages, loops, redirects, errors, slow and huge pages and traps, the counts are exact."""
    write_pdf(tmp_path / "manual.pdf", "Manual first page", "Manual second page")
    with serve(Site()) as running:
        running.routes = routes((tmp_path / "manual.pdf").read_bytes())
        leash = ("--allow-private", "--rate", "0", "--timeout", "1.5", "--max-bytes", "2000000", "--chunk-size", "5000")
        done = cli("ingest", "db", "--url", running.base + "/docs/", *leash, *MODEL, "--json")
        base = running.base
    assert done.code == 0, done.err
    told = json.loads(done.out)
    traps = 4 + 4 + 1  # days of the calendar, folders in themselves, the session: as far as they are let
    assert told["pages"] == 1 + SECTIONS * (PAGES + 1) + len(GOOD) - 1 + traps
    assert told["chunks"] == told["added"] == told["pages"] + 1  # the PDF has two pages
    assert {one["url"] for one in told["failed"]} == {base + path for path in BAD}
    assert len(told["failed"]) == len(BAD)
    assert told["left_out"] == {
        "on another host or path": 4,
        "no page by its name": len(LEFT),
        "robots.txt": 2,
        "without text": 2,
        "same text as another page": 6,
        "redirects to a page that is read anyway": 1,
        "beyond --max-depth": 1,
        "looks endless": 1,
    }
