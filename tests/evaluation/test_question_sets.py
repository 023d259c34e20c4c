"""Question sets: every form, and every mistake with its line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import QueryError
from exporter.evaluation.question_sets import Asked, Target, from_records, read_qrels, read_questions


def jsonl(*records):
    return "\n".join(json.dumps(record) for record in records).encode()


def test_lines_of_json():
    """A .jsonl has an object a line; ids are made up where there are none, blank lines count as lines."""
    content = (
        b'{"id": "a", "question": "Why?", "answers": ["x", ["y", "z"]]}\n\n{"question": "How?", "relevant": ["c1"]}\n'
    )
    found = read_questions("set.jsonl", content)
    assert found.questions == (
        Asked("a", "Why?", ("x", ("y", "z")), (), "line 1"),
        Asked("q2", "How?", (), (Target("c1"),), "line 3"),
    )
    assert found.warnings == ()


@pytest.mark.parametrize("name", ["question", "query", "text", "Question", "user_input"])
def test_names(name):
    """What people call the column of questions is known."""
    assert read_questions("set.jsonl", jsonl({name: "Why?", "answer": "x"})).questions[0].text == "Why?"


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t")])
def test_tables(ending, separator):
    """A table has a header; a cell may be quoted over lines, and holds one text or a JSON list."""
    rows = [
        ["id", "question", "answers", "source", "page"],
        ["a", "Why?", "x y", "faq.pdf", "3"],
        ["b", '"two\nlines"', '"[""x"", ""y""]"', "", ""],
        ["c", "Last?", "[not json]", "faq.pdf", ""],
    ]
    found = read_questions(f"set.{ending}", "\n".join(separator.join(row) for row in rows).encode())
    assert [(one.id, one.where) for one in found.questions] == [("a", "line 2"), ("b", "line 3"), ("c", "line 5")]
    assert found.questions[0].relevant == (Target(source="faq.pdf", page="3"),)
    assert found.questions[1].text == "two\nlines"
    assert found.questions[1].answers == ("x", "y")
    assert found.questions[2].answers == ("[not json]",)
    assert found.questions[2].relevant == (Target(source="faq.pdf"),)


def test_squad():
    """SQuAD's answers are those of its paragraphs, once each; an impossible question has none."""
    squad = {
        "data": [
            {
                "title": "t",
                "paragraphs": [
                    {
                        "context": "...",
                        "qas": [
                            {"id": "1", "question": "Who?", "answers": [{"text": "Ada"}, {"text": "Ada"}]},
                            {"id": "2", "question": "When?", "answers": [], "is_impossible": True},
                        ],
                    }
                ],
            }
        ]
    }
    found = read_questions("dev.json", json.dumps(squad).encode())
    assert [(one.id, one.answers) for one in found.questions] == [("1", ("Ada",)), ("2", ())]
    assert found.warnings == (
        "1 question says neither answers nor relevant chunks (the first at data[0].paragraphs[0])",
    )
    assert found.questions[0].where == "data[0].paragraphs[0]"


@pytest.mark.parametrize(
    ("qrels", "grades"),
    [
        (b"a 0 c1 2\na 0 c2 0\nb 0 c3 1\n", {"c1": 2, "c2": 0}),
        (b"query-id\tcorpus-id\tscore\na\tc1\t2\na\tc 2\t1\n", {"c1": 2, "c 2": 1}),
    ],
)
def test_qrels(qrels, grades):
    """TREC's and BEIR's judgements are read, with their grades."""
    asked = read_questions("queries.jsonl", jsonl({"_id": "a", "text": "Why?"}, {"_id": "b", "text": "How?"}))
    found = read_qrels("test.tsv", qrels, asked)
    assert {target.id: target.grade for target in found.questions[0].relevant} == grades


def test_qrels_of_other_questions():
    """Judgements of questions that are not in the set are counted, not silently dropped."""
    asked = read_questions("queries.jsonl", jsonl({"_id": "a", "text": "Why?", "answer": "x"}))
    assert "2 chunks" in read_qrels("test.tsv", b"z 0 c1 1\nz 0 c2 1\na 0 c1 1\n", asked).warnings[0]


