"""Question sets: the bytes of a file in, records out. All mistakes are told at once, each with its line.

An entry of a file (`question_files`) has `question`, and perhaps `id`, `answers`, `relevant`, `source` and `page`, or
other names that people use for these (`NAMES`). Judgements are `query 0 document grade` (TREC), or
`query document grade` under a header (BEIR).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from exporter.errors import QueryError
from exporter.evaluation.question_files import NAMES, READERS, Entry, Mistakes, decoded, short
from exporter.records import Answer

HEADINGS = frozenset({
    "query-id", "qid", "query", "question-id", "topic", "corpus-id", "doc-id", "docid", "document-id", "document",
    "doc", "iter", "iteration", "score", "grade", "rel", "relevance", "relevancy", "label",
})  # fmt: skip
"""What the columns of judgements are called, where a first line says it; two of them make a header."""


@dataclass(frozen=True)
class Target:
    """What ought to come back: a chunk by its id, or every chunk of a source, or of one page of it.

    `grade` above 0 is relevant, and how much; 0 was judged not to be.
    """

    id: str | None = None
    source: str | None = None
    page: str | None = None
    grade: int = 1

    def __str__(self) -> str:
        if self.id is not None:
            return self.id
        return f"{self.source}" if self.page is None else f"{self.source} p. {self.page}"


@dataclass(frozen=True)
class Asked:
    """A question of a set. `answers`: any of them; one that is a tuple: all of its parts. `where`: where it stands."""

    id: str
    text: str
    answers: tuple[Answer, ...] = ()
    relevant: tuple[Target, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class QuestionSet:
    """What a file holds; `noted` counts what was left out of it."""

    questions: tuple[Asked, ...]
    noted: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out, and how many questions say nothing of what is right."""
        unknown = [one.where for one in self.questions if not one.answers and not one.relevant]
        if not unknown:
            return self.noted
        said = _questions_have(len(unknown), "says", "say")
        return (*self.noted, f"{said} neither answers nor relevant chunks (the first at {unknown[0]})")

    def __len__(self) -> int:
        return len(self.questions)


def read_questions(file: str, content: bytes) -> QuestionSet:
    """The questions of a file of this name and content.

    Raises QueryError with the line of each mistake: wrong encoding, no JSON, no column of questions, a blank question,
    an id that is there twice, answers or relevant chunks of another kind.
    """
    ending = file.rpartition(".")[2].lower()
    if ending not in READERS:
        raise QueryError(f"{file}: a question set ends in {', '.join(f'.{one}' for one in READERS)}")
    mistakes = Mistakes(file)
    return _questions(mistakes, READERS[ending](mistakes, decoded(file, content)))


def read_qrels(file: str, content: bytes, asked: QuestionSet) -> QuestionSet:
    """The set with the judgements of a TREC or BEIR file in it; they take the place of its own.

    A question that is not judged and has no answers is left out, as those of BEIR's other splits, and counted; so are
    judgements of questions that are not in the set. Raises QueryError with the line of each mistake, and when nothing
    is left.
    """
    mistakes = Mistakes(file)
    found: dict[str, dict[str, int]] = {one.id: {} for one in asked.questions}
    judgements = foreign = 0
    for number, line in enumerate(decoded(file, content).split("\n"), start=1):
        cells = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or (number == 1 and _is_header(cells)):
            continue
        grade = _whole(cells[-1])
        if len(cells) not in (3, 4) or grade is None:
            mistakes.add(f"line {number}", "not `query 0 document grade`, nor `query document grade`")
            continue
        query, document = cells[0].strip(), cells[-2].strip()
        judgements += 1
        if query not in found:
            foreign += 1
        elif found[query].setdefault(document, grade) != grade:
            mistakes.add(f"line {number}", f"{document!r} has another grade for {query!r} already")
    mistakes.refuse()
    if not judgements:
        raise QueryError(f"{file} holds no judgement: give lines of `query 0 document grade`")
    if foreign == judgements:
        raise QueryError(
            f"{file} judges none of the questions of the set, the first of which is {asked.questions[0].id!r}"
        )
    noted = list(asked.noted)
    if foreign:
        what = "1 chunk" if foreign == 1 else f"{foreign:,} chunks"
        noted.append(f"{file} judges {what} for questions that are not in the set")
    judged = [
        replace(one, relevant=tuple(Target(id=id, grade=grade) for id, grade in found[one.id].items()))
        for one in asked.questions
    ]
    kept = tuple(one for one in judged if one.answers or one.relevant)
    if len(kept) < len(judged):
        are = _questions_have(len(judged) - len(kept), "is", "are")
        noted.append(f"{are} not judged by {file}, and left out")
    return QuestionSet(kept, tuple(noted))


def from_records(records: Iterable[Mapping[str, Any]], name: str = "questions") -> QuestionSet:
    """A set from Python's own objects, with the same names and the same errors."""
    return _questions(Mistakes(name), ((f"entry {number}", record) for number, record in enumerate(records, start=1)))


