"""Tensors laid one after the other in a block of memory, so that one copy moves them all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

ALIGNMENT = 256
"""TensorRT takes no tensor that starts at an address which is not a multiple of this."""


class Spec(NamedTuple):
    """Type and shape of a tensor."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class Block:
    """Where each tensor of a block begins.

    Attributes:
        offsets: bytes from the start of the block, each a multiple of 256.
        size: bytes of the whole block, a multiple of 256.
    """

    def __init__(self, tensors: Mapping[str, Spec]) -> None:
        self._tensors = tensors
        self.offsets: dict[str, int] = {}
        self.size = 0
        for name, spec in tensors.items():
            self.offsets[name] = self.size
            self.size += aligned(spec.size)

    def views(self, memory: np.ndarray) -> dict[str, np.ndarray]:
        """Return the tensors as arrays, given the block's memory [size] uint8."""
        return {
            name: memory[self.offsets[name] :][: spec.size].view(spec.dtype).reshape(spec.shape)
            for name, spec in self._tensors.items()
        }


def aligned(size: int) -> int:
    """`size`, rounded up to a multiple of 256."""
    return -(-size // ALIGNMENT) * ALIGNMENT
