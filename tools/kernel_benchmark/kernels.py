"""Times of RoIAlign and NMS, and of all else that the package times: `run` is what `gpu_check` calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torchvision.ops import MultiScaleRoIAlign, batched_nms
from torchvision.ops.boxes import _batched_nms_coordinate_trick, _batched_nms_vanilla

from maskrt.plugins import device
from maskrt.plugins.attributes import RoiAlignAttributes
from maskrt.tools.kernel_benchmark import detections, images, proposals
from maskrt.tools.kernel_benchmark.boxes import clustered_boxes, clustered_detections, random_boxes
from maskrt.tools.kernel_benchmark.timing import (
    CALLS_PER_GRAPH,
    compare,
    graph_of,
    median_and_spread,
    wait_until_warm,
)

CANVAS = (800, 1344)
SCALES = (0.25, 0.125, 0.0625, 0.03125)
THRESHOLDS = (112.0, 224.0, 448.0)
CHANNELS = 256
ROIS = 1000
OBJECTS = 60  # around which proposals lie
FEATURE_SETS = 4  # used in turn, so that no call finds its features in the cache of the one before


def run(add: Callable[[str, Any], None]) -> None:
    """Run all benchmarks, and hand each to `add` as it is there: times in microseconds, as `timing.compare` says."""
    generator = torch.Generator("cuda").manual_seed(0)
    wait_until_warm()
    add("copy_gb_per_s", copy_bandwidth() / 1e9)
    for name, benchmark in BENCHMARKS.items():
        add(name, benchmark(generator))
    for name, benchmark in {**proposals.BENCHMARKS, **detections.BENCHMARKS, **images.BENCHMARKS}.items():
        add(name, benchmark(generator))
    first = BENCHMARKS["batched_nms_5x1000_60_objects"]
    add("the_first_nms_again", first(generator))  # how far two runs differ


def copy_bandwidth() -> float:
    """Return the bytes read and written per second by a copy of 1 GiB within the GPU's memory."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / (median_and_spread(lambda: target.copy_(source))["median"] * 1e-6)


