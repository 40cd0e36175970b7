"""The GPUs that times are estimated for, and the time that a launch takes on them."""

from __future__ import annotations

from dataclasses import dataclass

from maskrt.tools.estimates.launches import Launch

_MEMORY_SHARE = 0.75
"""Of the memory's bandwidth that a kernel of one pass over its data reaches."""

_ISSUE_SHARE = 0.7
"""Of the four instructions that a multiprocessor can issue in a cycle."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, by NVIDIA's data sheets but for the last two.

    Attributes:
        name: for the table.
        flops: in FP16 on tensor cores, without sparsity, per second.
        bandwidth: of its memory, bytes per second.
        cache: of the second level, bytes.
        multiprocessors, clock: how many, and Hz under load.
        matrix_share: of `flops` that convolutions of one image reach; assumed.
        gap: seconds from one kernel of a CUDA graph to the next; assumed.
    """

    name: str
    flops: float
    bandwidth: float
    cache: float
    multiprocessors: int
    clock: float
    matrix_share: float
    gap: float

    def floor(self, launch: Launch) -> float:
        """Give the seconds that no kernel undercuts: operations at their peak, or each byte once from memory."""
        return max(launch.flops / self.flops, launch.bytes / self.bandwidth)

    def expected(self, launch: Launch) -> float:
        """Give the seconds to expect: with what is reached of the peaks, serial parts, and the gaps between kernels."""
        read_again = launch.bytes_read_again * max(0.0, 1 - self.cache / max(launch.working_set, 1))
        busy = max(
            launch.flops / (self.flops * self.matrix_share),
            (launch.bytes + read_again) / (self.bandwidth * _MEMORY_SHARE),
            launch.instructions / (4 * _ISSUE_SHARE * self.multiprocessors * self.clock),
        )
        return busy + launch.serial_cycles / self.clock + launch.kernels * self.gap


GPUS = (
    Gpu("H100", 989e12, 3350e9, 50e6, 132, 1.7e9, 0.45, 1.75e-6),
    Gpu("L4", 121e12, 300e9, 48e6, 58, 1.4e9, 0.55, 2.0e-6),
    Gpu("Orin", 42.5e12, 204.8e9, 4e6, 16, 1.3e9, 0.55, 3.5e-6),
)
"""SXM5 with 80 GB; L4; AGX Orin 64 GB."""
