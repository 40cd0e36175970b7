"""Raw tensors of a file beside those of the source model, on the same canvas, by Polygraphy's comparator.

Signal to noise (of all elements of a tensor together) is what decides: it does not depend on a tensor's scale, so that
one limit means the same everywhere. Largest and mean differences are kept for the reader.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from polygraphy.comparator import IterationResult, SimpleCompareFunc, SnrCompareFunc
from polygraphy.logger import G_LOGGER

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.precision import PRECISIONS
from maskrt.contract.tensors import make_feed
from maskrt.errors import ArgumentError
from maskrt.evaluation.compare.points import PROPOSALS, Point, expose, find_points, forced_rois
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.evaluation.results.compare import TensorDifference
from maskrt.export.reference import Trace
from maskrt.runtime.transforms.canvas import Batch

MAX_SNR = 200.0
"""Signal to noise, dB, that stands for tensors equal to the last bit; -200 for tensors that cannot be compared."""

_SAME_PROPOSAL_IOU = 0.7
_STATISTICS = ("max_abs", "mean_abs", "max_rel", "mean_rel")


def worst_of(before: TensorDifference, other: TensorDifference) -> TensorDifference:
    """Join the differences of one tensor on the images so far with those on another one."""
    if before.found is not None and other.found is not None:
        worse = other if other.found < before.found else before
    else:
        worse = other if other.snr_db < before.snr_db else before
    statistics: dict[str, float | None] = {}
    for name in _STATISTICS:
        values = getattr(before, name), getattr(other, name)
        statistics[name] = None if None in values else max(values)
    snr_db = min(before.snr_db, other.snr_db)
    return replace(before, snr_db=snr_db, found=worse.found, image=worse.image, **statistics)  # type: ignore[arg-type]


class ExposedFile:
    """A model file in ONNX Runtime on the CPU, with its tensors at some points as outputs.

    Args:
        path: the ONNX file, at any precision.
        metadata: what it says about itself.
        names: of the points; None: the chosen ones.
        threads: CPU threads; None: one per core.

    Attributes:
        points: those that are compared.
        modules: paths of the source model's modules whose outputs are.

    Raises:
        ModelError: the file is not one that maskrt exported.
    """

    def __init__(
        self, path: Path, metadata: ModelMetadata, *, names: Collection[str] | None = None, threads: int | None = None
    ) -> None:
        proto = onnx.load(path)
        points = find_points(proto.graph)
        self.points = [p for p in points.network if (p.chosen if names is None else p.name in names)]
        self.modules = frozenset(point.module for point in self.points if point.module is not None)
        self._proposals, self._capacities = points.proposals, points.capacities
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False  # the arena keeps what the tensors of earlier images needed
        if threads is not None:
            options.intra_op_num_threads = threads
        if PRECISIONS[metadata.precision].calibrated:
            # As the runtime does (`runtime.onnx_backend`), which says why: otherwise other tensors would be compared.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        exposed = expose(proto, [*(point.tensor for point in self.points), self._proposals])
        self._session = onnxruntime.InferenceSession(
            exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._thresholds = metadata.score_threshold, metadata.nms_threshold

    def compare(self, trace: Trace, batch: Batch, image: str, *, noise_alone: bool = False) -> list[TensorDifference]:
        """Find the differences on a canvas with one image, in the order of the graph.

        Args:
            trace: the source model's tensors on the same canvas, those of `modules` among them.
            batch: the canvas.
            image: its name, for the result.
            noise_alone: leave out the statistics that only a reader wants, which take most of the time.

        Raises:
            ArgumentError: the source model does not run a module whose output is to be compared.
        """
        # A source model that keeps more RoIs than the file has room for is compared on the best of them.
        rois = [
            trace.poolings[number].rois[:capacity] if number < len(trace.poolings) else np.zeros((0, 4), np.float32)
            for number, capacity in enumerate(self._capacities)
        ]
        forced = {forced_rois(number): _pad(rois[number], capacity) for number, capacity in enumerate(self._capacities)}
        feed = make_feed(batch.canvas, batch.image_sizes, *self._thresholds)
        names = [*(point.tensor for point in self.points), self._proposals]
        ours = dict(zip(names, self._session.run(names, {**feed, **forced}), strict=True))
        left, right, found = self._pair(trace, ours, rois)
        # As Polygraphy's Comparator.compare_accuracy would call them, which also makes histograms that nobody sees:
        # that takes longer than all the rest.
        sides = IterationResult(left, runner_name="PyTorch"), IterationResult(right, runner_name="file")
        # Values that are not finite are told by the result.
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL), np.errstate(all="ignore"):
            difference = {} if noise_alone else SimpleCompareFunc(check_error_stat="mean")(*sides)
            noise = SnrCompareFunc()(*sides)
        tensors = {point.name: point.tensor for point in self.points} | {PROPOSALS: self._proposals}
        return [
            TensorDifference(
                name,
                tensors[name],
                **{
                    statistic: _finite(getattr(difference.get(name), f"{statistic}diff", None))
                    for statistic in _STATISTICS
                },
                snr_db=_decibels(getattr(noise[name], "snr", np.nan)),
                found=found if name == PROPOSALS else None,
                image=image,
            )
            for name in left
        ]

    def _pair(
        self, trace: Trace, ours: Mapping[str, np.ndarray], rois: Sequence[np.ndarray]
    ) -> tuple[OrderedDict[str, np.ndarray], OrderedDict[str, np.ndarray], float]:
        """Pair tensors of both sides by the name of the point, row by row; and tell the share of proposals found again.

        Points without rows, because the source model found nothing, are left out.
        """
        left: OrderedDict[str, np.ndarray] = OrderedDict()
        right: OrderedDict[str, np.ndarray] = OrderedDict()
        pairs, found = _pair_proposals(trace.poolings[0].rois, ours[self._proposals][0])
        for point in self.points:
            if point.pooling is not None and PROPOSALS not in left and len(rois[0]):
                left[PROPOSALS], right[PROPOSALS] = pairs
            count = None if point.pooling is None else len(rois[point.pooling])
            if count == 0:
                continue
            our_value = ours[point.tensor].astype(np.float32, copy=False)[:count]
            if our_value.size:
                left[point.name], right[point.name] = _value_of(trace, point)[:count], our_value
        return left, right, found


def _value_of(trace: Trace, point: Point) -> np.ndarray:
    """Return the source model's tensor at a point."""
    if point.module is None:
        assert point.pooling is not None
        return trace.poolings[point.pooling].features
    outputs = trace.outputs.get(point.module, ())
    if point.call >= len(outputs):
        raise ArgumentError(
            f"The file was not exported from this PyTorch model: it has {point.name}, which the model does not run. "
            "Name the model that it was exported from, as for `maskrt export`."
        )
    return outputs[point.call]


def _pad(rois: np.ndarray, count: int) -> np.ndarray:
    """Pad RoIs [r, 4] with zeros to [1, count, 4], as the file has them."""
    return np.pad(rois, ((0, count - len(rois)), (0, 0)))[None]


def _pair_proposals(theirs: np.ndarray, ours: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Pair proposals that both sides have; and their share of the reference's. Our rows of zeros are none."""
    ours = ours[(ours != 0).any(axis=1)]
    left, right = (Detections(boxes, -np.arange(len(boxes)), np.zeros(len(boxes), int)) for boxes in (theirs, ours))
    i, j = match_detections(left, right, min_iou=_SAME_PROPOSAL_IOU).pairs.T
    if not len(i):
        return (theirs, np.zeros_like(theirs)), 0.0  # so that the statistics are of something
    return (theirs[i], ours[j]), len(i) / max(len(theirs), 1)


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _decibels(value: float) -> float:
    return -MAX_SNR if np.isnan(value) else float(np.clip(value, -MAX_SNR, MAX_SNR))
