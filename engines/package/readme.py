"""The README of an edge package: what is in it, and the commands that install and run it."""

from __future__ import annotations

import shlex

import maskrt
from maskrt.engines.package.contents import Contents


def readme(contents: Contents, wheel: str) -> str:
    """Return the text.

    Args:
        contents: what is in the package.
        wheel: file name of the runtime's wheel.
    """
    model = next(iter(contents.models))
    system_packages = " --system-site-packages" if contents.needs.system_packages else ""
    lines = [
        f"# {model}, with maskrt {maskrt.__version__}",
        "",
        *contents.needs.readme,
        "",
        "    sha256sum --check --quiet SHA256SUMS",
        f"    python3 -m venv{system_packages} env && . env/bin/activate",
        "    pip install -r requirements.txt",
        f"    pip install ./{wheel}",
        f"    maskrt infer {shlex.quote(model)} --images photos/ --output out",
    ]
    notes = []
    if contents.needs.plugins:
        notes.append(
            "`plugins/` is for trtexec, Triton and programs of your own; maskrt has the same libraries in its wheel."
        )
    if contents.onnx is not None:
        command = f"maskrt infer {shlex.quote(contents.onnx)} --images photos/"
        notes.append(f"`{command}` gives the same instances in ONNX Runtime, on any CPU.")
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"
