"""Each thing that is looked at, in a process of its own: `python -m maskrt.doctor.probes NAME` prints a `Finding`.

A library that ends the process, hangs, or writes to the terminal when it is imported does so there.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from types import ModuleType

from maskrt.command import documented_parser
from maskrt.doctor.finding import BROKEN, MISSING, OK, Finding
from maskrt.errors import DependencyError, MaskrtError

# y = Relu(x), of one number: as small a model as there is (ONNX opset 13).
_MODEL = (
    b'\x08\x08\x12\x00:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)


def _imported(name: str, remedy: str) -> ModuleType | Finding:
    """Import an optional module; a `Finding` where that fails."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return Finding(MISSING, "not installed", remedy)
        return Finding(BROKEN, f"cannot be imported: {error}", remedy)
    except Exception as error:
        return Finding(BROKEN, f"cannot be imported: {type(error).__name__}: {error}", remedy)


def onnxruntime() -> Finding:
    """Run a model in ONNX Runtime."""
    remedy = 'pip install "maskrt[cpu]"'
    module = _imported("onnxruntime", remedy)
    if isinstance(module, Finding):
        return module
    both = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if len(both) == 2:
        remove = f"pip uninstall --yes {' '.join(both)} && {remedy}"
        return Finding(BROKEN, "onnxruntime and onnxruntime-gpu are both installed, and own the same module", remove)
    try:
        import numpy as np

        session = module.InferenceSession(_MODEL, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"x": np.array([2], dtype=np.float32)})
        if found.tolist() != [2]:
            return Finding(BROKEN, f"Relu(2) is {found.tolist()}", f"{remedy} --force-reinstall")
        providers = [name.removesuffix("ExecutionProvider") for name in module.get_available_providers()]
        return Finding(OK, f"{module.__version__}, {', '.join(providers)}")
    except Exception as error:
        return Finding(BROKEN, f"runs no model: {type(error).__name__}: {error}", f"{remedy} --force-reinstall")


def openvino() -> Finding:
    """Run a model in OpenVINO."""
    remedy = 'pip install "maskrt[openvino]"'
    module = _imported("openvino", remedy)
    if isinstance(module, Finding):
        return module
    try:
        import numpy as np

        core = module.Core()
        compiled = core.compile_model(core.read_model(_MODEL, b""), "CPU")
        (found,) = compiled(np.array([2], dtype=np.float32)).values()
        if found.tolist() != [2]:
            return Finding(BROKEN, f"Relu(2) is {found.tolist()}", f"{remedy} --force-reinstall")
        return Finding(OK, f"{str(module.__version__).partition('-')[0]}, {', '.join(core.available_devices)}")
    except Exception as error:
        return Finding(BROKEN, f"runs no model: {type(error).__name__}: {error}", f"{remedy} --force-reinstall")


def _tensorrt(module: str, remedy: str) -> Finding:
    found = _imported(module, remedy)
    if isinstance(found, Finding):
        return found
    return Finding(OK, f"{getattr(found, '__version__', 'of an unknown version')}")


def tensorrt() -> Finding:
    """Import TensorRT, and its lean and dispatch runtimes where they are."""
    whole = _tensorrt("tensorrt", 'pip install "maskrt[tensorrt]" (on a Jetson, it comes with JetPack 6.1 or newer)')
    editions = ("lean", "dispatch")
    there = {name: _tensorrt(f"tensorrt_{name}", "") for name in editions}
    lean = ", ".join(f"{name} {found.detail}" for name, found in there.items() if found.state == OK)
    if whole.state == OK:
        number = tuple(int(part) for part in whole.detail.split(".")[:2] if part.isdecimal())
        if number < (10, 1):
            return Finding(BROKEN, f"{whole.detail} is too old: the plugins need 10.1 or newer", whole.remedy)
    return Finding(whole.state, f"{whole.detail}; {lean}" if lean else whole.detail, whole.remedy)


def tensorrt_rtx() -> Finding:
    """Import TensorRT-RTX."""
    return _tensorrt("tensorrt_rtx", "pip install tensorrt-rtx-cu13")


def gpu() -> Finding:
    """Open the GPU as engines do."""
    try:
        from maskrt.plugins.loader import cuda_version
        from maskrt.runtime.cuda.device import Gpu

        found = Gpu()
        _, count = found.cudart.cudaGetDeviceCount()
        driver = f"the driver supports CUDA {cuda_version(found.driver_version)}"
        return Finding(OK, f"{found.name}, compute capability {found.compute_capability}, {driver}; GPUs: {count}")
    except DependencyError as error:
        return Finding(MISSING, str(error))
    except MaskrtError as error:
        return Finding(BROKEN if _opens("libcuda.so.1") else MISSING, str(error))


