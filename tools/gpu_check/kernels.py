"""Times of the kernels, see `maskrt.tools.kernel_benchmark`."""

from __future__ import annotations

from maskrt.tools.gpu_check.part import Report, require_gpu
from maskrt.tools.kernel_benchmark import kernels


def run(report: Report) -> None:
    """Run all benchmarks."""
    require_gpu()
    kernels.run(report.add)
