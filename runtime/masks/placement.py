"""What a paste rule is: where it puts masks on the pixels of an image, and how it interpolates them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np


class Crossing(NamedTuple):
    """P places where a mask, interpolated along x at an image column, crosses the threshold from a row to the next.

    Rows and columns are those of the padded masks.

    Attributes:
        instance: [P] int64.
        row: [P] int64, the upper of the two mask rows.
        column: [P] int64, the left one of the two mask columns beside the image column.
        weight: [P] float32, of the right one.
        upper, lower: [P] float32, the values at the two rows.
    """

    instance: np.ndarray
    row: np.ndarray
    column: np.ndarray
    weight: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


@dataclass(frozen=True)
class Placement(ABC):
    """N masks on an image, by a rule. Masks are padded by one zero pixel: M + 2 rows and columns, from 0.

    Attributes:
        left, top: [N] int64, the corner pixel of the part of the image that each can touch.
        width, height: [N] int64, of that part, which lies inside the image and may be empty.
        first_rows: [N, M + 3] int64: the first image row whose upper mask row is k or a later one.
    """

    left: np.ndarray
    top: np.ndarray
    width: np.ndarray
    height: np.ndarray
    first_rows: np.ndarray

    def __getitem__(self, some: slice) -> Placement:
        """Choose some of the masks."""
        return replace(self, **{field.name: getattr(self, field.name)[some] for field in fields(self)})

    @staticmethod
    @abstractmethod
    def is_inside(values: np.ndarray, threshold: np.float32) -> np.ndarray:
        """Tell whether pixels of these float32 values belong to the object."""

    @abstractmethod
    def mask_columns(self, instance: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the mask columns beside image columns.

        Args:
            instance, x: [C] int64 both.

        Returns:
            The left one, [C] int64, and the weight of the one right of it, [C] float32.
        """

    @abstractmethod
    def image_rows(self, instance: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Find the first image rows at or below fractional mask rows, both [P] float64, but for float32 rounding."""

    @abstractmethod
    def values(self, padded: np.ndarray, crossing: Crossing, y: np.ndarray) -> np.ndarray:
        """Compute the pasted values, [P] float32, of image rows at the columns of crossings, as the framework does.

        Args:
            padded: [N, M + 2, M + 2] float32.
            crossing: P of them.
            y: [P] int64, rows between the two mask rows of each.
        """
