import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.errors import ArgumentError
from maskrt.runtime.masks import rle


def run_lengths(mask: np.ndarray) -> np.ndarray:
    """The counts of one mask, in the plainest way."""
    counts, value, run = [], 0, 0
    for pixel in mask.ravel(order="F"):
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return np.array([*counts, run])


def random_masks(rng: np.random.Generator, number: int) -> list[np.ndarray]:
    masks = []
    for _ in range(number):
        height, width = rng.integers(1, 40, 2)
        block = int(rng.integers(1, 8))
        coarse = rng.random((-(-height // block), -(-width // block))) < rng.random()
        masks.append(np.kron(coarse, np.ones((block, block), bool))[:height, :width])
    return masks


def test_compress_writes_what_pycocotools_writes(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 300)
    counts = [run_lengths(mask) for mask in masks]
    texts = rle.compress_counts(np.concatenate(counts), np.array([len(c) for c in counts]))
    for mask, text in zip(masks, texts, strict=True):
        assert text == coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()


@pytest.mark.parametrize(
    "counts",
    [[0], [5], [0, 1], [15], [16], [511], [512], [2**31 - 1], [1, 2, 3, 1000000, 1], [70000, 1, 70000, 1, 1]],
)
def test_compress_of_hard_counts(counts: list[int]) -> None:
    """Digit boundaries, negative differences, and the third count, from which nothing is subtracted."""
    (text,) = rle.compress_counts(np.array(counts), np.array([len(counts)]))
    expected = coco_mask.frPyObjects({"size": [sum(counts), 1], "counts": counts}, sum(counts), 1)
    assert text == expected["counts"].decode()
    assert rle.decompress_counts(text).tolist() == counts


def test_reads_what_pycocotools_writes(rng: np.random.Generator) -> None:
    for mask in random_masks(rng, 100):
        encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        ours: rle.RLE = {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}
        counts = rle.decompress_counts(ours["counts"])
        np.testing.assert_array_equal(counts, run_lengths(mask))
        np.testing.assert_array_equal(rle.counts_to_mask(counts, *mask.shape), mask)
        assert rle.area(ours) == mask.sum()


@pytest.mark.parametrize(
    "counts",
    [
        "3",  # three of four pixels
        "",
        "d",  # the last digit says that another follows
        " ",  # not in the alphabet
        "ü",
        "P" * 40 + "0",
        "0O5",  # a negative run
        "PPPPPPPPPPP8" * 3 + "0" * 61 + "TPPPPPPPPPPH",  # 64 runs of 2**58 pixels and one of 4: 4 in all, modulo 2**64
    ],
)
def test_damaged_rle_is_refused(counts: str) -> None:
    with pytest.raises(ArgumentError, match="RLE"):
        rle.area({"size": [2, 2], "counts": counts})
