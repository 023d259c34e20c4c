"""`make benchmark`: what is timed does what the table says."""

import pytest

from scripts import benchmark


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Where the script keeps what it builds."""
    return tmp_path_factory.mktemp("kept") / "chroma"


def test_a_table_of_ways(collection, capfd):
    """Each way is a line with its figures, beside the bare one; the collection is kept for the next time."""
    asked = ["--rows", "50", "--repeat", "1", "--collection", str(collection)]
    ways = ["ours", "bare", "ours-tsv", "bare-tsv"]
    benchmark.main([*asked, *(word for way in ways for word in ("--only", way))], standalone_mode=False)
    head, _, *lines = capfd.readouterr().out.splitlines()
    assert head == "| way | seconds | times bare | µs a chunk | peak MB |"
    found = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1:] for line in lines}
    assert list(found) == ways
    assert found["bare"][1] == found["bare-tsv"][1] == "1.00"
    assert all(float(figures[0]) > 0 for figures in found.values())
    assert (collection / "chroma.sqlite3").exists()


def test_ours_and_bare_write_the_same_rows(collection, tmp_path):
    """The limit writes what an export does, but for the question's own row and what makes a run of it."""
    if not collection.exists():
        benchmark.build(str(collection), "50")
    vector = tmp_path / "question.json"
    vector.write_text(str(benchmark.made_up(0, 1)[0].tolist()))
    for name in ("ours", "bare"):
        (tmp_path / name).mkdir()
        benchmark.WAYS[name](str(collection), str(vector), str(tmp_path / name), "100")
    (run,) = (tmp_path / "ours").glob("*/metadata.tsv")
    ours, bare = (path.read_text().splitlines() for path in (run, tmp_path / "bare" / "metadata.tsv"))
    assert set(ours[0].split("\t")) == set(bare[0].split("\t"))
    assert len(ours) == len(bare) + 1
    assert len((tmp_path / "bare" / "vectors.bytes").read_bytes()) == 50 * benchmark.DIMENSION * 4
