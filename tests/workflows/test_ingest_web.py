"""From a website to a collection, again and again: only what is new is asked for, embedded and stored."""

import pytest

import exporter
from exporter.errors import NetworkError
from exporter.workflows.ingest import WINDOW
from tests.ingestion.little_model import LittleModel
from tests.ingestion.site import Site, page, serve, words
from tests.workflows.test_ingest import rows

WEB = {"allow_private": True, "rate": 0, "timeout": 5, "chunk_size": 150, "chunk_overlap": 0}
PAGES = 12


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A home with twelve pages."""
    monkeypatch.chdir(tmp_path)
    with serve(Site()) as running:
        running.routes["/"] = page("Home", words(0), *(f"/p{number}" for number in range(PAGES)))
        running.routes |= {f"/p{number}": page(f"Page {number}", words(number + 1)) for number in range(PAGES)}
        yield running


def sources():
    return {metadata["source"].rsplit("/", 1)[-1] for _, metadata in rows().values()}


def test_again(site):
    """The same site again: every page is asked for, as it may have changed; nothing is embedded."""
    model = LittleModel()
    first = exporter.ingest("db", url=site.base, model=model, **WEB)
    assert (first.pages, first.added) == (PAGES + 1, len(rows()))
    embedded = model.embedded
    second = exporter.ingest("db", url=site.base, model=model, **WEB)
    assert (second.added, second.unchanged, second.updated) == (0, first.added, 0)
    assert model.embedded == embedded + 1
    assert site.asked.count("/p3") == 2


def test_pages_that_are_gone(site):
    """With --prune a page that is not there any more goes, by 404 or because no link leads to it."""
    exporter.ingest("db", url=site.base, model=LittleModel(), **WEB)
    site.routes["/"] = page("Home", words(0), *(f"/p{number}" for number in range(1, PAGES)))
    del site.routes["/p5"]
    done = exporter.ingest("db", url=site.base, model=LittleModel(), prune=True, **WEB)
    assert done.removed > 0
    assert sources() == {"", *(f"p{number}" for number in range(1, PAGES) if number != 5)}


def test_what_may_pass_keeps_its_chunks(site):
    """While a page fails, neither its chunks go nor those of pages that only it leads to."""
    site.routes["/p0"] = page("Page 0", words(1), "/below")
    site.routes["/below"] = page("Below", words(99))
    exporter.ingest("db", url=site.base, model=LittleModel(), **WEB)
    before = rows()
    site.routes["/p0"] = (500, {}, "")
    done = exporter.ingest("db", url=site.base, model=LittleModel(), prune=True, **WEB)
    assert (done.removed, [one.why for one in done.failed]) == (0, ["status 500"])
    assert rows() == before


def test_other_sites_and_files_are_not_pruned(site, tmp_path):
    """--prune looks at what it was asked to read, not at what came from elsewhere."""
    (tmp_path / "a.txt").write_text("a file of its own")
    exporter.ingest("db", files="a.txt", model=LittleModel(), **WEB)
    exporter.ingest("db", url=f"{site.base}/p1", model=LittleModel(), **WEB)
    done = exporter.ingest("db", url=f"{site.base}/p2", model=LittleModel(), prune=True, **WEB)
    assert done.removed == 0
    assert sources() == {"a.txt", "p1", "p2"}


def test_a_dead_site_prunes_nothing(site):
    """When nothing can be read, nothing is removed."""
    exporter.ingest("db", url=site.base, model=LittleModel(), **WEB)
    before = rows()
    site.routes.clear()
    with pytest.raises(NetworkError, match="status 404"):
        exporter.ingest("db", url=site.base, model=LittleModel(), prune=True, **WEB)
    assert rows() == before


def test_an_interrupted_run_goes_on(site):
    """After an interruption pages that were read are not asked for again, and chunks that are stored not embedded."""

    class Breaks(LittleModel):
        def embed_documents(self, texts):
            if self.embedded >= WINDOW:
                raise KeyboardInterrupt
            return super().embed_documents(texts)

    site.routes["/"] = page("Home", words(0), *(f"/p{number}" for number in range(200)))
    site.routes |= {f"/p{number}": page(f"Page {number}", words(number + 1)) for number in range(200)}
    model = Breaks()
    with pytest.raises(KeyboardInterrupt):
        exporter.ingest("db", url=site.base, model=model, **WEB)
    stored, asked = len(rows()), list(site.asked)
    assert stored == model.embedded == WINDOW
    Breaks.embed_documents = LittleModel.embed_documents
    again = Breaks()
    done = exporter.ingest("db", url=site.base, model=again, **WEB)
    assert done.pages == 201
    assert again.embedded == done.added + 1 == done.chunks - stored + 1
    assert len(rows()) == done.chunks
    new = site.asked[len(asked) :]
    assert not set(new) & set(asked) - {"/robots.txt"}


def test_several_sites(site):
    """Two starts on one site: a page that both lead to is stored once."""
    done = exporter.ingest("db", url=[f"{site.base}/", f"{site.base}/p3"], model=LittleModel(), **WEB)
    assert done.pages == PAGES + 1
    assert len(rows()) == done.chunks
