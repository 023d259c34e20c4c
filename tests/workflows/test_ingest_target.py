"""What is said when a place can't be written to."""

from exporter.errors import NetworkError
from exporter.workflows.ingest_target import _fault


def test_no_fault_tells_a_secret():
    """One with white space, or at the place where a long error is cut, is told neither whole nor in part."""
    secret = "one  two three"
    error = _fault(NetworkError, "host", (secret,), "x" * 290 + f" {secret}\nand more")
    assert str(error) == "host can't be written: " + "x" * 290 + " *** and m"
