import json
import zipfile
from pathlib import Path

import pytest

from exporter.sources.directory import Directory
from tests.sources.conftest import content, read

OLDER = Path(__file__).parent / "older"
RULES = {
    "0.4.24": "Chroma 0.4 to 0.5.10",
    "0.5.23": "Chroma 0.5.11 to 0.6",
    "0.6.3": "Chroma 0.5.11 to 0.6",
    "1.0.21": "Chroma 1.x",
}


@pytest.fixture(params=RULES)
def version(request):
    return request.param


@pytest.fixture
def older(version, tmp_path):
    with zipfile.ZipFile(OLDER / f"chroma-{version}.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize("space", ["l2", "cosine"])
def test_an_older_directory_reads_as_its_own_version_did(older, version, space):
    """Ids, order, texts, metadata and bits are those of its `get`, and the rule names it."""
    expected = json.loads((older / "expected.json").read_text())[f"by-{space}"]
    assert read(older, f"by-{space}") == content(*expected)
    assert read(older, f"by-{space}", lambda rows: rows.rule) == RULES[version]


def test_an_older_directory_tells_its_metric(older):
    """The metric is found where that version recorded it, not where 0.5 and 0.6 say l2 of everything."""
    cosine, l2 = Directory(older).collections()
    assert (cosine.name, cosine.space, cosine.rows, cosine.dimension) == ("by-cosine", "cosine", 27, 5)
    assert (l2.name, l2.space, l2.metadata["owner"], l2.tenant) == ("by-l2", "l2", "me", "default_tenant")


def test_an_older_directory_tells_its_metric_to_a_client_too(older, worker):
    """Chroma shows l2 for what it has migrated, and ranks by what the metadata says."""
    client = worker("described", path=older)
    worker("close", path=older)
    assert client == {"by-cosine": "cosine", "by-l2": "l2"}
    assert {one.name: one.space for one in Directory(older).collections()} == client


def test_an_older_directory_reads_as_chroma_does_after_its_migration(older, worker, tmp_path):
    """Once a newer Chroma has opened it, its rule counts: the whole queue may be replayed over the index."""
    expected = worker("get", path=older, collection="by-cosine", on_a_copy=False)
    worker("close", path=older)
    assert read(older, "by-cosine") == content(*expected)


def test_a_filter_works_without_the_table_of_arrays(older):
    """Before 1.5 there were no array values: `$contains` finds nothing there, `$not_contains` everything."""
    assert read(older, "by-l2", lambda rows: rows.count, where={"page": {"$contains": 1}}) == 0
    assert read(older, "by-l2", lambda rows: rows.count, where={"page": {"$not_contains": 1}}) == 27
