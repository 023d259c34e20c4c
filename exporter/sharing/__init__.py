"""A run in other forms."""
