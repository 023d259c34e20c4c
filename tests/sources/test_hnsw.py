import os
import pickle
import resource
import struct
import time

import numpy as np
import pytest

from exporter.errors import SourceError
from exporter.sources.hnsw import Damaged, Index, state
from tests.sources.conftest import fingerprint, read


def age(folder):
    """Make the files look as if they had been written long ago, so that nobody waits for a persist to end."""
    for path in folder.iterdir():
        os.utime(path, (time.time() - 60, time.time() - 60))


@pytest.fixture(autouse=True)
def _old(index, monkeypatch):
    monkeypatch.setattr("exporter.sources.snapshot.SETTLING", 0.1)
    age(index)


def refused(directory, index, *, match):
    """The one line with which the index is refused: when it is old, and when a persist might still be under way.

    Nothing is written or mended.
    """
    age(index)
    before = fingerprint(directory)
    with pytest.raises(SourceError, match=match) as caught:
        read(directory)
    assert "\n" not in str(caught.value)
    os.utime(index / "header.bin")
    with pytest.raises(SourceError, match=match):
        read(directory)
    assert fingerprint(directory) == before


@pytest.mark.parametrize("name", ["index_metadata.pickle", "header.bin", "data_level0.bin"])
def test_a_truncated_index_is_refused(directory, index, name):
    """A file of the index that is cut off, at its end or to nothing, is an error that names the index."""
    whole = (index / name).read_bytes()
    for length in (0, len(whole) // 3):
        (index / name).write_bytes(whole[:length])
        refused(directory, index, match=f"the index {index.name} is damaged: {name} .*; restore .* backup")


def test_an_index_without_its_header_is_refused(directory, index):
    """A file of the index that is missing is an error."""
    (index / "header.bin").unlink()
    (index / "data_level0.bin").touch()
    with pytest.raises(SourceError, match=r"can't be read \(No such file"):
        read(directory)


def test_an_index_of_another_dimension_is_refused(directory, index):
    """An index that says another dimension than the collection is an error with both."""
    header = bytearray((index / "header.bin").read_bytes())
    label_at = struct.unpack_from("<Q", header, 36)[0]
    struct.pack_into("<Q", header, 36, label_at - 4)
    (index / "header.bin").write_bytes(header)
    refused(directory, index, match="header.bin says 3 dimensions, the collection 4")


def test_a_header_of_nonsense_is_refused(directory, index):
    """Sizes that can't be are an error, whatever they are."""
    random = np.random.default_rng(3)
    for _ in range(50):
        (index / "header.bin").write_bytes(random.bytes(100))
        age(index)
        with pytest.raises(SourceError, match="makes no sense"):
            read(directory)


class Trap:
    """An object whose pickle runs code when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(directory, index, tmp_path):
    """Anything but plain values and Chroma's own class is refused by its name, and nothing of it happens."""
    (index / "index_metadata.pickle").write_bytes(pickle.dumps({"id_to_label": Trap(tmp_path / "trap")}))
    refused(directory, index, match=r"index_metadata.pickle would run posix.mkdir, .*nothing was run")
    assert not (tmp_path / "trap").exists()


def nested_tuples():
    """A key whose hash takes for ever: each tuple holds the one before it twice."""
    yield pickle.PROTO + b"\x04" + pickle.EMPTY_DICT + pickle.EMPTY_TUPLE
    for _ in range(200):
        yield pickle.DUP + pickle.TUPLE2
    yield pickle.NONE + pickle.SETITEM + pickle.STOP


FOREIGN = {
    "a place for 2**31 values": b"\x80\x03}r\xff\xff\xff\x7f.",
    "a place for 2**60 values": b"\x80\x03}p1152921504606846976\n.",
    "tuples in tuples": b"".join(nested_tuples()),
    "a text of 2**62 bytes": b"\x80\x04\x8d\x00\x00\x00\x00\x00\x00\x00\x40abc.",
    "bytes of 2**62 bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x40abc.",
    "a frame of 2**62 bytes": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x40}.",
    "a number of a million digits": b"\x80\x03}(L" + b"9" * 10**6 + b"L\nNu.",
    "numbers that fall on one place": b"\x80\x02}("
    + b"".join(b"\x8a\x12" + ((2**61 - 1) * n << 60).to_bytes(18, "little") + b"N" for n in range(1, 40_000))
    + b"u.",
    "a reduce of nothing": b"\x80\x04}})R.",
    "an old class": b"\x80\x02(iposix\nmkdir\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"\x80\x02Pabc\n.",
}


