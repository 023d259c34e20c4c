from types import SimpleNamespace

import numpy as np

from exporter.sources.pace import FIRST, LONG, Pace


def paced(lock_of, rows=5000, most=1000):
    """The sizes of the pages, where a page of n rows holds a lock for `lock_of(n)` seconds."""
    database = SimpleNamespace(recent_lock=9.9)
    seen, sizes = [], []
    for page in Pace(database, most).pages(np.arange(rows)):
        database.recent_lock = max(database.recent_lock, lock_of(len(page)))
        seen += page.tolist()
        sizes.append(len(page))
    assert seen == list(range(rows))
    return sizes


def test_short_locks_grow_to_the_most():
    """Where locks are short, pages double up to the cap; what was held before does not count."""
    assert paced(lambda n: n * 1e-6)[:5] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, 16 * FIRST]


def test_long_locks_shrink_to_what_is_short():
    """Where a row takes long, pages are soon so small that their locks are not long, and stay there."""
    sizes = paced(lambda n: n * 0.001, rows=1000)
    assert sizes[0] == FIRST
    assert max(sizes[1:]) <= 1000 * LONG


def test_a_page_has_one_row_at_least():
    """One row may take as long as it likes: there is nothing smaller."""
    assert paced(lambda n: 10.0, rows=FIRST + 3) == [FIRST, 1, 1, 1]


def test_one_long_lock_is_made_up_for():
    """After a lock that was long by chance, pages grow again."""
    locks = iter([0.0, 1.0])
    assert paced(lambda n: next(locks, 0.0))[-2] == 1000


def test_a_cap_below_the_first_page_holds():
    """No page is bigger than the cap."""
    assert set(paced(lambda n: 0.0, rows=30, most=10)) == {10}
