"""How many rows to ask for at once, so that no lock lasts long: texts of a word and of a whole book are both stored."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.records import Int64
from exporter.sources.database import Database

FIRST = 32
LONG = 0.01  # seconds; a fifth of what a writer should ever wait


class Pace:
    """A number of `rows`, at most `most`, that follows the locks of a database: `kept` looks at those since the last.

    It is doubled while they are short, and cut in proportion when one was long.
    """

    def __init__(self, database: Database, most: int) -> None:
        self.rows = min(FIRST, most)
        self._database, self._most = database, most
        database.recent_lock = 0.0

    def kept(self) -> None:
        """Adapt to what the last rows have taken."""
        lock, self._database.recent_lock = self._database.recent_lock, 0.0
        if lock > LONG:
            self.rows = max(1, int(self.rows * LONG / lock))
        elif lock < LONG / 4:
            self.rows = min(self._most, 2 * self.rows)

    def pages(self, rows: Int64) -> Iterator[Int64]:
        """The rows, (n,), so many at a time; each time when the statements for the last ones are done."""
        first = 0
        while first < len(rows):
            page = rows[first : first + self.rows]
            yield page
            first += len(page)
            self.kept()
