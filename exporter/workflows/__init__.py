"""The use cases, one module each, top to bottom in reading order: the only place that calls several rooms."""