def test_judged_questions_are_not_unknown():
    """What the judgements say is known; questions that nothing is said of are left out, and counted."""
    asked = read_questions("queries.jsonl", jsonl(*({"_id": id, "text": f"{id}?"} for id in "abc")))
    assert "3 questions say neither" in asked.warnings[0]
    found = read_qrels("test.tsv", b"a 0 c1 1\nb 0 c2 1.0\n", asked)
    assert [one.id for one in found.questions] == ["a", "b"]
    assert found.questions[1].relevant == (Target("c2"),)
    assert found.warnings == ("1 question is not judged by test.tsv, and left out",)


@pytest.mark.parametrize(
    ("qrels", "words"),
    [
        (b"", "test.tsv holds no judgement"),
        (b"query-id\tcorpus-id\tscore\n", "test.tsv holds no judgement"),
        (b"z 0 c1 1\n", "judges none of the questions"),
        (b"a 0 c1 high\n", "line 1: not `query 0 document grade`"),
        (b"a 0 c1 1.5\n", "line 1: not `query 0 document grade`"),
        (b"a 0 c1 1\na 0 c1 0\n", "line 2: 'c1' has another grade for 'a' already"),
    ],
)
def test_qrels_that_say_nothing(qrels, words):
    """Judgements that are none, of nobody, or two for one pair are told; a first line is a header when it names."""
    asked = read_questions("queries.jsonl", jsonl({"_id": "a", "text": "Why?"}))
    with pytest.raises(QueryError) as caught:
        read_qrels("test.tsv", qrels, asked)
    assert words in str(caught.value)


def test_no_header():
    """MS MARCO's and TREC's queries have no header: an id, a tab, the question, whatever quotes it holds."""
    found = read_questions("queries.tsv", b'1048585\twhat is "zero"?\r\nq2\t"is" it?\n')
    assert [(one.id, one.text, one.where) for one in found.questions] == [
        ("1048585", 'what is "zero"?', "line 1"),
        ("q2", '"is" it?', "line 2"),
    ]


def test_rows_of_hugging_face():
    """SQuAD's rows there have the answers' texts in an object; no text is no answer, and no blank one."""
    rows = [{"question": "Who?", "answers": {"text": texts, "answer_start": []}} for texts in (["Ada", "Ada"], [])]
    found = read_questions("set.jsonl", jsonl(*rows))
    assert [one.answers for one in found.questions] == [("Ada",), ()]
    assert found.warnings == ("1 question says neither answers nor relevant chunks (the first at line 2)",)


def test_quotes_in_tabs():
    """A cell between tabs may begin with a quote that is just a quote."""
    found = read_questions("set.tsv", b'question\tanswers\nWhat is "zero"?\t0\n"Is" it?\tx\n')
    assert [one.text for one in found.questions] == ['What is "zero"?', '"Is" it?']


