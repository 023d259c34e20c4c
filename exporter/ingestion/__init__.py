"""From documents to a collection."""
