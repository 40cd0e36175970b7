"""The boxes that the kernels are timed with."""

from __future__ import annotations

import torch


def random_boxes(generator: torch.Generator, count: int, image_size: tuple[int, int]) -> torch.Tensor:
    """Draw boxes inside an image, with sides of 16 to 870 pixels (the image's at most), small ones more often.

    Args:
        generator: of the GPU.
        count: how many.
        image_size: (height, width).

    Returns:
        [count, 4] float32 xyxy on the GPU.
    """
    size = 16 * torch.exp(torch.rand(count, 2, device="cuda", generator=generator) * 4)
    limit = torch.tensor(image_size[::-1], device="cuda")
    size = torch.minimum(size, limit)
    start = torch.rand(count, 2, device="cuda", generator=generator) * (limit - size)
    return torch.cat([start, start + size], 1)
