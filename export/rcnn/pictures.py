"""Around the network, in plain eager PyTorch: from pictures to canvases, and from masks to pixels.

By the names of `maskrt.contract.pipeline`, each with the library that the framework itself uses.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskrt.contract.pipeline import Paste, Resize


def resized_size(resize: Resize, height: int, width: int) -> tuple[int, int]:
    """Height and width that the network sees of a picture, before padding."""
    short, long = min(height, width), max(height, width)
    if resize.rule == "floor":  # torchvision.models.detection.transform._resize_image_and_masks
        scale = min(resize.min_size / short, resize.max_size / long)
        return math.floor(height * scale), math.floor(width * scale)
    if resize.rule == "fit":  # mmcv.image.geometric.rescale_size
        scale = min(resize.max_size / long, resize.min_size / short)
        return int(height * scale + 0.5), int(width * scale + 0.5)
    if resize.min_size == 0:
        return height, width
    # detectron2.data.transforms.ResizeShortestEdge.get_output_shape
    scale = resize.min_size / short
    rows, columns = (resize.min_size, scale * width) if height < width else (scale * height, resize.min_size)
    if max(rows, columns) > resize.max_size:
        shrink = resize.max_size / max(rows, columns)
        rows, columns = rows * shrink, columns * shrink
    return int(rows + 0.5), int(columns + 0.5)


def resize_picture(resize: Resize, picture: np.ndarray) -> Tensor:
    """Resize `[H, W, 3]` uint8 → `[3, h, w]` float32, grey levels in the same order of channels."""
    size = resized_size(resize, *picture.shape[:2])
    if resize.filter == "bilinear":
        levels = torch.from_numpy(picture).permute(2, 0, 1).float()
        return F.interpolate(levels[None], size=size, mode="bilinear", align_corners=False)[0]
    if size == picture.shape[:2]:
        resized = picture
    elif resize.filter == "pillow_bilinear":
        from PIL import Image

        resized = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR))
    else:
        import cv2

        resized = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized.copy()).permute(2, 0, 1).float()


def paste_mask(paste: Paste, probabilities: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Paste one mask.

    Args:
        paste: the rule.
        probabilities: `[M, M]` float32.
        box: `[4]` float32 xyxy in pixels of the picture.
        size: height and width of the picture.

    Returns:
        `[H, W]` bool.
    """
    if paste.rule == "integer_box":
        return _paste_integer_box(probabilities, box, size) > paste.threshold
    return _paste_pixel_centers(probabilities, box, size) >= paste.threshold


def _paste_integer_box(probabilities: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Torchvision's `paste_masks_in_image`: a zero border of one cell, the box grown by it and cut to integers."""
    cells = probabilities.shape[0]
    center, half = (box[2:] + box[:2]) * 0.5, (box[2:] - box[:2]) * 0.5 * ((cells + 2) / cells)
    x0, y0, x1, y1 = torch.cat((center - half, center + half)).to(torch.int64).tolist()
    height, width = max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)
    bordered = F.pad(probabilities, (1, 1, 1, 1))[None, None]
    mask = F.interpolate(bordered, size=(height, width), mode="bilinear", align_corners=False)[0, 0]
    pasted = probabilities.new_zeros(size)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1 + 1, size[1]), min(y1 + 1, size[0])
    if left < right and top < bottom:
        pasted[top:bottom, left:right] = mask[top - y0 : bottom - y0, left - x0 : right - x0]
    return pasted


def _paste_pixel_centers(probabilities: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """detectron2's `paste_masks_in_image` on a CPU, one mask at a time: sampled at the pixels within one of the box."""
    pasted = probabilities.new_zeros(size)
    x0, y0 = (max(math.floor(value) - 1, 0) for value in box[:2].tolist())
    x1, y1 = (min(math.ceil(value) + 1, side) for value, side in zip(box[2:].tolist(), size[::-1], strict=True))
    if x0 >= x1 or y0 >= y1:
        return pasted
    columns, rows = (torch.arange(a, b, dtype=torch.float32, device=box.device) for a, b in ((x0, x1), (y0, y1)))
    x = (columns + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    y = (rows + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    # Of a box without area, infinity becomes 0, as in both frameworks.
    x, y = (torch.where(v.isinf(), 0.0, v) for v in (x, y))
    grid = torch.stack((x[None].expand(len(y), -1), y[:, None].expand(-1, len(x))), dim=-1)[None]
    pasted[y0:y1, x0:x1] = F.grid_sample(probabilities[None, None], grid, align_corners=False)[0, 0]
    return pasted
