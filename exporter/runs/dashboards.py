"""What TensorBoard's other tabs show of a run: Text, Scalars, Histograms, PR Curves and HParams, without TensorFlow.

Everything goes into the run's own events file, under the plugins' own names and formats (tensorboard/plugins/*/
metadata.py and summary_v2.py, 2.21.0), so no run gets sub-runs, which the Projector would list too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.records import Bool, Float64
from exporter.runs import notf

THRESHOLDS = 201
"""Of a PR curve, evenly from the farthest distance to the nearest."""
NOT_OVER_TIME = "The steps are no time: set Smoothing to 0, or the line drawn is not that of the figures."
"""TensorBoard smooths by 0.6 unless told otherwise, which made 0.56 of 0.58 in a line over k."""


@dataclass(frozen=True)
class Curve:
    """Would a limit on the distance part right chunks from others? (n,) distances, and which of the chunks are right.

    `missing`: right chunks that are not among them, so that no limit brings them back.
    """

    distances: Float64
    right: Bool
    missing: int = 0

    def counts(self) -> Float64:
        """(6, THRESHOLDS): true and false positives, true and false negatives, precision and recall.

        A threshold t keeps what is as near as `limit` says of t; where nothing is right recall is 0.
        """
        limits = self.limits()
        true, false = (
            np.searchsorted(np.sort(self.distances[self.right == flag]), limits, side="right") for flag in (True, False)
        )
        right, wrong = int(self.right.sum()) + self.missing, int((~self.right).sum())
        precision, recall = true / np.maximum(true + false, 1), true / max(right, 1)
        return np.stack([true, false, wrong - false, right - true, precision, recall]).astype(np.float64)

    def limits(self) -> Float64:
        """(THRESHOLDS,) the distance that each threshold, from 0 to 1, stands for: from the farthest to the nearest."""
        return np.linspace(self.distances.max(), self.distances.min(), THRESHOLDS)


@dataclass(frozen=True)
class Dashboards:
    """By tag: Markdown, figures (by step), distances, curves; and by name what the run was made with.

    `name` is the run's, by which HParams lists it; `kept` are ready events, of a run that is written again.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    scalars: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    histograms: Mapping[str, Float64] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    settings: Mapping[str, str | float] = field(default_factory=dict)
    name: str = ""
    kept: Sequence[Any] = ()


def events(boards: Dashboards, trial: str, now: float) -> Iterator[Any]:
    """TensorBoard's `Event`s. `trial` tells the run from others in HParams: what has one name there, is one row."""
    notf.without_tensorflow()
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb

    for tag, text in boards.texts.items():
        yield Event(wall_time=now, summary=text_pb(tag, text))
    for tag, points in boards.scalars.items():
        for step, value in points:
            yield Event(
                wall_time=now, step=step, summary=scalar_pb(tag, value, NOT_OVER_TIME if len(points) > 1 else None)
            )
    for tag, distances in boards.histograms.items():
        yield Event(wall_time=now, summary=histogram_pb(tag, distances))
    for tag, curve in boards.curves.items():
        yield Event(wall_time=now, summary=_curve_summary(tag, curve))
    yield from boards.kept
    if boards.settings:
        yield Event(wall_time=now, summary=hparams_pb(dict(boards.settings), trial_id=trial, start_time_secs=now))
        yield Event(wall_time=now, summary=_finished(now))


def _curve_summary(tag: str, curve: Curve) -> Any:
    """What tensorboard.plugins.pr_curve.summary.raw_data_pb makes, which imports TensorFlow to do it."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.pr_curve.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    limits = curve.limits()
    about = (
        f"Chunks as near as a limit, against those that hold the answer. Threshold t is the distance "
        f"{limits[0]:.4f} - t * {limits[0] - limits[-1]:.4f}."
    )
    summary = Summary()
    summary.value.add(
        tag=tag,
        metadata=create_summary_metadata(display_name=tag, description=about, num_thresholds=THRESHOLDS),
        tensor=make_tensor_proto(curve.counts().astype(np.float32)),
    )
    return summary


def _finished(now: float) -> Any:
    """The run is done: HParams would say UNKNOWN else (plugins/hparams/summary.py:152, which imports TensorFlow)."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    done = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=now)
    summary = Summary()
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=done)),
        tensor=metadata.NULL_TENSOR,
    )
    return summary
