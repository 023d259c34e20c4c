"""Ranking, pure: arrays and texts in, arrays out."""
