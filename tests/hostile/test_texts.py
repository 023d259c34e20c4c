"""Question sets, filters and requests: whatever stands in them is read, or refused in words."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.bounded import LARGEST as MOST
from exporter.cli.options import access, parse_filter
from exporter.errors import QueryError, UsageError
from exporter.evaluation.question_sets import read_qrels, read_questions
from exporter.serving.asking import KINDS, LONGEST, Refusal, _read
from exporter.sources.where import parse
from exporter.workflows import question_set
from exporter.workflows.question_vectors import read_vectors
from exporter.workflows.request import read_retrieved
from tests.hostile.mutations import NASTY, changed, examples, harmless, leaves, mutated, values

RECORDS = [
    {"id": "a", "question": "How?", "answers": ["so", ["and", "so"]], "relevant": ["id1", {"id": "id2", "grade": 2}]},
    {"id": "b", "question": "Why?", "source": "doc1.md", "page": 3},
    {"question": "When?", "answers": {"text": ["then"], "answer_start": [3]}, "relevant": {"id1": 1}},
]
SQUAD = {
    "version": "2.0",
    "data": [
        {
            "title": "t",
            "paragraphs": [{"context": "c", "qas": [{"id": "1", "question": "q", "answers": [{"text": "a"}]}]}],
        }
    ],
}
DEEP = [b"[" * 100_000, b'{"a":' * 100_000, b'[{"question": "x", "answers": ' + b"[" * 990 + b"]" * 990 + b"}]"]


def understood(file, content):
    """A set that can be used, or a refusal that names the file."""
    found = harmless(lambda: read_questions(file, content))
    if isinstance(found, QueryError):
        assert file in str(found)
    else:
        assert len(found)
        assert all(one.text.strip() and one.id for one in found.questions)
        json.dumps([[one.id, one.text, one.answers] for one in found.questions]).encode()
    return found


@examples(300)
@given(st.one_of(mutated(RECORDS), mutated(SQUAD), values))
def test_json_of_all_kinds(document):
    """A .json and a .jsonl of whatever values."""
    understood("a.json", json.dumps(document).encode())
    lines = document if isinstance(document, list) else [document]
    understood("a.jsonl", "\n".join(json.dumps(line) for line in lines).encode())


@examples(200)
@given(st.data())
def test_bytes_of_all_kinds(data):
    """A set of any kind whose bytes were changed."""
    ending = data.draw(st.sampled_from(["json", "jsonl", "csv", "tsv"]))
    whole = {
        "json": json.dumps(RECORDS).encode(),
        "jsonl": "\n".join(map(json.dumps, RECORDS)).encode(),
        "csv": b'id,question,answers\n1,How?,so\n2,"Why, then?","[""a"", ""b""]"\n',
        "tsv": b"1\tHow?\n2\tWhy?\n",
    }[ending]
    understood(f"a.{ending}", data.draw(changed(whole) | st.binary(max_size=200)))


@pytest.mark.parametrize("content", DEEP, ids=["lists", "objects", "answers"])
@pytest.mark.parametrize("ending", ["json", "jsonl", "csv", "tsv"])
def test_depths(ending, content):
    """What is nested a hundred thousand times is refused, not followed."""
    refused = understood(f"a.{ending}", content if ending.startswith("json") else b"question,answers\tx\nq," + content)
    assert isinstance(refused, QueryError) or ending in ("csv", "tsv")


def test_a_set_that_never_ends():
    """A device in place of a question set, or of judgements, is read up to a bound and refused."""
    with pytest.raises(QueryError, match="--questions /dev/zero can't be read: it holds more than 256 MB"):
        question_set.load_set("/dev/zero")
    with pytest.raises(QueryError, match="--qrels /dev/zero can't be read: it holds more than 256 MB"):
        question_set.load_set([{"question": "How?"}], "/dev/zero")


@pytest.mark.parametrize(
    "read",
    [
        lambda: read_vectors(Path("/dev/zero")),
        lambda: read_retrieved("\0" * (MOST + 1)),
        lambda: access("@/dev/zero", [], retries=0),
    ],
    ids=["vector", "retrieved", "token"],
)
def test_other_files_that_never_end(read):
    """A device in place of a question's vector, of ids that were retrieved, or of a token is read up to a bound."""
    with pytest.raises(UsageError, match="more than 256 MB"):
        read()


@pytest.mark.parametrize("depth", range(900, 1000, 7))
def test_depths_at_the_edge(depth):
    """Whatever depth Python itself still reads, an answer of that depth is refused in words."""
    nested = "[" * depth + "]" * depth
    for name in ("question", "answers", "relevant", "id"):
        understood("a.jsonl", f'{{"question": "q", "{name}": {nested}}}'.encode())
    understood("a.jsonl", nested.encode())
    understood("a.csv", f"question,answers\nq,{nested}\n".encode())


@examples(100)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["id", "question", "answers", "page", *NASTY[:8]]), st.text() | st.sampled_from(NASTY)
        )
    )
)
def test_csv_of_all_kinds(rows):
    """Tables with whatever in their cells."""
    names = sorted({name for row in rows for name in row} | {"question"})
    written = io.StringIO(newline="")
    table = csv.writer(written)
    table.writerow(names)
    table.writerows([row.get(name, "") for name in names] for row in rows)
    understood("a.csv", written.getvalue().encode("utf-8", "surrogatepass"))


