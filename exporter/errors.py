"""The one family of errors. Each kind carries the exit code that the command line ends with.

A message is one line: the fact, the value seen, the next step. It never holds a secret, so it can be shown as it is.
Any other exception that reaches the command line is a fault of ours and ends with exit code 1.
"""


def first_line(error: BaseException) -> str:
    """The start of what a library's error says, or its kind."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


LONGEST = 2000


class ExporterError(Exception):
    """Something the user can mend; `str(error)` says what and how, in so many characters at most: what a stranger wrote
    may stand in it.
    """

    exit_code = 1

    def __str__(self) -> str:
        text = super().__str__()
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class UsageError(ExporterError):
    """The options don't fit together, or a question is blank."""

    exit_code = 2


class SourceError(ExporterError):
    """The source is not there, is not a Chroma directory, or can't be read safely now."""

    exit_code = 3


class CollectionError(ExporterError):
    """No collection, an unknown one, several and none named, or an empty one."""

    exit_code = 4


class ModelError(ExporterError):
    """The model can't be loaded, or its dimension is not the collection's."""

    exit_code = 5


class RowsError(ExporterError):
    """Rows that can't be used: no vectors, NaN or infinity."""

    exit_code = 6


class OutputError(ExporterError):
    """The run can't be written: it exists, the log directory can't be written, the disk is full."""

    exit_code = 7


class ServingError(ExporterError):
    """TensorBoard can't be started, or there is nothing to serve."""

    exit_code = 8


class NetworkError(ExporterError):
    """A server that can't be reached, or that answers with an error."""

    exit_code = 9


class CheckFailed(ExporterError):
    """A fault that `verify` found, or a threshold that `evaluate` or `compare` missed."""

    exit_code = 10


class QueryError(ExporterError):
    """A filter, an answer pattern or a question set that can't be understood."""

    exit_code = 11