def test_qrels_with_mistakes():
    """A line that is no judgement is told with its number."""
    asked = read_questions("queries.jsonl", jsonl({"_id": "a", "text": "Why?", "answer": "x"}))
    with pytest.raises(QueryError, match="line 2: not `query 0 document grade`"):
        read_qrels("test.tsv", b"a 0 c1 1\na c1\n", asked)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("set.jsonl", b'{"id": 1}', "line 1: no question among id"),
        ("set.csv", b"id,frage\n1,x\n", "line 1: no column named question among id, frage"),
        ("set.csv", b"", "line 1: no column named question among none"),
        ("set.jsonl", b"", "holds no question"),
        ("set.csv", b"question\n", "holds no question"),
        ("set.jsonl", b'{"question": "a"}\n{"question": " "}', "line 2: the question is blank"),
        ("set.jsonl", b'{"question": 7}', "line 1: the question is 7, not a text"),
        ("set.jsonl", b'{"id": "x", "text": "a"}\n{"id": "x", "text": "b"}', "line 2: the id 'x' is there already"),
        ("set.jsonl", b'{"question": "a"}\n{"question": ', "line 2: not JSON"),
        ("set.jsonl", b'["a"]', "line 1: an object is wanted"),
        ("set.jsonl", b'{"question": "a", "answers": [{"x": 1}]}', "line 1: the answer"),
        ("set.jsonl", b'{"question": "a", "relevant": [true]}', "line 1: the relevant chunk"),
        ("set.jsonl", b'{"question": "a", "page": 3}', "line 1: a page without its source"),
        ("set.jsonl", b'{"question": "a"}\n{"question": "caf\xe9"}', "line 2: byte 0xe9 is not UTF-8"),
        ("set.jsonl", '{"question": "a"}'.encode("utf-16"), "UTF-16"),
        ("set.jsonl", b'{"question": "a\\ud800"}', "line 1: half a character"),
        ("set.jsonl", b'{"question": "a", "answers": [["a", "\\udc00x"]]}', "line 1: half a character"),
        ("set.jsonl", b'{"question": "a", "relevant": ["\\udc00x"]}', "line 1: half a character"),
        ("set.csv", b"question,answer\na,b,c\n", "line 2: 3 cells under 2 names"),
        ("set.csv", b'question\n"a', "line 2: unexpected end of data"),
        ("set.csv", b'question,answer\na,b\n"c,d\ne,f\ng,h\n', "line 3: unexpected end of data (a quote"),
        ("set.csv", b"question;answer\na;b\n", "its cells are parted by ';': save it with commas"),
        ("set.csv", b"question\tanswer\na\tb\n", "call it .tsv"),
        ("set.json", b'{"x": 1}', "neither SQuAD"),
        ("set.json", b'{"data": [{"paragraphs": [{}]}]}', "data[0].paragraphs[0] is not as SQuAD has it"),
        ("set.json", b"{\n{", "line 2: not JSON"),
        ("set.xlsx", b"", "ends in .jsonl, .csv, .tsv, .json"),
    ],
)  # fmt: skip
def test_mistakes(file, content, words):
    """Each mistake is one line that says where and what."""
    with pytest.raises(QueryError) as caught:
        read_questions(file, content)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_at_once():
    """Several mistakes are told together, the rest of many counted."""
    with pytest.raises(QueryError) as caught:
        read_questions("set.jsonl", b'{"question": " "}\n{"question": \n' + b"{}\n" * 8)
    told = str(caught.value)
    assert "line 1: the question is blank" in told
    assert "line 2: not JSON" in told
    assert "and 5 more" in told


def test_byte_order_mark():
    """A byte order mark is no part of the first name."""
    assert read_questions("set.csv", b"\xef\xbb\xbfquestion\nWhy?\n").questions[0].text == "Why?"


def test_empty_answers():
    """A blank answer is left out and counted with its line: it would be in every chunk."""
    found = read_questions(
        "set.jsonl", jsonl({"question": "a", "answers": ["x", " "]}, {"question": "b", "answers": []})
    )
    assert [one.answers for one in found.questions] == [("x",), ()]
    assert found.warnings == (
        "2 questions have a blank answer, which is left out (the first at line 1)",
        "1 question says neither answers nor relevant chunks (the first at line 2)",
    )


def test_many_lines():
    """A hundred thousand lines are read, and the mistake in the last has its number."""
    content = jsonl(*({"question": f"question {i}", "answers": ["x"]} for i in range(100_000)))
    assert len(read_questions("set.jsonl", content)) == 100_000
    with pytest.raises(QueryError, match="line 100001: not JSON"):
        read_questions("set.jsonl", content + b"\n{")


def test_pythons_own():
    """A list of dictionaries is a set too, with the same errors."""
    found = from_records([{"question": "Why?", "relevant": {"c1": 2}}])
    assert found.questions[0].relevant == (Target("c1", grade=2),)
    with pytest.raises(QueryError, match="entry 1: no question"):
        from_records([{"answers": "x"}])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(st.lists(st.fixed_dictionaries({"question": TEXTS, "answers": st.lists(TEXTS)}), min_size=1))
def test_any_text(records):
    """Whatever the texts hold, what was written is what is read."""
    found = read_questions("set.jsonl", jsonl(*records))
    assert [one.text for one in found.questions] == [record["question"] for record in records]
    assert [one.answers for one in found.questions] == [tuple(dict.fromkeys(record["answers"])) for record in records]


@given(st.binary())
def test_any_bytes(content):
    """Whatever the bytes, there is a set or one line that says why not."""
    for file in ("set.jsonl", "set.csv", "set.json", "set.tsv"):
        try:
            told = str(read_questions(file, content).questions[0].where)
        except QueryError as error:
            told = str(error)
        assert "line" in told or "entry" in told or "data" in told or "holds no question" in told
