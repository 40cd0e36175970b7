"""Checks that arrays of the host and of the device have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def check_type_and_shape(
    name: str,
    dtype: np.dtype,
    shape: tuple[int, ...],
    wanted_dtype: type | np.dtype | None,
    wanted_shape: tuple[int | None, ...],
) -> None:
    """Raise ValueError unless an array has the type (None: any) and the shape (None: any size) that are wanted."""
    fits = len(shape) == len(wanted_shape) and all(
        wanted is None or wanted == size for wanted, size in zip(wanted_shape, shape, strict=True)
    )
    if not fits or (wanted_dtype is not None and dtype != wanted_dtype):
        wanted = ", ".join("any" if size is None else str(size) for size in wanted_shape)
        kind = "" if wanted_dtype is None else f"{np.dtype(wanted_dtype)} "
        raise ValueError(f"{name} must be {kind}of shape ({wanted}), but is {dtype} of shape {shape}")


def check_masks(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless mask probabilities of shape [N, M, M'] are square and not empty."""
    if shape[1] != shape[2] or shape[1] == 0:
        raise ValueError(f"mask_probabilities must be square, but its shape is {shape}")


def check_sizes(frames: Sequence[object], sizes: Sequence[object]) -> None:
    """Raise ValueError unless there is one size for each frame."""
    if len(sizes) != len(frames):
        raise ValueError(f"{len(frames)} frames need as many sizes, but there are {len(sizes)}")
