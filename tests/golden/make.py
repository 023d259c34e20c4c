"""The golden run: `python -m tests.golden.make` writes it again. Whoever does says in CHANGELOG.md what changed."""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from exporter import export

HERE = Path(__file__).parent
GOLDEN = HERE / "run"
SOURCE = HERE.parent / "sources" / "older" / "chroma-1.0.21.zip"
QUESTIONS = [[3.0, 0.5, -1.0, 0.0, 2.0], [-2.0, 1.0, 1.0, 0.5, 0.0]]


def make(folder):
    """The run, exported into a folder: two questions, an answer that one of them misses, a map of principal axes."""
    with zipfile.ZipFile(SOURCE) as archive:
        archive.extractall(folder / "chroma")
    (folder / "questions.json").write_text(json.dumps(QUESTIONS))
    return export(
        folder / "chroma",
        collection="by-cosine",
        question=["Which id is it?", "And what else?"],
        question_vector=folder / "questions.json",
        answer="text of id05",
        top_k=5,
        projection="pca",
        logdir=folder / "logs",
        run="golden",
    ).path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        shutil.rmtree(GOLDEN, ignore_errors=True)
        left_out = shutil.ignore_patterns("picture.png")  # other fonts, other pixels; and it is half of the run
        shutil.copytree(make(Path(place)), GOLDEN, ignore=left_out)
