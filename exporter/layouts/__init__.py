"""Coordinates for a picture, pure: vectors in, (n, 3) out."""
