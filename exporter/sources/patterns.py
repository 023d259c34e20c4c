r"""The patterns of `$regex`, read as Chroma reads them: by Rust's regex crate, which pydantic-core has built in.

It takes time in proportion to text and pattern, whatever the pattern is, and knows neither look-around nor
backreferences. It is Chroma's own (rust/types/src/regex/mod.rs and sqlite's REGEXP at tag 1.5.9), so `\b`, `\d`,
`[[:alpha:]]` and `$` mean the same, in every script.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.errors import QueryError

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator


@dataclass(frozen=True)
class Pattern:
    """A pattern to look for anywhere in a text. Raises `QueryError` for what Chroma can't read."""

    text: str
    negated: bool
    """Whether the records that don't match are wanted."""
    _compiled: SchemaValidator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from pydantic_core import SchemaError, SchemaValidator, core_schema

        try:
            compiled = SchemaValidator(core_schema.str_schema(pattern=self.text, regex_engine="rust-regex"))
        except SchemaError as error:
            why = str(error).splitlines()[-1].strip().removeprefix("error: ").removeprefix("SchemaError: ").rstrip(".")
            raise QueryError(f"where_document: the pattern {self.text!r} can't be read ({why}); mend it") from error
        object.__setattr__(self, "_compiled", compiled)

    def found_in(self, texts: Iterable[tuple[int, str]]) -> list[int]:
        """The numbers of those texts that the pattern is found in."""
        matches = self._compiled.isinstance_python
        return [number for number, text in texts if matches(text)]
