"""The run on disk: what TensorBoard's Projector reads, and what a colleague needs to understand it."""
