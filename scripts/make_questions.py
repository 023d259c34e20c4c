"""A question set from the demo's own corpus: `python -m scripts.make_questions > questions.jsonl`.

Python's language reference defines methods, debugger commands and the like as a heading with a description below. The
description's first sentence becomes the question, the heading the answer: whoever asks in these words should get the
chunk that holds the heading. Each rule of the grammar becomes a question for its definition. Another Python has
another text, and so slightly other questions.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

_DEFINITION = re.compile(
    r"^(?P<margin> *)(?P<heading>[a-zA-Z_][^\n]{2,90})\n\n(?P=margin)   (?P<text>\S.*?)(?=\n\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
_KINDS = (
    (
        re.compile(r"(object|class|instance|type|str|dict|list|bytes)?\.?__\w+__(\(.*\))?"),
        "Which special method or attribute",
    ),
    (re.compile(r"str\.\w+\(.*\)"), "Which string method"),
    (re.compile(r"[a-z]\w*(\.\w+)*\(.*\)"), "Which function or method"),
    (re.compile(r"[a-z!]+(\([a-z]+\))?( \[.*\]| \w+| .*expression.*)?"), "Which debugger command"),
)

_RULE = re.compile(r"^ +(?P<rule>[a-z]\w+) +::=", re.MULTILINE)
_WORDS = {"stmt": "statement", "expr": "expression", "comp": "comparison", "decl": "declaration"}


def main() -> None:
    """Print the set, a question a line."""
    from pydoc_data.topics import topics

    for one in make(topics):
        print(json.dumps(one, ensure_ascii=False))


def make(texts: Mapping[str, str]) -> list[dict[str, object]]:
    """Questions from texts by name: `id`, `question`, `answers`. A heading that is defined twice is left out."""
    found: dict[str, dict[str, object]] = {}
    for name, text in texts.items():
        for heading, question in _definitions(name, text):
            found.setdefault(heading, {"question": question, "answers": [heading]})
    for text in texts.values():
        for rule in _RULE.findall(text):
            words = " ".join(_WORDS.get(word, word) for word in rule.split("_"))
            found.setdefault(rule, {"question": f"What is the syntax of {words}?", "answers": [f"{rule} ::="]})
    asked = Counter(one["question"] for one in found.values())
    kept = [one for one in found.values() if asked[one["question"]] == 1]
    return [{"id": f"d{number}", **one} for number, one in enumerate(kept, start=1)]


def _definitions(name: str, text: str) -> Iterator[tuple[str, str]]:
    for match in _DEFINITION.finditer(text):
        heading = " ".join(match["heading"].split())
        sentence = re.split(r"(?<=[.:])\s", " ".join(match["text"].split()))[0].rstrip(".:")
        words = sentence.split()
        if not 5 <= len(words) <= 40 or sentence.startswith(("Changed in", "Added in", "Deprecated", "New in", ">>>")):
            continue
        for pattern, which in _KINDS:
            if pattern.fullmatch(heading) and (which != "Which debugger command" or name == "debugger"):
                yield heading, f"{which} is it: {sentence[0].lower()}{sentence[1:]}?"
                break


if __name__ == "__main__":
    main()
