"""What holds for every error."""

from exporter.errors import LONGEST, SourceError


def test_a_line_has_an_end():
    """However long the text is that stands in an error, it is told in part."""
    assert str(SourceError("short")) == "short"
    told = str(SourceError("x" * 9000))
    assert len(told) == LONGEST
    assert told.endswith("x…")