def roi_align(
    generator: torch.Generator,
    dtype: torch.dtype = torch.half,
    bins: int = 7,
    batch: int = 1,
    channels_last: bool = True,
) -> dict[str, Any]:
    """Time 1000 RoIs x 256 channels an image from P2 to P5 of 800x1344 images, with a cold cache."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    sets = [
        [
            torch.randn(batch, CHANNELS, int(CANVAS[0] * s), int(CANVAS[1] * s), device="cuda", generator=generator)
            .to(dtype)
            .contiguous(memory_format=layout)
            for s in SCALES
        ]
        for _ in range(FEATURE_SETS if batch == 1 else 2)
    ]
    boxes = [clustered_boxes(generator, ROIS, OBJECTS, CANVAS)[0] for _ in range(batch)]
    rois = torch.stack(boxes)
    output = torch.empty(batch * ROIS, CHANNELS, bins, bins, dtype=dtype, device="cuda", memory_format=layout)
    attributes = RoiAlignAttributes(bins, bins, 2, SCALES, THRESHOLDS, "output_half_pixel")
    pooler = MultiScaleRoIAlign(["0", "1", "2", "3"], bins, 2)
    named = [dict(zip("0123", [level.contiguous() for level in features], strict=True)) for features in sets]
    sizes = [CANVAS] * batch

    order = torch.empty(batch, ROIS, dtype=torch.int32, device="cuda")

    def ours(features: Sequence[torch.Tensor], order: torch.Tensor | None) -> None:
        stream = torch.cuda.current_stream().cuda_stream
        device.multilevel_roi_align(rois, features, output, attributes, stream, order=order)

    def all_ours(order: torch.Tensor | None = order) -> None:
        for features in sets:
            ours(features, order)

    def all_theirs() -> None:
        for features in named:
            pooler(features, [one.to(dtype) for one in boxes], sizes)

    ours(sets[0], order)
    exact = pooler({name: level.float() for name, level in named[0].items()}, boxes, sizes)
    difference = float((output.float() - exact).abs().max())
    element = output.element_size()
    pixels = sum(touched_pixels(one) for one in boxes)
    bytes_touched = pixels * CHANNELS * element + output.numel() * element + rois.numel() * 4
    floor = bytes_touched / copy_bandwidth() * 1e6
    result = compare(all_ours, all_theirs, len(sets))
    calls = CALLS_PER_GRAPH * len(sets)
    return {
        **result,
        "ours_in_the_given_order_us": median_and_spread(graph_of(partial(all_ours, None)).replay, calls),
        "bytes_touched": bytes_touched,
        "floor_us": floor,
        "over_floor": result["ours_us"]["median"] / floor,
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


def nms_of_proposals(generator: torch.Generator, objects: int) -> dict[str, Any]:
    """Time a region proposal network's step: 5 levels x 1000 proposals, IoU 0.7, the best 1000.

    Args:
        generator: of the GPU.
        objects: around which the proposals lie; 0: they are spread, and hardly one suppresses another.
    """
    if objects:
        boxes, scores, _ = clustered_boxes(generator, 5000, objects, CANVAS)
    else:
        boxes, scores = random_boxes(generator, 5000, CANVAS), torch.rand(5000, device="cuda", generator=generator)
    groups = torch.arange(5000, device="cuda", dtype=torch.int32) // 1000
    wide = groups.long()
    return nms(boxes, scores, groups, 0.7, -1.0, 1000, lambda find: find(boxes, scores, wide, 0.7)[:1000])


def nms_of_detections(generator: torch.Generator, objects: int) -> dict[str, Any]:
    """Time a detector's last step: 1000 proposals x 90 classes, score above 0.05, IoU 0.5, the best 100."""
    boxes, scores, groups = clustered_detections(generator, 1000, 90, objects, CANVAS)
    wide = groups.long()

    def theirs(find: FindKept) -> torch.Tensor:
        above = torch.where(scores > 0.05)[0]
        return above[find(boxes[above], scores[above], wide[above], 0.5)[:100]]

    return {"candidates": int((scores > 0.05).sum()), **nms(boxes, scores, groups, 0.5, 0.05, 100, theirs)}


def nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    groups: torch.Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
    theirs: Callable[[FindKept], torch.Tensor],
) -> dict[str, Any]:
    """Time ours and theirs on one image, and compare what they keep.

    torchvision's `batched_nms` loops over the groups on a GPU where there are more than 20,000 numbers in the boxes,
    and shifts each group's boxes to a place of their own where there are fewer. Both ways are timed.
    """
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
    variants = {name: partial(theirs, find) for name, find in TORCHVISION_NMS.items()}
    return {
        **compare(ours, variants, 1),
        "kept": len(chosen),
        "kept_by_one_alone": len(chosen ^ set(theirs(_batched_nms_vanilla).tolist())),
        "workspace_bytes": workspace_bytes,
    }


FindKept = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
TORCHVISION_NMS: Mapping[str, FindKept] = {
    "batched_nms": batched_nms,
    "loop_over_groups": _batched_nms_vanilla,
    "shifted_coordinates": _batched_nms_coordinate_trick,
}
BENCHMARKS: Mapping[str, Callable[[torch.Generator], dict[str, Any]]] = {
    "batched_nms_5x1000_60_objects": partial(nms_of_proposals, objects=60),
    "batched_nms_1000x90_40_objects": partial(nms_of_detections, objects=40),
    "multilevel_roi_align_fp16": roi_align,
    "multilevel_roi_align_fp16_14x14": partial(roi_align, bins=14),
    "multilevel_roi_align_fp32": partial(roi_align, dtype=torch.float),
    "multilevel_roi_align_fp32_channels_first": partial(roi_align, dtype=torch.float, channels_last=False),
    "multilevel_roi_align_fp16_batch_8": partial(roi_align, batch=8),
    "batched_nms_5x1000_spread": partial(nms_of_proposals, objects=0),
}
"""By name, the most telling first."""
