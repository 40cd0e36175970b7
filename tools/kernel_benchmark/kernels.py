"""Times of RoIAlign and NMS, and of all else that the package times: `run` is what `gpu_check` calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchvision.ops import MultiScaleRoIAlign, batched_nms

from maskrt.plugins import device
from maskrt.plugins.attributes import RoiAlignAttributes
from maskrt.tools.kernel_benchmark import images
from maskrt.tools.kernel_benchmark.boxes import random_boxes
from maskrt.tools.kernel_benchmark.timing import compare, time_eager

CANVAS = (800, 1344)
SCALES = (0.25, 0.125, 0.0625, 0.03125)
THRESHOLDS = (112.0, 224.0, 448.0)
CHANNELS = 256
ROIS = 1000
FEATURE_SETS = 4  # used in turn, so that no call finds its features in the cache of the one before


def run() -> dict[str, Any]:
    """Run all benchmarks.

    Returns:
        Medians in microseconds, and ratios. "eager" calls from Python, "graph" replays a CUDA graph.
    """
    generator = torch.Generator("cuda").manual_seed(0)
    return {
        "copy_gb_per_s": copy_bandwidth() / 1e9,
        "multilevel_roi_align_fp16": roi_align(generator),
        "batched_nms_5x1000": nms_of_proposals(generator),
        "batched_nms_1000x90": nms_of_detections(generator),
        **images.run(generator),
    }


def copy_bandwidth() -> float:
    """Return the bytes read and written per second by a copy of 1 GiB within the GPU's memory."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / (time_eager(lambda: target.copy_(source)) * 1e-6)


def roi_align(generator: torch.Generator) -> dict[str, Any]:
    """Time 1000 RoIs x 256 channels x 7x7 from P2–P5 of an 800x1344 image in float16 channels-last, cold cache."""
    sets = [
        [
            torch.randn(1, CHANNELS, int(CANVAS[0] * s), int(CANVAS[1] * s), device="cuda", generator=generator)
            .half()
            .contiguous(memory_format=torch.channels_last)
            for s in SCALES
        ]
        for _ in range(FEATURE_SETS)
    ]
    rois = random_boxes(generator, ROIS, CANVAS)
    output = torch.empty(ROIS, CHANNELS, 7, 7, dtype=torch.half, device="cuda")
    output = output.contiguous(memory_format=torch.channels_last)
    attributes = RoiAlignAttributes(7, 7, 2, SCALES, THRESHOLDS, "output_half_pixel")
    pooler = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    named = [dict(zip("0123", [level.contiguous() for level in features], strict=True)) for features in sets]

    def ours(features: Sequence[torch.Tensor]) -> None:
        stream = torch.cuda.current_stream().cuda_stream
        device.multilevel_roi_align(rois[None], features, output, attributes, stream)

    def all_ours() -> None:
        for features in sets:
            ours(features)

    def all_theirs() -> None:
        for features in named:
            pooler(features, [rois.half()], [CANVAS])

    ours(sets[0])
    exact = pooler({name: level.float() for name, level in named[0].items()}, [rois], [CANVAS])
    difference = float((output.float() - exact).abs().max())
    bytes_touched = touched_pixels(rois) * CHANNELS * 2 + output.numel() * 2 + rois.numel() * 4
    floor = bytes_touched / copy_bandwidth() * 1e6
    result = compare(all_ours, all_theirs, FEATURE_SETS)
    return {
        **result,
        "bytes_touched": bytes_touched,
        "floor_us": floor,
        "graph_over_floor": result["graph_us"] / floor,
        "max_difference_from_torchvision_fp32": difference,
    }


def touched_pixels(rois: torch.Tensor) -> int:
    """Count the feature pixels, over all levels, that any RoI's samples touch: those with a gradient."""
    features = {
        str(i): torch.zeros(1, 1, int(CANVAS[0] * s), int(CANVAS[1] * s), device="cuda", requires_grad=True)
        for i, s in enumerate(SCALES)
    }
    MultiScaleRoIAlign(list(features), 7, 2)(features, [rois], [CANVAS]).sum().backward()
    return sum(int(feature.grad.count_nonzero()) for feature in features.values() if feature.grad is not None)


def nms_of_proposals(generator: torch.Generator) -> dict[str, Any]:
    """Time a region proposal network's step: 5 levels x 1000 proposals, IoU 0.7, the best 1000."""
    boxes, scores = random_boxes(generator, 5000, CANVAS), torch.rand(5000, device="cuda", generator=generator)
    groups = torch.arange(5000, device="cuda", dtype=torch.int32) // 1000
    wide = groups.long()
    return nms(boxes, scores, groups, 0.7, -1.0, 1000, lambda: batched_nms(boxes, scores, wide, 0.7)[:1000])


def nms_of_detections(generator: torch.Generator) -> dict[str, Any]:
    """Time a detector's last step: 1000 proposals x 90 classes, score above 0.05, IoU 0.5, the best 100."""
    boxes = random_boxes(generator, 90_000, CANVAS)
    scores = torch.rand(90_000, device="cuda", generator=generator) ** 30  # about one in ten is a candidate
    groups = torch.arange(90_000, device="cuda", dtype=torch.int32) % 90
    wide = groups.long()

    def theirs() -> torch.Tensor:
        above = torch.where(scores > 0.05)[0]
        return above[batched_nms(boxes[above], scores[above], wide[above], 0.5)[:100]]

    return nms(boxes, scores, groups, 0.5, 0.05, 100, theirs)


def nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    groups: torch.Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
    theirs: Callable[[], torch.Tensor],
) -> dict[str, Any]:
    """Time ours and theirs on one image, and compare what they keep."""
    num = torch.empty(1, dtype=torch.int32, device="cuda")
    indices = torch.empty(1, max_output, dtype=torch.int32, device="cuda")
    workspace_bytes = device.batched_nms_workspace_bytes(1, boxes.shape[0], max_output)
    workspace = torch.empty(workspace_bytes, dtype=torch.uint8, device="cuda")
    iou, score = (torch.tensor([[value]], device="cuda") for value in (iou_threshold, score_threshold))

    def ours() -> None:
        stream = torch.cuda.current_stream().cuda_stream
        device.batched_nms(boxes[None], scores[None], groups[None], iou, score, num, indices, workspace, stream)

    ours()
    chosen = set(indices[0, : int(num[0])].tolist())
    return {
        **compare(ours, theirs, 1),
        "kept": len(chosen),
        "kept_by_one_alone": len(chosen ^ set(theirs().tolist())),  # torchvision rounds its shifted coordinates
        "workspace_bytes": workspace_bytes,
    }
