"""The range of every tensor that will be quantized, measured on images through the whole model.

The model runs in FP32 with its own proposals, so that the heads see the RoIs that they will see in use. Rows without a
RoI (an image has fewer than the model has room for) do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from maskrt.calibration.features import find_network
from maskrt.calibration.images import ImageSample
from maskrt.calibration.layers import Layer
from maskrt.calibration.options import LEAST_COUNT, SENSIBLE_COUNT, Method
from maskrt.calibration.thresholds import ThresholdCollector
from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.tensors import IMAGES, make_feed
from maskrt.errors import ArgumentError, ModelError
from maskrt.runtime.inference.progress import Progress
from maskrt.runtime.transforms.canvas import make_batch
from maskrt.terminal import say


@dataclass(frozen=True)
class Calibration:
    """What a calibration found.

    Attributes:
        thresholds: tensor → the absolute value that the largest quantized number stands for.
        macs: group of layers → multiply-accumulates, of an average image.
        images: how many images were read.
        empty_images: in how many of them the model found nothing.
    """

    thresholds: dict[str, float]
    macs: dict[str, float]
    images: int
    empty_images: int


def calibrate(
    model: onnx.ModelProto,
    metadata: ModelMetadata,
    layers: Collection[Layer],
    tensors: Collection[str],
    sample: ImageSample,
    method: Method,
    percentile: float,
    stream: TextIO,
) -> Calibration:
    """Run the sample through the exported FP32 model.

    Args:
        model, metadata: the exported model.
        layers: those whose multiply-accumulates are counted.
        tensors: those whose ranges are wanted, the layers' inputs among them.
        sample: the images.
        method, percentile: see `thresholds`.
        stream: where progress and left-out images are shown.

    Raises:
        ArgumentError: too few images can be read, or the model finds nothing in any of them.
        ModelError: the model computes values that are not finite numbers.
    """
    rois = find_network(model.graph).rois
    extra = list(dict.fromkeys([*tensors, *(rois[name] for name in tensors if name in rois)]))
    session = _session_with_outputs(model, extra)
    collector = ThresholdCollector(method, percentile)
    macs: dict[str, float] = dict.fromkeys((layer.group for layer in layers), 0.0)
    read = empty = 0
    progress = Progress(len(sample), stream)
    left_out: list[str] = []

    def leave_out(problem: str) -> None:
        left_out.append(problem)
        progress.fail(f"left out: {problem}")

    try:
        for feed in model_inputs(model, metadata, sample, leave_out):
            found, *arrays = session.run(["num_detections", *extra], feed)
            values = dict(zip(extra, arrays, strict=True))
            for layer in layers:
                macs[layer.group] += layer.macs(values[layer.input].shape)
            for name in tensors:
                _add(collector, name, values[name], values[rois[name]] if name in rois else None)
            read += 1
            empty += int(found[0] == 0)
            progress.step(f"{found[0]} instances")
            del arrays, values  # else they would be kept beside those of the next image
    finally:
        progress.close()
    if not read:
        raise ArgumentError(
            f"None of the {len(sample)} images of {sample.source} can be read. The first of them: {left_out[0]}"
        )
    if left_out:
        say(f"{len(left_out)} of the {len(sample)} images were left out, since they cannot be read", file=stream)
    if read < LEAST_COUNT:
        raise ArgumentError(
            f"Only {read} of the {len(sample)} images of {sample.source} can be read: too few to calibrate with. "
            f"{SENSIBLE_COUNT} are sensible, {LEAST_COUNT} the least."
        )
    thresholds = collector.thresholds()
    if set(tensors) - set(thresholds):
        raise ArgumentError(
            f"The model finds nothing in any of the {read} images of {sample.source}, so its heads have nothing to be "
            f"calibrated with. Give images that show what it was trained on: {', '.join(metadata.class_names[1:6])}, …"
        )
    return Calibration(thresholds, {group: total / read for group, total in macs.items()}, read, empty)


def model_inputs(
    model: onnx.ModelProto, metadata: ModelMetadata, sample: ImageSample, left_out: Callable[[str], object]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the model's inputs by name for each image; for one that cannot be read, `left_out` gets a sentence."""
    (images,) = (value for value in model.graph.input if value.name == IMAGES)
    dtype = helper.tensor_dtype_to_np_dtype(images.type.tensor_type.elem_type)
    for image in sample.read(left_out):
        batch = make_batch([image], metadata.pipeline, dtype)
        yield make_feed(batch.canvas, batch.image_sizes, metadata.score_threshold, metadata.nms_threshold)


def _add(collector: ThresholdCollector, name: str, values: np.ndarray, rois: np.ndarray | None) -> None:
    if rois is not None:
        values = values[(rois != 0).any(axis=-1).reshape(-1)]
        if len(values) == 0:
            return
    if not np.isfinite(values.max() - values.min()):
        raise ModelError(f"The model computes values that are not finite numbers (in {name}): its weights are damaged.")
    collector.add(name, values)


def _session_with_outputs(model: onnx.ModelProto, tensors: Collection[str]) -> Any:
    """Return a session that also gives tensors of the graph."""
    augmented = onnx.ModelProto()
    augmented.CopyFrom(model)
    known = {value.name: value for value in augmented.graph.value_info}
    outputs = {value.name for value in augmented.graph.output}
    augmented.graph.output.extend(known[name] for name in tensors if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.spin_duration_us", "50")  # see runtime/backends/onnxruntime.py
    options.enable_cpu_mem_arena = False  # the arena keeps what the tensors of earlier images needed
    return onnxruntime.InferenceSession(augmented.SerializeToString(), options, providers=["CPUExecutionProvider"])
