"""The README of an edge package: what is in it, and the commands that install and run it."""

from __future__ import annotations

import shlex
import sysconfig
from collections.abc import Sequence

import maskrt
from maskrt.contract.manifest import FLAVOR_NAMES, BuildInputs
from maskrt.engines.package.requirements import DRIVERS, is_jetson
from maskrt.engines.profile import format_canvas


def readme(models: Sequence[str], wheel: str, build: BuildInputs | None, cuda: int) -> str:
    """The text.

    Args:
        models: names of the model files; what `maskrt infer` opens comes first.
        wheel: file name of the runtime's wheel.
        build: what the engine was built from, if there is one.
        cuda: the version of CUDA of the plugin library, for example 13000.
    """
    system_packages = " --system-site-packages" if build is not None and is_jetson(build) else ""
    lines = [
        f"# {models[0]}, with maskrt {maskrt.__version__}",
        "",
        *_needs(build, cuda),
        "",
        "    sha256sum --check --quiet SHA256SUMS",
        f"    python3 -m venv{system_packages} env && . env/bin/activate",
        "    pip install -r requirements.txt",
        f"    pip install ./{wheel}",
        f"    maskrt infer {shlex.quote(models[0])} photos/ --output out",
    ]
    if build is not None:
        lines += ["", *_notes(models)]
    return "\n".join(lines) + "\n"


def _needs(build: BuildInputs | None, cuda: int) -> list[str]:
    if build is None:
        return ["For any machine with Python 3.10 or newer; runs on the CPU, in ONNX Runtime."]
    title = f"{FLAVOR_NAMES[build.flavor]} {build.tensorrt_version}"
    if is_jetson(build):
        needs = f"JetPack with {title}"
    else:
        driver = f"a driver for CUDA {cuda // 1000} ({DRIVERS[cuda // 1000]} or newer)"
        needs = f"{title}, {sysconfig.get_platform()}, {driver}"
    return [
        f"For {build.target} (compute capability {build.compute_capability}), {build.precision}.",
        f"Needs {needs}, Python 3.10 or newer.",
        f"Canvases (batch x height x width): {format_canvas(build.profile.min)} to {format_canvas(build.profile.max)}.",
    ]


def _notes(models: Sequence[str]) -> list[str]:
    notes = ["`plugins/` is for trtexec, Triton and programs of your own; maskrt has the same libraries in its wheel."]
    if models[-1].endswith(".onnx"):
        notes.append(
            f"Without a GPU, `maskrt infer {shlex.quote(models[-1])} photos/` gives the same instances on the CPU."
        )
    return notes
