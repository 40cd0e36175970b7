"""The boxes that the kernels are timed with: those of a network that has found objects, and spread ones."""

from __future__ import annotations

import torch
from torch import Tensor


def random_boxes(generator: torch.Generator, count: int, image_size: tuple[int, int]) -> Tensor:
    """Draw boxes inside an image, with sides of 16 to 870 pixels (the image's at most), small ones more often.

    Args:
        generator: of the device that the boxes shall lie on.
        count: how many.
        image_size: (height, width).

    Returns:
        [count, 4] float32 xyxy.
    """
    device = generator.device
    size = 16 * torch.exp(torch.rand(count, 2, device=device, generator=generator) * 4)
    limit = torch.tensor(image_size[::-1], device=device)
    size = torch.minimum(size, limit)
    start = torch.rand(count, 2, device=device, generator=generator) * (limit - size)
    return torch.cat([start, start + size], 1)


def clustered_boxes(
    generator: torch.Generator, count: int, objects: int, image_size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw boxes as a network gives them: around objects, the better the closer. They are what NMS is slow with.

    Args:
        generator: of the device that the boxes shall lie on.
        count: how many boxes.
        objects: around how many objects.
        image_size: (height, width).

    Returns:
        [count, 4] float32 xyxy; [count] float32 scores, 0 to 1; [count] int64, the object of each.
    """
    device = generator.device
    object_of = torch.randint(0, objects, (count,), device=device, generator=generator)
    boxes = random_boxes(generator, objects, image_size)[object_of]
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    spread = 0.3 * torch.rand(count, 1, device=device, generator=generator)
    noise = torch.randn(count, 4, device=device, generator=generator) * spread
    limit = torch.tensor(image_size[::-1] * 2, device=device)
    moved = torch.minimum((boxes + noise * size).clamp(min=0), limit)
    corners = torch.cat([torch.minimum(moved[:, :2], moved[:, 2:]), torch.maximum(moved[:, :2], moved[:, 2:])], 1)
    scores = torch.exp(-8 * noise.abs().mean(1)) * (0.8 + 0.2 * torch.rand(count, device=device, generator=generator))
    return corners, scores, object_of


def clustered_logits(
    generator: torch.Generator, quality: Tensor, object_of: Tensor, objects: int, classes: int
) -> Tensor:
    """Draw logits [proposals, classes] of which three, by the proposal's object, are high if it is good."""
    device = generator.device
    favourites = torch.randint(0, classes, (objects, 3), device=device, generator=generator)[object_of]
    logits = 0.5 * torch.randn(len(quality), classes, device=device, generator=generator)
    return logits.scatter_add_(1, favourites, 8 * quality[:, None] * torch.tensor([1.0, 0.7, 0.5], device=device))


def clustered_detections(
    generator: torch.Generator, proposals: int, classes: int, objects: int, image_size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw what a second stage gives: each proposal's box for each class, and scores whose sum is at most 1.

    Some classes of a proposal's object score above 0.05, all others hardly at all.

    Returns:
        [proposals * classes, 4] float32 xyxy; scores and int32 classes, [proposals * classes].
    """
    device = generator.device
    boxes, quality, object_of = clustered_boxes(generator, proposals, objects, image_size)
    scores = torch.softmax(clustered_logits(generator, quality, object_of, objects, classes), 1)
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)[:, None]
    shift = 0.03 * torch.randn(proposals, classes, 4, device=device, generator=generator) * size
    groups = torch.arange(classes, dtype=torch.int32, device=device).repeat(proposals)
    return (boxes[:, None] + shift).reshape(-1, 4).contiguous(), scores.flatten().contiguous(), groups
