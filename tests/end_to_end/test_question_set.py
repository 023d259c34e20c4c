"""A run of a whole question set, in the page: the missed question's dartboard, and the hardest ones' bookmarks."""

import numpy as np
import pytest

from exporter import export
from exporter.workflows.serve import serve
from tests.conftest import collection, write_chroma


@pytest.fixture(scope="module")
def of_a_set(tmp_path_factory):
    """Sixty questions to three hundred chunks; the right chunk of every third one ranks low."""
    folder = tmp_path_factory.mktemp("set")
    random = np.random.default_rng(11)
    vectors = random.normal(size=(300, 8)).astype(np.float32)
    asked = vectors[:60] + 0.2 * random.normal(size=(60, 8)).astype(np.float32)
    np.save(folder / "asked.npy", asked)
    far = [int(np.argmax(np.linalg.norm(vectors - one, axis=1))) for one in asked]
    questions = [
        {"question": f"question {i}", "relevant": [f"id{far[i] if i % 3 == 2 else i}"]} for i in range(len(asked))
    ]
    directory = write_chroma(folder / "db", collection(vectors=vectors))
    return export(
        directory, question_set=questions, question_vector=folder / "asked.npy", logdir=folder / "logs", index=False
    )


@pytest.mark.browser
def test_a_set_in_the_page(of_a_set, projector):
    """It opens on the first missed question; a bookmark lists a hard one with its hits in order; nothing goes wrong."""
    with serve(of_a_set.path.parent, port=0) as server:
        projector.open(server.url)
        projector.settle()
        scene = projector.scene()
        rows = len(of_a_set.points)
        assert projector.counts() == [rows, rows, 0]
        assert of_a_set.facts["focus"] == 2
        star = rows - 1 - 2
        assert np.hypot(*scene.positions[star, :2]) < 0.05
        projector.show(of_a_set.name, "map")
        labels = projector.bookmarks(24)
        assert len(labels) == 24
        for place in (5, 23):
            question = int(labels[place].split()[0][1:])
            projector.click_bookmark(place)
            listed = projector.scene().listed
            assert listed[0].startswith(f"★ q{question} question {question - 1}")
            table = dict(zip(of_a_set.points["id"], of_a_set.points["label"], strict=True))
            assert listed[1:] == [table[hit.id] for hit in of_a_set.questions[question - 1].hits]
        projector.click_bookmark(labels.index("how often retrieved (0: never)"))
        assert "times_retrieved" in projector.scene().colour
        assert projector.faults == []
