"""Does retrieval find the answer, and if not, why? Pure: lines, rankings and figures in, records out."""
