"""Which chunks are shown, when there are more than the picture takes."""

from __future__ import annotations

import numpy as np

from exporter.errors import UsageError
from exporter.records import Int64, ManyScores, Scores


def sample(scores: Scores | ManyScores, *, top_k: int, max_points: int, seed: int) -> Int64:
    """(m,) positions in stored order of the chunks to show, m at most `max_points` less the questions.

    Each question's top k always stay, and what an application returned; then the nearest chunks that hold an answer,
    then the nearest chunks up to half of `max_points`, and a seeded draw of what remains. "Nearest" is to the nearest
    question. Chunks without a vector are never shown. Raises UsageError when the top k alone don't fit.
    """
    questions = scores.questions
    room = max_points - questions
    nearest = scores.standings.distance
    usable = np.isfinite(nearest)
    by_distance = np.argsort(nearest, kind="stable")
    by_distance = by_distance[usable[by_distance]]
    shown = np.zeros(scores.rows, bool)
    for question in range(questions):
        shown[scores.top(question, top_k)] = True
        shown[scores.retrieved(question, top_k)] = True
    if shown.sum() > room:
        raise UsageError(
            f"--max-points {max_points} has no room for {questions} question(s) and their top {top_k}: "
            f"use --max-points {questions + int(shown.sum())} or more"
        )
    _fill(shown, by_distance[scores.holds_answer[by_distance]], room)
    _fill(shown, by_distance, min(room, max_points // 2))
    rest = np.flatnonzero(usable & ~shown)
    _fill(shown, np.random.default_rng(seed).permutation(rest), room)
    return np.flatnonzero(shown).astype(np.int64)


def _fill(shown: np.ndarray[tuple[int], np.dtype[np.bool_]], candidates: Int64, until: int) -> None:
    """Show the first candidates that are not shown yet, until there are `until` in all."""
    missing = until - int(shown.sum())
    if missing > 0:
        shown[candidates[~shown[candidates]][:missing]] = True
