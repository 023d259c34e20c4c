"""Vectors survive every format."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporter.runs.tensors import padded, to_bytes, to_tsv

MATRICES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(3, 9)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(MATRICES)
def test_tsv_is_exact(values):
    """Any finite float32 matrix reads back from vectors.tsv bit for bit, by Python's own float."""
    lines = b"".join(to_tsv(values)).decode().splitlines()
    read = np.array([[float(cell) for cell in line.split("\t")] for line in lines], np.float32)
    assert read.tobytes() == values.tobytes()


@given(MATRICES)
def test_bytes_are_exact_but_for_the_guard(values):
    """Raw float32 is bit-equal, but for the first value where a reader could take the file for text."""
    raw = b"".join(to_bytes(values))
    assert raw[1:] == values.astype("<f4").tobytes()[1:]
    with pytest.raises(UnicodeDecodeError):
        raw[: raw.find(b"\n") + 1 or len(raw)].decode()


def test_guard_changes_little():
    """The guard changes the first value by 1.6e-5 of it at most, and only where it must."""
    text_like = np.full((2, 4), 2.0, np.float32)
    read = np.frombuffer(b"".join(to_bytes(text_like)), "<f4")
    assert abs(read[0] / 2.0 - 1) < 1.6e-5
    assert (read[1:] == 2.0).all()
    binary = np.full((2, 4), -1.1, np.float32)
    assert b"".join(to_bytes(binary)) == binary.tobytes()


def test_padding():
    """One or two columns become three, of zeros; three stay as they are."""
    assert padded(np.ones((2, 1), np.float32)).tolist() == [[1, 0, 0], [1, 0, 0]]
    assert padded(np.ones((2, 3), np.float32)).shape == (2, 3)
