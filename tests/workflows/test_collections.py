import sqlite3
from contextlib import closing

import pytest

from exporter.errors import CollectionError
from exporter.sources import directory as module
from exporter.sources import open_source
from exporter.workflows.collections import choose
from tests.conftest import collection, write_chroma


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A directory of three collections, one of them empty."""
    made = [collection(name, rows=rows) for name, rows in (("faq", 3), ("manual", 4), ("void", 0))]
    return write_chroma(tmp_path_factory.mktemp("several") / "db", *made)


def test_only_the_collection_that_is_chosen_is_counted(several, monkeypatch):
    """However many collections there are, one is chosen by its name without counting the others."""
    counted = []

    def count(database, entry):
        counted.append(entry.collection.name)
        return 4

    monkeypatch.setattr(module, "count_rows", count)
    assert choose(open_source(several), "manual", None).rows == 4
    assert counted == ["manual"]
    for wrong, says in (
        (None, "there are faq, manual, void"),
        ("manul", "did you mean manual"),
        ("x", "there are faq"),
    ):
        with pytest.raises(CollectionError, match=says):
            choose(open_source(several), wrong, None)
    assert counted == ["manual"]


def test_an_empty_collection_is_no_choice(several):
    """What has no row is told to be empty, by its name."""
    with pytest.raises(CollectionError, match="the collection 'void' is empty"):
        choose(open_source(several), "void", None)


def test_a_place_is_described_as_the_list_does(several):
    """Each place is that of one collection of the list, and described alike."""
    source = open_source(several)
    assert [source.describe(place) for place in source.places()] == source.collections()
    with closing(sqlite3.connect(several / "chroma.sqlite3")) as database:
        assert len(source.places()) == database.execute("SELECT count(*) FROM collections").fetchone()[0]
