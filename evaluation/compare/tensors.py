"""Raw tensors of a file beside those of the source model, on the same canvas, by Polygraphy's comparator.

Signal to noise (of all elements of a tensor together) is what decides: it does not depend on a tensor's scale, so that
one limit means the same everywhere. Largest and mean differences are kept for the reader.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from polygraphy.backend.onnxrt import OnnxrtRunner
from polygraphy.comparator import Comparator, IterationResult, RunResults, SimpleCompareFunc, SnrCompareFunc
from polygraphy.logger import G_LOGGER

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.precision import PRECISIONS
from maskrt.contract.tensors import IMAGE_SIZES, IMAGES, make_feed
from maskrt.evaluation.compare.points import FORCED, PROPOSALS, Rows, expose, find_points
from maskrt.evaluation.compare.reference import TorchRunner
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.evaluation.results.compare import TensorDifference
from maskrt.export.reference import Reference
from maskrt.runtime.transforms.canvas import Batch

MAX_SNR = 200.0
"""Signal to noise, dB, that stands for tensors equal to the last bit; -200 for tensors that cannot be compared."""

_SAME_PROPOSAL_IOU = 0.7
_STATISTICS = ("max_abs", "mean_abs", "max_rel", "mean_rel")


def worst_of(before: TensorDifference, other: TensorDifference) -> TensorDifference:
    """The same tensor on the images so far and on another one."""
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

    Raises:
        ModelError: the file is not one that maskrt exported.
    """

    def __init__(
        self, path: Path, metadata: ModelMetadata, *, names: Collection[str] | None = None, threads: int | None = None
    ) -> None:
        proto = onnx.load(path)
        points = find_points(proto.graph)
        self.points = [p for p in points.network if (p.chosen if names is None else p.name in names)]
        self._proposals, self._capacity = points.proposals, points.capacity
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
        session = onnxruntime.InferenceSession(exposed.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self._runner = OnnxrtRunner(session, name=path.name)
        self._thresholds = metadata.score_threshold, metadata.nms_threshold

    def reference(self, reference: Reference, batch: Batch) -> RunResults:
        """The source model's tensors at the same points, on a canvas with one image."""
        runner = TorchRunner(reference, self.points, batch.canvas.dtype)
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
            return Comparator.run([runner], data_loader=[_feed(batch)])

    def compare(
        self, reference: RunResults, batch: Batch, image: str, *, noise_alone: bool = False
    ) -> list[TensorDifference]:
        """The differences on a canvas with one image, in the order of the graph.

        Args:
            reference: what `reference` gave for the same canvas.
            image: its name, for the result.
            noise_alone: leave out the statistics that only a reader wants, which take most of the time.
        """
        ((reference_name, (theirs,)),) = reference
        # A source model that keeps more RoIs than the file has room for is compared on the best of them.
        rois = {kind: np.asarray(theirs[kind])[: self._capacity[kind]] for kind in FORCED}
        forced = {name: _pad(rois[kind], self._capacity[kind]) for kind, name in FORCED.items()}
        feed = make_feed(batch.canvas, batch.image_sizes, *self._thresholds)
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
            candidate = Comparator.run([self._runner], data_loader=[{**feed, **forced}])
            ((_, (ours,)),) = candidate
            left, right, found = self._pair(theirs, ours, rois)
            # As Comparator.compare_accuracy would call them, which also makes histograms that nobody sees: that takes
            # longer than all the rest.
            sides = IterationResult(left, runner_name=reference_name), IterationResult(right, runner_name="file")
            with np.errstate(all="ignore"):  # values that are not finite are told by the result
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
        self, theirs: Mapping[str, np.ndarray], ours: Mapping[str, np.ndarray], rois: Mapping[Rows, np.ndarray]
    ) -> tuple[OrderedDict[str, np.ndarray], OrderedDict[str, np.ndarray], float]:
        """Tensors of both sides with the same rows, by the name of the point; and the share of proposals found again.

        Points without rows, because the source model found nothing, are left out.
        """
        left: OrderedDict[str, np.ndarray] = OrderedDict()
        right: OrderedDict[str, np.ndarray] = OrderedDict()
        pairs, found = _pair_proposals(np.asarray(theirs[PROPOSALS]), np.asarray(ours[self._proposals])[0])
        for point in self.points:
            if point.rows is not None and PROPOSALS not in left and len(rois["proposals"]):
                left[PROPOSALS], right[PROPOSALS] = pairs
            their_value = np.asarray(theirs[point.name])
            our_value = np.asarray(ours[point.tensor]).astype(np.float32, copy=False)
            if point.rows is not None:
                count = len(rois[point.rows])
                their_value, our_value = their_value[:count], our_value[:count]
            if our_value.size:
                left[point.name], right[point.name] = their_value, our_value
        return left, right, found


def _feed(batch: Batch) -> dict[str, np.ndarray]:
    """What the source model's runner takes."""
    return {IMAGES: batch.canvas, IMAGE_SIZES: batch.image_sizes}


def _pad(rois: np.ndarray, count: int) -> np.ndarray:
    """`[r,4]` → `[1,count,4]`, zeros behind, as the file has them."""
    return np.pad(rois, ((0, count - len(rois)), (0, 0)))[None]


def _pair_proposals(theirs: np.ndarray, ours: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Proposals that both sides have, row by row, and their share of the reference's; our rows of zeros are none."""
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
