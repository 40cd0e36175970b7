"""The project's kernels in the place of the operators that the export's module has, on CUDA tensors.

With them the module is what an engine computes but for TensorRT: on a GPU it shows accuracy and speed of the whole.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from maskrt.plugins import device, device_detections, device_proposals
from maskrt.plugins.attributes import RoiAlignAttributes
from maskrt.plugins.detection_attributes import DetectionAttributes
from maskrt.plugins.proposal_attributes import ProposalAttributes

_GRAPH = "maskrt.export.rcnn."
"""The modules that call the operators by name."""


def multilevel_roi_align(
    rois: Tensor,
    features: Sequence[Tensor],
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    aligned: bool,
    scales: Sequence[float],
    level_thresholds: Sequence[float],
    mode: str = "avg",
    *,
    sampled: bool = False,
) -> Tensor:
    """Queue the kernel; see `maskrt.export.ops.roi_align.multilevel_roi_align`."""
    transformation = "half_pixel" if aligned else "output_half_pixel"
    attributes = RoiAlignAttributes(
        output_height, output_width, sampling_ratio, tuple(scales), tuple(level_thresholds), transformation, mode
    )
    first = features[0]
    is_channels_last = first.is_contiguous(memory_format=torch.channels_last) and not first.is_contiguous()
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    maps = [feature.contiguous(memory_format=layout) for feature in features]
    shape = (rois.shape[0] * rois.shape[1], first.shape[1], output_height, output_width)
    output = torch.empty(shape, dtype=first.dtype, device=first.device, memory_format=layout)
    order = torch.empty(rois.shape[:2], dtype=torch.int32, device=rois.device)
    device.multilevel_roi_align(rois.float().contiguous(), maps, output, attributes, _stream(), order=order)
    return output


def detection_output(
    logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    num_proposals: Tensor,
    image_sizes: Tensor,
    score_threshold: Tensor,
    nms_threshold: Tensor,
    attributes: DetectionAttributes,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queue the kernels; see `maskrt.export.ops.detections.detection_output`."""
    batch, count, most = *proposals.shape[:2], attributes.max_detections
    num = torch.empty(batch, dtype=torch.int32, device=logits.device)
    boxes = torch.empty((batch, most, 4), device=logits.device)
    scores = torch.empty((batch, most), device=logits.device)
    labels = torch.empty((batch, most), dtype=torch.int32, device=logits.device)
    workspace_bytes = device_detections.detection_output_workspace_bytes(batch, count, logits.shape[1], attributes)
    device_detections.detection_output(
        logits.contiguous(),
        deltas.contiguous(),
        proposals.float().contiguous(),
        num_proposals.contiguous(),
        image_sizes.contiguous(),
        score_threshold.float().contiguous(),
        nms_threshold.float().contiguous(),
        *(num, boxes, scores, labels),
        torch.empty(workspace_bytes, dtype=torch.uint8, device=logits.device),
        attributes,
        _stream(),
    )
    return num, boxes, scores, labels


def decode_keypoints(boxes: Tensor, heatmaps: Tensor, normalized: bool) -> Tensor:
    """Queue the kernel; see `maskrt.export.ops.keypoints.decode_keypoints`."""
    batch, count = boxes.shape[:2]
    keypoints = torch.empty((batch, count, heatmaps.shape[1], 3), dtype=torch.float32, device=boxes.device)
    inputs = boxes.float().contiguous(), heatmaps.float().contiguous()
    device.decode_keypoints(*inputs, keypoints, _stream(), normalized=normalized)
    return keypoints


def generate_proposals(
    image_sizes: Tensor,
    canvas_size: Tensor,
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    attributes: ProposalAttributes,
) -> tuple[Tensor, Tensor]:
    """Queue the kernels; see `maskrt.export.ops.proposals.generate_proposals`."""
    batch, device_of_maps = image_sizes.shape[0], logits[0].device
    logits, deltas = ([array.contiguous() for array in arrays] for arrays in (logits, deltas))
    num = torch.empty(batch, dtype=torch.int32, device=device_of_maps)
    proposals = torch.empty((batch, attributes.post_nms_top_k, 4), device=device_of_maps)
    sizes = [(array.shape[2], array.shape[3]) for array in logits]
    workspace_bytes = device_proposals.generate_proposals_workspace_bytes(batch, sizes, attributes)
    workspace = torch.empty(workspace_bytes, dtype=torch.uint8, device=device_of_maps)
    device_proposals.generate_proposals(
        image_sizes.contiguous(), canvas_size, logits, deltas, num, proposals, workspace, attributes, _stream()
    )
    return num, proposals


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "multilevel_roi_align": multilevel_roi_align,
    "detection_output": detection_output,
    "decode_keypoints": decode_keypoints,
    "generate_proposals": generate_proposals,
}
"""By the names that `maskrt.export.rcnn` calls them by."""


@contextlib.contextmanager
def kernels_as_operators() -> Iterator[list[str]]:
    """Let the export's module call the kernels; gives the places where they were put."""
    replaced: list[tuple[Any, str, Any]] = []
    try:
        for module in [module for name, module in sys.modules.items() if name.startswith(_GRAPH)]:
            for name, kernel in OPERATORS.items():
                if hasattr(module, name) and module.__name__ != f"{_GRAPH}reference":
                    replaced.append((module, name, getattr(module, name)))
                    setattr(module, name, kernel)
        yield [f"{module.__name__}.{name}" for module, name, _ in replaced]
    finally:
        for module, name, original in replaced:
            setattr(module, name, original)


def _stream() -> int:
    return int(torch.cuda.current_stream().cuda_stream)
