"""Runs in the browser: TensorBoard, in a process of its own, with a Projector that sees every change on disk."""
