"""What a model file needs on its device, in pinned versions.

The versions are those that maskrt's tests run with (constraints.txt); Python 3.10, the one of JetPack 6, gets the last
versions that were made for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RUNTIME = (
    'numpy==2.4.6; python_version >= "3.11"',
    'numpy==2.2.6; python_version < "3.11"',
    "opencv-python-headless==5.0.0.93",
)
ONNX_RUNTIME = (
    'onnxruntime==1.31.1; python_version >= "3.11"',
    'onnxruntime==1.23.2; python_version < "3.11"',
)
PILLOW = (
    'pillow==13.0.0; python_version >= "3.11"',
    'pillow==12.3.0; python_version < "3.11"',
)
FILTERS: Mapping[str, tuple[str, ...]] = {"pillow_bilinear": PILLOW}
"""What images are resized with, by the name of the filter in the model file; for others it is there already."""


@dataclass(frozen=True)
class Needs:
    """What a model file needs on its device beside the runtime.

    Attributes:
        requirements: lines of requirements.txt.
        readme: lines of the README: which device, and what it must have.
        plugins: content of the plugin libraries, by their path in their folder.
        system_packages: whether the environment must see the packages of the system.
    """

    requirements: tuple[str, ...]
    readme: tuple[str, ...]
    plugins: Mapping[str, bytes] = field(default_factory=dict)
    system_packages: bool = False


ONNX_NEEDS = Needs(ONNX_RUNTIME, ("For any machine with Python 3.10 or newer; runs on the CPU, in ONNX Runtime.",))
"""Of an ONNX file alone."""