def _opens(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def plugins() -> Finding:
    """Open the plugin library."""
    from maskrt.plugins import libraries
    from maskrt.plugins.loader import cuda_version, plugin_library

    try:
        found = plugin_library()
    except libraries.PluginLibraryError as error:
        return Finding(BROKEN if (libraries.directory() / libraries.PLUGINS).exists() else MISSING, str(error))
    headers = f"TensorRT {found.tensorrt_headers}" if found.tensorrt_headers else "no TensorRT headers: kernels alone"
    built = f"CUDA {cuda_version(found.cuda)}, {headers}, for {found.architectures}"
    if found.tensorrt_headers is None:
        remedy = "set TENSORRT_INCLUDE to the folder of NvInferRuntime.h, then: make plugins"
        return Finding(BROKEN, f"{found.path}: {built}", remedy)
    return Finding(OK, f"{found.path}: {built}")


def host_library() -> Finding:
    """Open the host build of the plugins."""
    from maskrt.plugins import libraries

    try:
        path = libraries.find(libraries.HOST)
        libraries.open_library(path)
    except libraries.PluginLibraryError as error:
        return Finding(BROKEN if (libraries.directory() / libraries.HOST).exists() else MISSING, str(error))
    return Finding(OK, str(path))


def compiler() -> Finding:
    """Look for what `make plugins` needs."""
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/local/cuda/bin"
    compilers = [os.environ.get("CXX") or "c++", os.environ.get("CUDACXX") or "nvcc", "cmake"]
    absent = [name for name in compilers if shutil.which(name, path=path) is None]
    if not absent:
        return Finding(OK, ", ".join(compilers))
    remedies = {"cmake": "pip install cmake", "nvcc": "install NVIDIA's CUDA toolkit, 11.7 or newer"}
    remedy = "; ".join(remedies.get(name, f"install {name}") for name in absent)
    return Finding(
        MISSING, f"no {', no '.join(absent)}: `make plugins` needs {'it' if len(absent) == 1 else 'them'}", remedy
    )


def torch() -> Finding:
    """Import PyTorch and torchvision, whose builds have to fit together."""
    remedy = "pip install torch torchvision"
    module = _imported("torch", remedy)
    if isinstance(module, Finding):
        return module
    vision = _imported("torchvision", remedy)
    if isinstance(vision, Finding):
        return Finding(vision.state, f"torchvision: {vision.detail}", vision.remedy)
    cuda = f"CUDA {module.version.cuda}" if module.version.cuda else "for the CPU"
    seen = "sees a GPU" if module.cuda.is_available() else "sees no GPU"
    return Finding(OK, f"{module.__version__} ({cuda}; {seen}), torchvision {vision.__version__}")


def targets() -> Finding:
    """Name what engines can be built for here."""
    try:
        listing = importlib.import_module("maskrt.engines.targets_cli")
        found = importlib.import_module("maskrt.engines.gpu").local_gpu()
    except ModuleNotFoundError as error:
        if error.name == "maskrt.engines":
            return Finding(MISSING, "not part of the runtime alone")
        raise
    built: dict[str, list[str]] = {}
    for row in listing.list_targets(found):
        for builder in row["builders"].values():
            if builder["here"]:
                built.setdefault(builder["title"], []).append(row["name"])
    if not built:
        return Finding(MISSING, "for no target; `maskrt targets --json` says why", "pip install tensorrt-rtx-cu13")
    return Finding(OK, "; ".join(f"by {title} for {', '.join(names)}" for title, names in built.items()))


def extras() -> Finding:
    """Compare what is installed with what maskrt says that each extra brings."""
    try:
        required = metadata.requires("maskrt") or []
    except metadata.PackageNotFoundError:
        return Finding(BROKEN, "maskrt is on the path, but not installed", 'pip install ".[cpu]"')
    absent: dict[str, list[str]] = {}
    for line in required:
        package, marker = re.match(r"[\w.-]+", line), re.search(r"extra == .(\w+)", line)
        packages = absent.setdefault(marker[1] if marker else "", [])
        if package and package[0] != "maskrt" and not _is_installed(package[0]):
            packages.append(package[0])
    if base := absent.pop("", []):
        return Finding(BROKEN, f"without {', '.join(base)}, which maskrt itself needs", f"pip install {' '.join(base)}")
    whole = [extra for extra, packages in absent.items() if not packages]
    for extra, other in (("cpu", "gpu"), ("gpu", "cpu")):  # they own the same module
        if extra in whole:
            absent.pop(other, None)
    lacking = [extra for extra, packages in absent.items() if packages]
    detail = f"whole: {', '.join(whole) or 'none'}"
    if not lacking:
        return Finding(OK, detail)
    reasons = "; ".join(f"{extra} lacks {', '.join(absent[extra])}" for extra in lacking)
    return Finding(OK if whole else MISSING, f"{detail}. {reasons}", f'pip install "maskrt[{",".join(lacking)}]"')


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


PROBES: dict[str, tuple[str, Callable[[], Finding]]] = {
    "ONNX Runtime": ("runs models", onnxruntime),
    "OpenVINO": ("runs models", openvino),
    "TensorRT": ("runs models", tensorrt),
    "TensorRT-RTX": ("runs models", tensorrt_rtx),
    "GPU": ("runs models", gpu),
    "plugin library": ("plugins", plugins),
    "host library": ("plugins", host_library),
    "compilers": ("plugins", compiler),
    "PyTorch": ("makes models", torch),
    "engines": ("makes models", targets),
    "extras": ("makes models", extras),
}
"""By the name that the answer gives it: the group that it stands in, and what looks at it."""


def main() -> int:
    """Print the finding of the probe that is named."""
    parser = documented_parser("python -m maskrt.doctor.probes", __doc__)
    parser.add_argument("name", metavar="NAME", choices=PROBES, help=", ".join(PROBES))
    _, look = PROBES[parser.parse_args().name]
    # What a library writes to the standard output, also from C++, is no part of the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        found = look()
    except Exception as error:
        found = Finding(BROKEN, f"{type(error).__name__}: {error}")
    with answer:
        json.dump(asdict(found), answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
