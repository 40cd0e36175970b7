"""Times of DetectionOutput beside what torchvision does behind the box head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from maskrt.plugins import device_detections
from maskrt.plugins.detection_attributes import DetectionAttributes
from maskrt.plugins.proposal_attributes import LOWEST
from maskrt.tools.kernel_benchmark.boxes import clustered_boxes, clustered_logits
from maskrt.tools.kernel_benchmark.timing import compare

CANVAS = (800, 1344)
PROPOSALS, LABELS, OBJECTS = 1000, 91, 40


def detections(generator: torch.Generator, dtype: torch.dtype = torch.float, batch: int = 1) -> dict[str, Any]:
    """Time 1000 proposals x 91 labels an image: softmax, score above 0.05, decoding, NMS by class, the best 100."""
    heads = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).cuda().eval().roi_heads
    drawn = [clustered_boxes(generator, PROPOSALS, OBJECTS, CANVAS) for _ in range(batch)]
    boxes = torch.stack([boxes for boxes, _, _ in drawn])
    foreground = [
        clustered_logits(generator, quality, object_of, OBJECTS, LABELS - 1) for _, quality, object_of in drawn
    ]
    logits = torch.nn.functional.pad(torch.cat(foreground), (1, 0), value=1.0).to(dtype)
    deltas = (0.3 * torch.randn(len(logits), 4 * LABELS, device="cuda", generator=generator)).to(dtype)
    attributes = DetectionAttributes(
        activation="softmax",
        background="first",
        class_agnostic=0,
        weights=tuple(heads.box_coder.weights),
        weights_operation="divide",
        min_log_scale=LOWEST,
        max_log_scale=heads.box_coder.bbox_xform_clip,
        min_side=1e-2,
        min_side_inclusive=1,
        max_detections=100,
    )
    workspace_bytes = device_detections.detection_output_workspace_bytes(batch, PROPOSALS, LABELS, attributes)
    num = torch.empty(batch, dtype=torch.int32, device="cuda")
    found = torch.empty(batch, 100, 4, device="cuda")
    arguments = (
        torch.full((batch,), PROPOSALS, dtype=torch.int32, device="cuda"),
        torch.tensor([CANVAS] * batch, dtype=torch.int32, device="cuda"),
        torch.full((batch, 1), 0.05, device="cuda"),
        torch.full((batch, 1), 0.5, device="cuda"),
        num,
        found,
        torch.empty(batch, 100, device="cuda"),
        torch.empty(batch, 100, dtype=torch.int32, device="cuda"),
        torch.empty(workspace_bytes, dtype=torch.uint8, device="cuda"),
        attributes,
    )

    def ours() -> None:
        stream = torch.cuda.current_stream().cuda_stream
        device_detections.detection_output(logits, deltas, boxes, *arguments, stream)

    def theirs() -> list[Tensor]:
        chosen, _, _ = heads.postprocess_detections(logits.float(), deltas.float(), list(boxes), [CANVAS] * batch)
        return list(chosen)

    ours()
    expected = theirs()
    return {
        **compare(ours, theirs, 1),
        "detections": num.tolist(),
        "torchvisions": [len(boxes) for boxes in expected],
        "largest_difference": max(
            float((mine[: len(boxes)] - boxes).abs().max()) for mine, boxes in zip(found, expected, strict=True)
        ),
        "workspace_bytes": workspace_bytes,
    }


BENCHMARKS: Mapping[str, Callable[[torch.Generator], dict[str, Any]]] = {
    "detection_output_fp16": partial(detections, dtype=torch.half),
    "detection_output_fp32": detections,
    "detection_output_fp16_batch_8": partial(detections, dtype=torch.half, batch=8),
}
