"""What one or several kernels read, write and compute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """Kernels that belong together.

    Attributes:
        flops: of matrix products, a multiplication and an addition being two.
        bytes: read from or written to memory once.
        bytes_read_again: those that are read again where the cache does not hold the `working_set`, in bytes.
        instructions: of whole warps, where these decide.
        kernels: how many.
        serial_cycles: in which a few multiprocessors work one step after the other.
    """

    flops: int = 0
    bytes: int = 0
    bytes_read_again: int = 0
    working_set: int = 0
    instructions: int = 0
    kernels: int = 1
    serial_cycles: int = 0
