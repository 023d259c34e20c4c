import contextlib
import io
import pickle
import string
import sys
import tracemalloc
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import SourceError
from exporter.sources.id_table import PYTHON_CLASS, IdTable, Unreadable

TABLES = st.dictionaries(st.text(max_size=300), st.integers(0, 2**40), max_size=60)


@pytest.fixture(scope="module")
def persisted():
    """A class of the name that Chroma 0.4 to 0.6 pickled, so that Python's own pickler writes what they wrote."""
    module = types.ModuleType(PYTHON_CLASS[0])
    made = type(PYTHON_CLASS[1], (), {"__module__": PYTHON_CLASS[0]})
    setattr(module, PYTHON_CLASS[1], made)
    sys.modules[PYTHON_CLASS[0]] = module
    yield made
    del sys.modules[PYTHON_CLASS[0]]


def read(folder, data):
    """The table, its batches' sizes and the last record of a pickle."""
    (folder / "index_metadata.pickle").write_bytes(data)
    with (folder / "index_metadata.pickle").open("rb") as file:
        table = IdTable(file)
        batches = [(table.max_seq_id, ids, labels) for ids, labels in table.batches()]
    found = {name: label for _, ids, labels in batches for name, label in zip(ids, labels, strict=True)}
    return found, [len(ids) for _, ids, _ in batches], table.max_seq_id


def fields(table, **more):
    return {
        "dimensionality": 3,
        "total_elements_added": len(table),
        **more,
        "id_to_label": table,
        "label_to_id": {label: name for name, label in table.items()},
        "id_to_seq_id": {},
    }


def by_rust(table):
    """A plain dictionary as 1.x writes it: long forms only, nothing memorized, a thousand items at a time."""
    out = io.BytesIO()

    def write(value):
        if isinstance(value, dict):
            items = list(value.items())
            out.write(b"}")
            for first in range(0, len(items) + 1 if items else 0, 1000):
                out.write(b"(")
                for item in items[first : first + 1000]:
                    write(item[0])
                    write(item[1])
                out.write(b"u")
        elif value is None:
            out.write(b"N")
        elif isinstance(value, str):
            out.write(b"X" + len(value.encode()).to_bytes(4, "little") + value.encode())
        else:
            out.write(b"J" + value.to_bytes(4, "little", signed=True))

    out.write(b"\x80\x03")
    write({**fields(table, max_seq_id=None), "dimensionality": None})
    out.write(b".")
    return out.getvalue()


@settings(max_examples=60, deadline=None, database=None)
@given(table=TABLES, last=st.none() | st.integers(0, 2**70))
def test_a_pickled_object_gives_its_table(tmp_path_factory, persisted, table, last):
    """Whatever Python's pickler makes of the object of 0.4 to 0.6, ids, labels and last record come back."""
    one = persisted()
    one.__dict__.update(fields(table, max_seq_id=last))
    assert read(tmp_path_factory.getbasetemp(), pickle.dumps(one, protocol=5))[::2] == (table, last)


@settings(max_examples=60, deadline=None, database=None)
@given(table=st.dictionaries(st.text(max_size=300), st.integers(0, 2**31 - 1), max_size=60))
def test_a_plain_dictionary_gives_its_table(tmp_path_factory, table):
    """What 1.x writes comes back, whatever the ids are."""
    assert pickle.loads(by_rust(table))["id_to_label"] == table
    assert read(tmp_path_factory.getbasetemp(), by_rust(table))[::2] == (table, None)


def test_batches_are_handed_on_as_they_were_written(tmp_path, persisted):
    """However long the table is, a thousand items at a time come out, and the last record is known with the first."""
    table = {f"id{i}": i for i in range(2500)}
    one = persisted()
    one.__dict__.update(fields(table, max_seq_id=77))
    found, sizes, last = read(tmp_path, pickle.dumps(one, protocol=5))
    assert (found, max(sizes), last) == (table, 1000, 77)
    assert max(read(tmp_path, by_rust(table))[1]) == 1000
    with (tmp_path / "index_metadata.pickle").open("wb") as file:
        pickle.dump(one, file, protocol=5)
    with (tmp_path / "index_metadata.pickle").open("rb") as file:
        started = IdTable(file)
        next(started.batches())
        assert started.max_seq_id == 77


def test_a_long_id_is_read_over_the_border_of_two_blocks(tmp_path):
    """An id may be longer than what is read of the file at once."""
    table = {letter * 200_000: i for i, letter in enumerate(string.ascii_letters[:5])}
    assert read(tmp_path, by_rust(table))[0] == table


def test_a_table_is_never_there_whole(tmp_path):
    """Reading 200,000 ids takes no more memory than reading 2,000 does, but for a megabyte."""
    peaks = []
    for rows in (2000, 200_000):
        (tmp_path / "table").write_bytes(by_rust({f"{i:036}": i for i in range(rows)}))
        with (tmp_path / "table").open("rb") as file:
            tracemalloc.start()
            assert sum(len(ids) for ids, _ in IdTable(file).batches()) == rows
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2**20


def test_every_cut_is_seen(tmp_path, persisted):
    """A pickle that ends too early, wherever that is, is unreadable."""
    one = persisted()
    one.__dict__.update(fields({f"id{i}": i for i in range(20)}, max_seq_id=9))
    for whole in (pickle.dumps(one, protocol=5), by_rust({f"id{i}": i for i in range(20)})):
        for length in range(len(whole)):
            with pytest.raises((Unreadable, IndexError)):
                read(tmp_path, whole[:length])


@settings(max_examples=200, deadline=None, database=None)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_runs_nothing_and_ends(tmp_path_factory, place, byte):
    """Whatever stands in the file, the answer is a table or one of the errors that the index knows, soon."""
    data = bytearray(by_rust({f"id{i}": i for i in range(20)}))
    data[place % len(data)] = byte
    with contextlib.suppress(Unreadable, SourceError, ValueError, IndexError, TypeError):
        read(tmp_path_factory.getbasetemp(), bytes(data))


@pytest.mark.parametrize(
    "call",
    [
        b"cposix\nsystem\n(X\x02\x00\x00\x00lstR.",
        b"(X\x02\x00\x00\x00lsiposix\nsystem\n.",
        b"\x8c\x05posix\x8c\x06system\x93.",
    ],
)
def test_what_would_be_imported_is_named(tmp_path, call):
    """An opcode that imports, in any of its forms, is refused by the name of what it wants."""
    with pytest.raises(SourceError, match=r"would run posix\.system, which Chroma never writes; .*nothing was run"):
        read(tmp_path, b"\x80\x04" + call)


@pytest.mark.parametrize(
    "data", [b"\x80\x04Vx\n.", b"\x80\x04P1\n.", b"\x80\x04\x8d" + (2**60).to_bytes(8, "little") + b"x"]
)
def test_other_opcodes_are_damage(tmp_path, data):
    """What neither writer writes, or could not be that long, is unreadable, and no memory is asked for."""
    with pytest.raises(Unreadable):
        read(tmp_path, data)
