"""What strangers may have made of a file: values of other kinds, other lengths, other bytes."""

import copy
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from exporter.errors import ExporterError

MORE = int(os.environ.get("FUZZ", "1"))
"""How many times as much is tried; `make reliability` takes more than the suite."""

NASTY = (
    "", " ", "-", "0", "NaN", "1e999", "true", "../../../etc/passwd", "/etc/passwd", "a\0b", "a\nb\tc", "\ud800",
    "__proto__", "constructor", "__seq_next__", "<script>alert(1)</script>", "</script>", "%s%n{0}", "\x1b]0;x\x07",
    "é" * 300, "x" * 20_000, "\u202eabc", "\ufeff",
)  # fmt: skip

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30]),
    st.floats(),
    st.sampled_from(NASTY),
    st.text(max_size=20),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.sampled_from(NASTY), inner, max_size=4)
    ),
    max_leaves=8,
)


def examples(count, **more):
    """`settings` of a test that tries so many, or `FUZZ` times as many."""
    return settings(
        max_examples=count * MORE,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
        **more,
    )


def harmless(call):
    """What a call returns, or the error with which it ends: one of ours, in one line that an owner can act on."""
    try:
        return call()
    except ExporterError as error:
        refused = error
    assert refused.exit_code > 1
    assert len(str(refused)) < 5000
    return refused


@st.composite
def mutated(draw, document):
    """A JSON document in which some values are others, gone, or new."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 4))):
        at, key = None, None
        place = made
        while isinstance(place, dict | list) and place:
            at = place
            key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            place = at[key]
            if draw(st.integers(0, 3)) == 0:
                break
        if at is None:
            return draw(values)
        kind = draw(st.sampled_from(["other", "other", "gone", "new", "twice"]))
        if kind == "other":
            at[key] = draw(values)
        elif kind == "gone":
            del at[key]
        elif kind == "new" and isinstance(at, dict):
            at[draw(st.sampled_from(NASTY))] = draw(values)
        elif isinstance(at, list):
            at.append(copy.deepcopy(at[key]) if kind == "twice" else draw(values))
    return made


@st.composite
def changed(draw, raw):
    """Bytes with some of them cut, doubled, moved, or made into numbers that nobody expects."""
    made = bytearray(raw)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(made) - 1)))
        length = draw(st.integers(1, 16))
        kind = draw(st.sampled_from(["bytes", "bytes", "number", "cut", "double", "remove", "zero"]))
        if kind == "bytes":
            made[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "number":
            number = draw(st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]))
            width = draw(st.sampled_from([4, 8]))
            made[at : at + width] = (number % 2 ** (8 * width)).to_bytes(
                width, draw(st.sampled_from(["little", "big"]))
            )
        elif kind == "cut":
            del made[at:]
        elif kind == "double":
            made[at:at] = made[at : at + draw(st.integers(1, 5000))]
        elif kind == "remove":
            del made[at : at + length]
        else:
            made[at : at + draw(st.integers(1, 5000))] = b""
    return bytes(made)
