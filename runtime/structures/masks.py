"""The masks of N instances in the form in which they came, grids of probabilities or run lengths, as one interface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from maskrt.contract.pipeline import Paste
from maskrt.runtime.masks.paste import PasteCounts, paste_counts, paste_crops
from maskrt.runtime.masks.rle import RLE, compress_counts, decompress_counts
from maskrt.runtime.masks.runs import crop, runs_from_counts


class Masks(Protocol):
    """N binary masks on an image."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | np.ndarray | list[int] | list[bool]) -> Masks:
        """Choose some of them, as NumPy chooses rows."""

    def rle(self) -> list[RLE]:
        """Encode each in COCO's compressed run-length encoding."""

    def crops(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Cut out each: `(left, top, mask)`, the pixel of the corner, and a bool array [h, w] inside the image."""


@dataclass(frozen=True, eq=False)
class GridMasks:
    """Masks as the model gives them: a grid of probabilities over each box, pasted when they are asked for.

    Attributes:
        probabilities: [N, M, M] float32 (M = 28 for most models).
        boxes: [N, 4] float32 xyxy, pixels of the image.
        image_size: (height, width).
        paste: rule and threshold of the model.
        paste_counts: how they become run lengths: on the CPU, or with the same result on the model's device.
    """

    probabilities: np.ndarray
    boxes: np.ndarray
    image_size: tuple[int, int]
    paste: Paste
    paste_counts: PasteCounts = paste_counts

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: slice | np.ndarray | list[int] | list[bool]) -> GridMasks:
        return replace(self, probabilities=self.probabilities[index], boxes=self.boxes[index])

    def rle(self) -> list[RLE]:
        """Encode each straight from box and probabilities, without an image-sized array."""
        height, width = (int(side) for side in self.image_size)
        return [
            {"size": [height, width], "counts": text}
            for counts, lengths in self._counts()
            for text in compress_counts(counts, lengths)
        ]

    def counts(self) -> Iterator[np.ndarray]:
        """Yield each as run lengths, int64, zeros first."""
        for counts, lengths in self._counts():
            yield from np.split(counts, np.cumsum(lengths)[:-1])

    def _counts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self.paste_counts(self.boxes, self.probabilities, self.image_size, self.paste)

    def crops(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Cut out each at its box."""
        return paste_crops(self.boxes, self.probabilities, self.image_size, self.paste)


@dataclass(frozen=True, eq=False)
class RleMasks:
    """Masks as run lengths: of instances joined from tiles, which no single grid describes, or read from a file.

    Attributes:
        rles: N of them.
    """

    rles: tuple[RLE, ...]

    def __len__(self) -> int:
        return len(self.rles)

    def __getitem__(self, index: slice | np.ndarray | list[int] | list[bool]) -> RleMasks:
        return RleMasks(tuple(self.rles[i] for i in np.arange(len(self))[index]))

    def rle(self) -> list[RLE]:
        """Copy them."""
        return [{"size": rle["size"].copy(), "counts": rle["counts"]} for rle in self.rles]

    def crops(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Cut out each as close as it goes."""
        return (crop(runs_from_counts(decompress_counts(rle["counts"])), rle["size"][0]) for rle in self.rles)