def _questions(mistakes: Mistakes, entries: Iterable[Entry]) -> QuestionSet:
    seen: dict[str, str] = {}
    found: list[Asked] = []
    blank: list[str] = []
    for where, record in entries:
        try:
            one, blanks = _asked(where, record, len(found) + 1)
        except (ValueError, RecursionError) as error:  # the second: lists in lists in lists
            mistakes.add(where, str(error))
            continue
        if blanks:
            blank.append(where)
        if one.id in seen:
            mistakes.add(where, f"the id {short(one.id)!r} is there already, at {seen[one.id]}")
            continue
        seen[one.id] = where
        found.append(one)
    mistakes.refuse()
    if not found:
        raise QueryError(f"{mistakes.file} holds no question")
    warnings = []
    if blank:
        have = _questions_have(len(blank), "has", "have")
        warnings.append(f"{have} a blank answer, which is left out (the first at {blank[0]})")
    return QuestionSet(tuple(found), tuple(warnings))


def _asked(where: str, record: Any, number: int) -> tuple[Asked, bool]:
    """A question, and whether a blank answer was left out of it. Raises ValueError with what is wrong."""
    if not isinstance(record, Mapping):
        raise ValueError(f'an object is wanted, as {{"question": ...}}, not {json.dumps(record)[:40]}')
    lower = {str(name).lower(): value for name, value in record.items()}
    got = {
        name: next((lower[other] for other in others if lower.get(other) is not None), None)
        for name, others in NAMES.items()
    }
    text = got["question"]
    if text is None:
        raise ValueError(f"no question among {short(', '.join(map(str, record))) or 'no names'}")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(
            "the question is blank" if isinstance(text, str) else f"the question is {short(repr(text))}, not a text"
        )
    answers, blanks = _answers(got["answers"])
    relevant = tuple(_targets(got["relevant"]))
    if got["source"] is not None:
        relevant += (Target(source=str(got["source"]), page=None if got["page"] is None else str(got["page"])),)
    elif got["page"] is not None:
        raise ValueError("a page without its source")
    id = f"q{number}" if got["id"] is None else str(got["id"]).strip()
    if not id:
        raise ValueError("the id is blank")
    parts = [part for answer in answers for part in ((answer,) if isinstance(answer, str) else answer)]
    if _is_broken("".join([id, text, *parts, *map(str, relevant)])):
        raise ValueError("half a character (a lone surrogate, as \\ud800): write the text again as UTF-8")
    return Asked(id, text, answers, relevant, where), blanks


def _answers(value: Any) -> tuple[tuple[Answer, ...], bool]:
    if isinstance(value, Mapping) and isinstance(value.get("text"), (list, tuple)):  # Hugging Face's rows of SQuAD
        value = value["text"] or None
    if value is None:
        return (), False
    several = value if isinstance(value, (list, tuple)) else [value]
    found: list[Answer] = []
    blanks = value in ("", [], ())
    for one in several:
        parts = one if isinstance(one, (list, tuple)) else [one]
        if any(isinstance(part, (Mapping, list, tuple, bool)) or part is None for part in parts):
            raise ValueError(f"the answer {json.dumps(one, default=str)[:40]} is neither a text nor a list of texts")
        texts = tuple(str(part) for part in parts if str(part).strip())
        blanks |= len(texts) < len(parts) or not parts
        if texts:
            found.append(texts if isinstance(one, (list, tuple)) and len(texts) > 1 else texts[0])
    return tuple(dict.fromkeys(found)), blanks


def _targets(value: Any) -> Iterator[Target]:
    if isinstance(value, Mapping) and not value.keys() & {"id", "source"}:  # BEIR's and Python's: id -> grade
        value = [{"id": id, "grade": grade} for id, grade in value.items()]
    for one in value if isinstance(value, (list, tuple)) else () if value is None else [value]:
        if isinstance(one, (str, int)) and not isinstance(one, bool):
            if not str(one).strip():
                raise ValueError("a relevant id is blank")
            yield Target(id=str(one))
            continue
        if not isinstance(one, Mapping) or not one.keys() & {"id", "source"}:
            raise ValueError(
                f"the relevant chunk {json.dumps(one, default=str)[:40]} is neither an id nor an object with `id` or "
                "`source`"
            )
        grade = one.get("grade", 1)
        if isinstance(grade, bool) or not isinstance(grade, int):
            raise ValueError(f"the grade {short(repr(grade))} is not a whole number")
        if one.get("id") is not None:
            yield Target(id=str(one["id"]), grade=grade)
        else:
            page = one.get("page")
            yield Target(source=str(one["source"]), page=None if page is None else str(page), grade=grade)


def _is_broken(text: str) -> bool:
    return any("\ud800" <= one <= "\udfff" for one in text)


def _questions_have(count: int, one: str, more: str) -> str:
    return f"1 question {one}" if count == 1 else f"{count:,} questions {more}"


def _whole(text: str) -> int | None:
    """`1`, `-1`, `1.0`; None for all else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _is_header(cells: Sequence[str]) -> bool:
    """Does the first line of judgements name its columns?"""
    names = {cell.strip().lower().replace("_", "-") for cell in cells}
    return len(names & HEADINGS) >= 2
