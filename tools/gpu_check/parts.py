"""The parts of the check, the most valuable first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A part of the check.

    Attributes:
        name: as in options and in the results.
        module, function: what runs it, given a `part.Report`.
        limit: seconds that it may take.
        compiled: whether it needs the plugin library.
        about: what it shows, in a line.
    """

    name: str
    module: str
    function: str
    limit: float
    about: str
    compiled: bool = True


_HERE = "maskrt.tools.gpu_check"
_PARTS = (
    Part("machine", f"{_HERE}.machine", "describe", 60, "the GPU and the software that drives it", compiled=False),
    Part("build", f"{_HERE}.machine", "build", 300, "the plugins compiled for this GPU", compiled=False),
    Part("kernels-right", f"{_HERE}.tests", "kernels", 240, "the kernels against their host build"),
    Part("pipeline", f"{_HERE}.pipeline", "run", 240, "whole models, FP32 and FP16, beside torchvision"),
    Part("kernels-fast", f"{_HERE}.kernels", "run", 180, "times of the kernels"),
    Part("accuracy", f"{_HERE}.accuracy", "run", 120, "AP of the demo model on held-out scenes, beside torchvision"),
    Part("rtx", f"{_HERE}.rtx", "run", 120, "whether engines that were built without a GPU load here"),
    Part("runtime", f"{_HERE}.tests", "runtime", 300, "the runtime's own path: real engines, images on the GPU"),
    Part("onnxruntime", f"{_HERE}.alternatives", "onnx_runtime", 120, "ONNX Runtime's CUDA provider", compiled=False),
    Part("compiled", f"{_HERE}.alternatives", "compiled", 300, "torchvision under torch.compile", compiled=False),
    Part("large", f"{_HERE}.tests", "large", 240, "full sizes, graphs, repeats"),
    Part("sanitizer", f"{_HERE}.tests", "sanitizer", 1500, "compute-sanitizer over the kernels"),
)
PARTS: Mapping[str, Part] = {part.name: part for part in _PARTS}
"""By name, in the order in which they run."""
