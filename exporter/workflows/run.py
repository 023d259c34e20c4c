"""A run in the hands of a Python user: what the manifest says, and the rows behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter.records import Float32
from exporter.runs import folder, manifest, verify
from exporter.runs.metadata import read_as_the_page_does

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from exporter.serving.tensorboard import Server


@dataclass(frozen=True)
class Hit:
    """One retrieved chunk. `distance` by the run's metric, `rank` among all chunks of the collection, 1 = nearest."""

    rank: int
    id: str
    distance: float
    source: str | None
    page: Any
    contains_answer: bool
    text: str


@dataclass(frozen=True)
class Answered:
    """A question of a run, and its true top k; `first_answer_rank` is None when no chunk holds the answer. `returned`
    is what an application returned, in its order, where that was given, and `lost` says which of the top k it had not.
    """

    text: str
    first_answer_rank: int | None
    hits: Sequence[Hit]
    verdict: str
    returned: Sequence[Hit] | None = None
    lost: str | None = None


@dataclass(frozen=True)
class RunPoints:
    """The rows of a run: `vectors` (m, d) float32, and every column of metadata.tsv as an (m,) array, by name."""

    vectors: Float32
    columns: Mapping[str, np.ndarray[Any, Any]]

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, column: str) -> np.ndarray[Any, Any]:
        return self.columns[column]


@dataclass(frozen=True)
class Run:
    """A run on disk. `facts` is its manifest."""

    path: Path
    facts: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The run's name, as TensorBoard lists it."""
        return self.path.name or self.path.absolute().name

    @property
    def collection(self) -> str:
        """The collection it was made from."""
        return str(self.facts["source"]["collection"])

    @property
    def metric(self) -> str:
        """By which its distances were computed: l2, cosine or ip."""
        return str(self.facts["metric"])

    @property
    def questions(self) -> list[Answered]:
        """What was asked, and what came back."""
        return [
            Answered(
                found["text"],
                found["first_answer_rank"],
                [Hit(**hit) for hit in found["hits"]],
                found["verdict"],
                [Hit(**hit) for hit in found["returned"]] if "returned" in found else None,
                found.get("lost"),
            )
            for found in self.facts["questions"]
        ]

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """What `evaluate` says of the question set that was exported, as it prints it; None without a set."""
        if "evaluation" not in self.facts:
            return None
        kept = ("id", "evidence", "repair", "first_rank", "right_chunks", "metrics")
        per_question = [
            {**{key: one[key] for key in kept}, "question": one["text"], "verdict": one["kind"]}
            for one in self.facts["questions"]
        ]
        return {**self.facts["evaluation"], "per_question": per_question}

    @property
    def warnings(self) -> list[str]:
        """What the summary warned of."""
        return list(self.facts["warnings"])

    @cached_property
    def points(self) -> RunPoints:
        """The rows, read from the run's files."""
        entry = next(entry for entry in self.facts["tensors"] if entry["kind"] == "vectors")
        with manifest.located(self.path, self.facts, folder.METADATA).open(encoding="utf-8") as file:
            names, lines = read_as_the_page_does(file)
            rows = list(lines)
        columns = {name: _array(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}
        return RunPoints(verify.read_shown(self.path, entry), columns)

    def serve(self, *, port: int = 0) -> Server:
        """Serve its log directory by TensorBoard; returns when it is up. `.url` says where, `.stop()` ends it."""
        from exporter.workflows.serve import serve

        return serve(self.path.parent, port=port)

    def plot(self) -> Figure:
        """The run as a matplotlib figure: the dartboard left, the map right."""
        from exporter.sharing.picture import draw_stored

        return draw_stored(self.path, self.facts)

    def _repr_html_(self) -> str:
        """In a notebook: the question, its top k, the picture."""
        from exporter.sharing.notebook import as_html

        picture = self.path / "picture.png"
        return as_html(self.facts, picture.read_bytes() if picture.is_file() else None)

    def to_json(self) -> dict[str, Any]:
        """What `export --json` prints; these keys stay. Of two runs on one map, what `compare --json` does."""
        facts = self.facts
        if "comparison" in facts:
            return {"run": str(self.path), **facts["comparison"]}
        keys = ("metric", "points", "left_out", "warnings")
        asked = ("text", "first_answer_rank", "hits")
        figures = ("name", "trustworthiness", "kept_top_k")
        return {
            "run": str(self.path),
            "name": self.name,
            "collection": self.collection,
            "rows": facts["source"]["rows"],
            **{key: facts[key] for key in keys},
            "questions": [
                {key: found[key] for key in (*asked, "returned", "lost") if key in found}
                for found in facts["questions"]
            ],
            "model": {key: facts["model"][key] for key in ("name", "median_cosine")},
            "layouts": [{key: found[key] for key in figures} for found in facts["layouts"]],
            **({"evaluation": facts["evaluation"]} if "evaluation" in facts else {}),
        }

    def __str__(self) -> str:
        return json.dumps(self.to_json(), ensure_ascii=False, indent=2)


def open_run(path: str | Path) -> Run:
    """A run that was exported before. Raises OutputError when the folder is no run."""
    path = Path(path)
    return Run(path, manifest.read(path))


def _array(cells: Sequence[str]) -> np.ndarray[Any, Any]:
    """Numbers where all cells are, booleans where all are true or false, else text."""
    if set(cells) <= {"true", "false"}:
        return np.array([cell == "true" for cell in cells])
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError:
        return np.array(cells)
