"""Times of pre- and postprocessing: resizing frames onto a canvas, pasting masks as run lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskrt.plugins import device
from maskrt.tools.kernel_benchmark.boxes import random_boxes
from maskrt.tools.kernel_benchmark.timing import compare

FRAME = (1080, 1920)
INSTANCES = 100
MASK_SIZE = 28
IMAGES = {"1080p": (1080, 1920), "4k": (2160, 3840)}


def resize_pad(generator: torch.Generator, dtype: torch.dtype, batch: int) -> dict[str, Any]:
    """Time raw 1080p frames to a canvas; torchvision's transform without its normalisation, which is our model's."""
    frames = [
        torch.randint(0, 256, (*FRAME, 3), dtype=torch.uint8, device="cuda", generator=generator) for _ in range(batch)
    ]
    transform = GeneralizedRCNNTransform(800, 1333, [0.0], [1.0]).eval()

    def resized(frame: torch.Tensor) -> torch.Tensor:
        return transform.resize(frame.permute(2, 0, 1).float(), None)[0]

    def theirs() -> torch.Tensor:
        return transform.batch_images([resized(frame) for frame in frames], 32)

    expected = theirs().permute(0, 2, 3, 1)
    height, width = resized(frames[0]).shape[1:]
    canvas = torch.empty(expected.shape, dtype=dtype, device="cuda")

    def ours() -> None:
        device.resize_pad(frames, [(height, width)] * batch, canvas, torch.cuda.current_stream().cuda_stream)

    ours()
    difference = float((canvas.float() - expected).abs().max())
    return {
        **compare(ours, theirs, 1),
        "bytes_moved": sum(frame.numel() for frame in frames) + canvas.numel() * canvas.element_size(),
        "max_difference_in_grey_levels": difference,
    }


def paste_rle(generator: torch.Generator, image_size: tuple[int, int]) -> dict[str, Any]:
    """Time 100 soft discs, pasted and encoded; torchvision pastes and thresholds, and leaves encoding to the CPU."""
    boxes = random_boxes(generator, INSTANCES, image_size)
    position = torch.linspace(-0.5, 0.5, MASK_SIZE, device="cuda")
    radius = torch.rand(INSTANCES, 1, 1, device="cuda", generator=generator) * 0.4 + 0.1
    masks = torch.sigmoid(20 * (radius - torch.hypot(position[:, None], position[None])))
    counts = torch.empty(INSTANCES * 2 * image_size[1], dtype=torch.uint32, device="cuda")
    lengths = torch.empty(INSTANCES, dtype=torch.int32, device="cuda")
    total = torch.empty(1, dtype=torch.int64, device="cuda")
    workspace_bytes = device.paste_rle_workspace_bytes(INSTANCES, image_size[1])
    workspace = torch.empty(workspace_bytes, dtype=torch.uint8, device="cuda")

    def ours() -> None:
        stream = torch.cuda.current_stream().cuda_stream
        device.paste_rle(boxes, masks, image_size, counts, lengths, total, workspace, stream)

    def theirs() -> torch.Tensor:
        return paste_masks_in_image(masks[:, None], boxes, image_size, padding=1) > 0.5

    ours()
    expected = theirs()[:, 0].permute(0, 2, 1).flatten(1)  # in column order
    different = 0
    for mask, runs in zip(expected, counts[: int(total)].long().split(lengths.tolist()), strict=True):
        is_foreground = torch.arange(len(runs), device="cuda") % 2 == 1
        different += int((torch.repeat_interleave(is_foreground, runs) != mask).sum())
    return {
        **compare(ours, theirs, 1),
        "pixels_that_differ": different,
        "bytes_to_copy": int(total) * counts.element_size(),
        "torchvision_bytes_to_copy": expected.numel(),
        "workspace_bytes": workspace_bytes,
    }


BENCHMARKS: Mapping[str, Callable[[torch.Generator], dict[str, Any]]] = {
    **{
        f"resize_pad_1080p_{name}_batch_{batch}": partial(resize_pad, dtype=dtype, batch=batch)
        for name, dtype in (("uint8", torch.uint8), ("float32", torch.float32))
        for batch in (1, 8)
    },
    **{f"paste_rle_100_{name}": partial(paste_rle, image_size=size) for name, size in IMAGES.items()},
}
"""By name."""
