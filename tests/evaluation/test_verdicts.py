"""Verdicts from evidence."""

import pytest

from exporter.evaluation.verdicts import Evidence, decide

BASE = {"asked": True, "top_k": 5, "rows": 100}


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        ({"asked": False, "first_rank": 1}, "answer_unknown"),
        ({"first_rank": 5}, "found"),
        ({"first_rank": 5, "right": 2, "lost": True}, "lost_by_index"),
        ({"right": 1}, "lost_by_index"),
        ({"first_rank": 1, "cosine": 0.1}, "found"),
        ({"first_rank": 6, "first_distance": 1.5, "last_distance": 1.0}, "ranked_too_low"),
        ({"first_rank": 6, "cosine": 0.1}, "model_disagrees"),
        ({"first_rank": 6, "cosine": 1.0, "median_cosine": 0.1}, "ranked_too_low"),
        ({"first_rank": 6, "median_cosine": 0.1}, "model_disagrees"),
        ({"first_rank": 6, "median_cosine": 0.1, "zero": True}, "ranked_too_low"),
        ({"first_rank": 6, "last_distance": 1.0, "hidden_nearer": 1, "hidden_distance": 0.9}, "hidden_by_filter"),
        ({"first_rank": 6, "last_distance": 1.0, "hidden_nearer": 1, "hidden_distance": 1.1}, "ranked_too_low"),
        ({"hidden": 1, "halves": ("a", "b")}, "hidden_by_filter"),
        ({"halves": ("a", "b")}, "cut_in_two"),
        ({"halves": ("a", "b"), "words": 1}, "in_no_chunk"),
        ({}, "in_no_chunk"),
    ],
)
def test_which_verdict(evidence, kind):
    """The verdict that names the repair which would help."""
    verdict = decide(Evidence(**{**BASE, **evidence}))
    assert verdict.kind == kind
    assert verdict.evidence
    assert verdict.repair
