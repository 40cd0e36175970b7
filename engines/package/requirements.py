"""What the runtime needs on the device, pinned: the requirements.txt of an edge package.

The versions are those that maskrt's tests run with (constraints.txt); Python 3.10, the one of JetPack 6, gets the last
versions that were made for it.
"""

from __future__ import annotations

from maskrt.contract.manifest import FLAVOR_NAMES, BuildInputs
from maskrt.engines.errors import EngineError

RUNTIME = (
    'numpy==2.4.6; python_version >= "3.11"',
    'numpy==2.2.6; python_version < "3.11"',
    "opencv-python-headless==5.0.0.93",
)
ONNX_RUNTIME = (
    'onnxruntime==1.31.1; python_version >= "3.11"',
    'onnxruntime==1.23.2; python_version < "3.11"',
)
CUDA = {
    12: ("cuda-bindings==12.9.10",),
    13: ('cuda-bindings==13.5.0; python_version >= "3.11"', 'cuda-bindings==13.4.4; python_version < "3.11"'),
}
"""By the major version of CUDA, which the driver has to have and the plugin library was compiled with."""

DRIVERS = {12: "525", 13: "580"}
"""The first driver for Linux of each CUDA (the CUDA Toolkit's release notes, "CUDA Driver")."""

_JETSON = ("7.2", "8.7")
"""The compute capabilities of Xavier and Orin; no other GPU has them."""


def is_jetson(build: BuildInputs) -> bool:
    """Whether the engine is for a Jetson, where TensorRT comes with JetPack and not from a package index."""
    return build.compute_capability in _JETSON


def requirements(build: BuildInputs | None, cuda: int, *, with_onnx: bool) -> str:
    """The text of requirements.txt.

    Args:
        build: what the engine was built from; None for a package without an engine.
        cuda: version of CUDA of the plugin library, for example 13000; of no meaning without an engine.
        with_onnx: whether ONNX Runtime is needed.

    Raises:
        EngineError: no packages are known for that CUDA.
    """
    lines = [*RUNTIME]
    if with_onnx:
        lines += ONNX_RUNTIME
    if build is not None:
        major = cuda // 1000
        if major not in CUDA:
            known = " and ".join(map(str, CUDA))
            raise EngineError(
                f"The plugin library was compiled with CUDA {major}, but the packages for the device are known for "
                f"CUDA {known}. Run `make plugins` with one of these (CUDACXX names the compiler)."
            )
        lines += CUDA[major]
        if is_jetson(build):
            lines.append(f"# {FLAVOR_NAMES[build.flavor]} {build.tensorrt_version} comes with JetPack.")
        else:
            edition = f"{build.flavor}-lean" if build.version_compatible else build.flavor
            lines.append(f"{edition}-cu{major}=={build.tensorrt_version}")
    return "\n".join(lines) + "\n"