REFUSED = "index_metadata.pickle (would run posix.mkdir|can't be read|holds no table of ids)"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_pickle_that_hangs_or_fills_the_memory_is_refused(directory, index, content):
    """What no table of ids needs is refused before it is built: neither time nor memory is spent on it."""
    (index / "index_metadata.pickle").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    refused(directory, index, match=REFUSED)
    assert time.monotonic() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


@pytest.mark.parametrize("protocol", range(6))
def test_a_trap_of_every_protocol_is_refused_and_not_run(directory, index, tmp_path, protocol):
    """In whatever way a pickle is written: nothing of it is run."""
    (index / "index_metadata.pickle").write_bytes(pickle.dumps({"id_to_label": Trap(tmp_path / "trap")}, protocol))
    refused(directory, index, match=REFUSED)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("value", [{}, [], {"id_to_label": [1]}, {"id_to_label": {"id1": "one"}}, None])
def test_a_pickle_of_something_else_is_refused(directory, index, value):
    """A pickle without a table of ids is an error."""
    (index / "index_metadata.pickle").write_bytes(pickle.dumps(value))
    refused(directory, index, match="holds no table of ids")


@pytest.mark.parametrize("value", [{"id_to_label": {1: 1}}, {"id_to_label": {"id1": 1}, "max_seq_id": "abc"}])
def test_a_pickle_of_other_types_is_refused(directory, index, value):
    """Ids that are no texts, or a last record that is no number, are damage."""
    (index / "index_metadata.pickle").write_bytes(pickle.dumps(value))
    refused(directory, index, match="ids that are no texts|a last record that is no number")


def test_labels_that_the_index_does_not_hold_have_no_element(index):
    """Every label is found at its own element; one that no element has, at none."""
    opened = Index(index, dimension=4, cosine=False)
    labels = {name: label for ids, some in opened.labels() for name, label in zip(ids, some, strict=True)}
    asked = [10**12, labels["id0"], -1, labels["id7"]]
    found = opened.elements_of(np.array(asked))
    (first, numbers), *_ = opened._elements.labels()
    assert (found >= 0).tolist() == [False, True, False, True]
    assert numbers[found[[1, 3]] - first].tolist() == [labels["id0"], labels["id7"]]
    assert opened.elements_of(np.array([], np.int64)).tolist() == []
    opened.close()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_lengths_of_nonsense_make_no_noise(index):
    """Vectors of lengths that can't be hold infinity or NaN, which is refused by the chunk's id; no warning is told."""
    lengths = np.resize(np.array([3e38, np.inf, np.nan], np.float32), (index / "length.bin").stat().st_size // 4)
    (index / "length.bin").write_bytes(lengths.tobytes())
    opened = Index(index, dimension=4, cosine=True)
    too_long, *broken = (opened.vectors(np.arange(first, 48, 3)) for first in range(3))
    assert not np.isfinite(too_long).all()
    assert not np.isfinite(broken).any()
    opened.close()


def test_an_index_that_was_never_persisted_is_empty(index):
    """Without its pickle the other files hold no vectors, only what happened to be in memory."""
    (index / "index_metadata.pickle").unlink()
    (index / "header.bin").write_bytes(b"\xff" * 100)
    opened = Index(index, dimension=4, cosine=True)
    assert opened.is_empty
    assert list(opened.labels()) == []
    assert opened.elements_of(np.array([5])).tolist() == [-1]
    opened.close()


def test_no_file_is_left_open(index):
    """Opening, failing and closing give back every file."""
    before = len(os.listdir("/proc/self/fd"))
    Index(index, dimension=4, cosine=False).close()
    with pytest.raises(Damaged):
        Index(index, dimension=5, cosine=False)
    os.truncate(index / "length.bin", 4)
    with pytest.raises(Damaged, match=r"length\.bin has 1 of "):
        Index(index, dimension=4, cosine=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_persist_changes_the_state(index):
    """Whatever file is written to, or taken away, the state differs from the one before."""
    before = state(index)
    for name in ("header.bin", "data_level0.bin", "length.bin", "index_metadata.pickle"):
        age(index)
        with (index / name).open("r+b") as stream:
            stream.write(b"\0")
        assert state(index) != before
        before = state(index)
    (index / "length.bin").unlink()
    assert state(index) != before