@examples(200)
@given(st.binary(max_size=120) | changed(b"q1 0 d1 1\nq2 0 d2 0\nq1\td2\t1e400\n"))
def test_judgements(content):
    """Qrels of whatever bytes."""
    asked = read_questions("a.tsv", b"q1\tHow?\nq2\tWhy?\n")
    harmless(lambda: read_qrels("qrels.txt", content, asked))


FILTER = {
    "$and": [{"page": {"$gt": 3}}, {"$or": [{"source": "a"}, {"tags": {"$contains": "b"}}]}, {"x": {"$in": [1, 2]}}]
}
operators = st.sampled_from(
    ["$and", "$or", "$eq", "$ne", "$gt", "$in", "$nin", "$contains", "$regex", "$not_contains", "$x"]
)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(operators | st.text(max_size=5), inner, max_size=2),
)


@examples(400)
@given(st.one_of(mutated(FILTER), trees), st.one_of(mutated({"$or": [{"$contains": "a"}, {"$regex": "b"}]}), trees))
@example({"\ud800": 1}, {"$contains": "\udfff"})
def test_filters(where, where_document):
    """`--where` and `--where-document` of whatever JSON: a condition that SQLite takes, or a line."""
    for one, other in ((where, None), (None, where_document)):
        found = harmless(lambda one=one, other=other: parse(one, other))
        if found is not None and not isinstance(found, Exception):
            found.matches([{"page": 3, "source": "a", "chroma:document": "text"}, {"tags": ["b"]}, {}])


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"$and": [' * 20_000, '{"a": ' * 100_000, "NaN", "1" * 5000, "", "{", "\0"]
)
def test_filters_as_they_are_typed(text):
    """What is no filter is refused on the command line, however deep or long."""
    with pytest.raises((QueryError, UsageError)) as told:
        parse(parse_filter("--where", text), None)
    assert len(str(told.value)) < 500


@pytest.mark.parametrize("depth", [10, 100, 500, 900, 970, 990])
def test_deep_filters(depth):
    """A filter that is nested deeply is answered, or refused in a line."""
    tree = {"page": 1}
    for _ in range(depth):
        tree = {"$and": [tree, {"page": 1}]}
    found = harmless(lambda: parse(tree, None))
    assert isinstance(found, QueryError) or found.matches([{"page": 1}, {"page": 2}]) == [True, False]


@examples(300)
@given(st.data())
def test_requests_of_the_page(data):
    """Whatever is sent to /ask and /keep becomes a request of texts in bounds, or a status with its words."""
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    sent = {"run": "a", "question": "How?", "answer": "so", "name": "b"}
    body = data.draw(
        st.one_of(
            mutated(sent).map(lambda value: json.dumps(value).encode()), changed(json.dumps(sent).encode()), st.binary()
        )
    )
    length = data.draw(st.sampled_from([str(len(body)), "-1", "x", "", "1e3", str(10**30), "١"]))
    environ = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(body)}
    found, refusal = {}, None
    try:
        found = _read(kind, environ)
    except Refusal as error:
        refusal = error
    assert refusal is None or (refusal.status.startswith("4") and refusal.why)
    assert all(isinstance(text, str) and len(text) <= LONGEST for text in found.values())


@pytest.mark.parametrize("body", [b"[" * 90_000, b'{"run":' * 10_000, b'{"run": "' + b"\\ud800" * 10 + b'"}'])
def test_deep_requests(body):
    """What is nested as deeply as a request can be is refused."""
    environ = {
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    with pytest.raises(Refusal, match=r"this is not a question|is no text|is missing"):
        _read("ask", environ)


@examples(200)
@given(
    st.one_of(
        values.map(json.dumps),
        st.text(),
        st.sampled_from(["[" * 100_000, "[1, [", '[{"id": null}]', json.dumps({"ids": "x" * 9000})]),
    )
)
def test_retrieved(text):
    """--retrieved of whatever text: ids, or a line."""
    found = harmless(lambda: read_retrieved(text))
    assert isinstance(found, UsageError) or all(isinstance(one, str) and one for ids in found for one in ids)


@examples(100)
@given(data=st.none() | st.data())
def test_vectors(tmp_path_factory, data):
    """--question-vector of whatever file: finite numbers, or a line."""
    folder = tmp_path_factory.mktemp("vectors")
    npy = (
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }".ljust(127)
        + b"\n"
        + bytes(16)
    )
    if data is None:
        contents = [("a.json", "[" * 100_000), ("a.npy", npy.replace(b"(4,)", b"(10**15,)"))]
        contents += [("a.npy", npy.replace(b"<f4", b"|O").ljust(200)), ("a.json", "[1e999]"), ("a.json", '{"a": 1}')]
        contents += [("a.npy", npy.replace(b"(4,)", b"(999999999999,)")), ("a.json", json.dumps("x" * 9000))]
    else:
        kind = data.draw(st.sampled_from(["a.json", "a.npy"]))
        contents = [(kind, data.draw(changed(npy) if kind == "a.npy" else values.map(json.dumps)))]
    for name, content in contents:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        found = harmless(lambda name=name: read_vectors(folder / name))
        assert isinstance(found, UsageError) or found.ndim == 2
