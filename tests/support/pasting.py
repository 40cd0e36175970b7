"""Random masks and boxes, and pasting checked against a framework's canvas."""

from collections.abc import Callable

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from maskrt.contract.pipeline import Paste
from maskrt.runtime.masks.paste import paste_counts, paste_crops
from maskrt.runtime.masks.rle import compress_counts, counts_to_mask, decompress_counts

Canvas = Callable[[np.ndarray, np.ndarray, tuple[int, int]], np.ndarray]
"""A framework's pasting of one mask [M, M] with its box [4]: float32 values [height, width], before the threshold."""


def encode(boxes: np.ndarray, masks: np.ndarray, size: tuple[int, int], paste: Paste) -> list[str]:
    """COCO strings."""
    return [
        text for counts, lengths in paste_counts(boxes, masks, size, paste) for text in compress_counts(counts, lengths)
    ]


def decode(text: str, size: tuple[int, int]) -> np.ndarray:
    """A bool array."""
    return counts_to_mask(decompress_counts(text), *size)


def check_pasting(boxes: np.ndarray, masks: np.ndarray, size: tuple[int, int], paste: Paste, canvas: Canvas) -> None:
    """Same RLE text, unless a pixel's pasted value lies within 1e-6 of the threshold; crops have the same pixels."""
    texts = encode(boxes, masks, size, paste)
    crops = list(paste_crops(boxes, masks, size, paste))
    assert len(texts) == len(crops) == len(boxes)
    threshold = np.float32(paste.threshold)
    for box, mask, text, (left, top, crop) in zip(boxes, masks, texts, crops, strict=True):
        values = canvas(mask, box, size)
        binary = values > threshold if paste.rule == "integer_box" else values >= threshold
        expected = coco_mask.encode(np.asfortranarray(binary, dtype=np.uint8))["counts"].decode()
        ours = decode(text, size)
        if text != expected:
            differing = values[ours != binary]
            assert len(differing), f"box {box}: same pixels, other text"
            assert np.abs(differing - threshold).max() < 1e-6, f"box {box}: {len(differing)} pixels differ"
        whole = np.zeros(size, dtype=bool)
        whole[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        np.testing.assert_array_equal(whole, ours)


def random_masks(rng: np.random.Generator, number: int, size: int = 28) -> np.ndarray:
    """Some noisy, some smooth with a contour like a trained model's."""
    masks = rng.random((number, size, size), dtype=np.float32)
    for mask in masks[::2]:
        smooth = cv2.GaussianBlur(mask, (9, 9), 3)
        mask[...] = 1 / (1 + np.exp((smooth.mean() - smooth) * rng.uniform(5, 200)))
    return masks


def random_boxes(rng: np.random.Generator, number: int, size: tuple[int, int], beyond: bool) -> np.ndarray:
    """Boxes of all sizes that touch the image; clipped to it unless `beyond`."""
    height, width = size
    centers = rng.uniform(0, 1, (number, 2)) * (width, height)
    sides = np.exp(rng.uniform(np.log(0.5), np.log(1.3 * max(size)), (number, 2)))
    boxes = np.concatenate((centers - sides / 2, centers + sides / 2), axis=1)
    if not beyond:
        boxes = np.clip(boxes, 0, (width, height, width, height))
    # torchvision cannot paste a box that begins outside, to the right of or below the image.
    boxes[:, :2] = np.minimum(boxes[:, :2], (width - 1.5, height - 1.5))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], (1.5, 1.5))
    return boxes.astype(np.float32)
