"""What goes with the models of a repository: the script that starts Triton, a compose file, and a README."""

from __future__ import annotations

from dataclasses import dataclass

import maskrt
from maskrt.contract.manifest import BuildInputs
from maskrt.contract.serving import IMAGE, PIXELS
from maskrt.contract.tensors import NMS_THRESHOLD, SCORE_THRESHOLD
from maskrt.engines.package.checksums import CHECKSUMS
from maskrt.engines.package.triton.config import Serving
from maskrt.plugins import libraries
from maskrt.runtime.triton.names import ENGINE, MODEL

IMAGE_VARIABLE = "TRITON_IMAGE"
DEFAULT_IMAGE = "nvcr.io/nvidia/tritonserver:25.10-py3"
"""Images before 24.12 have a Python backend that takes no NumPy 2."""

_SHARED_MEMORY = "1g"
"""Through it go the tensors between Triton and its Python models; Docker's own 64 MB are soon full."""

_SCRIPT = """\
#!/bin/sh
# Starts Triton on this repository, in a container of a Triton image. What the Python model needs is installed first.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --root-user-action=ignore \\
    -r "$here/requirements.txt" "$here/{wheel}"
exec tritonserver --model-repository="$here/models"{plugins} "$@"
"""

_COMPOSE = """\
services:
  triton:
    image: {image}
    command: ["sh", "/maskrt/start.sh"]
    volumes: [".:/maskrt:ro"]
    ports: ["127.0.0.1:8000:8000", "127.0.0.1:8001:8001", "127.0.0.1:8002:8002"]
    shm_size: {shared_memory}
    stop_grace_period: 40s
    healthcheck:
      test: ["CMD", "curl", "-sf", "localhost:8000/v2/health/ready"]
      interval: 5s
      start_period: 5m
"""

_GPU = """\
    deploy:
      resources:
        reservations:
          devices: [{driver: nvidia, count: all, capabilities: [gpu]}]
"""


@dataclass(frozen=True)
class Facts:
    """What is in a repository.

    Attributes:
        model: name of the model file.
        wheel: file name of the runtime's wheel.
        engine: one of `ENGINES`.
        serving: how the models are served.
        build: of the engine; None: an ONNX file.
    """

    model: str
    wheel: str
    engine: str
    serving: Serving
    build: BuildInputs | None


def start_script(wheel: str, plugins: bool) -> str:
    """Return the script; `plugins`: whether Triton's TensorRT backend has to open the plugin library."""
    option = f' --backend-config=tensorrt,plugins="$here/plugins/{libraries.AUTOLOAD}"' if plugins else ""
    return _SCRIPT.format(wheel=wheel, plugins=option)


def compose(facts: Facts) -> str:
    """Return the compose file."""
    if facts.engine == "tensorrt":
        assert facts.build is not None
        needed = f"${{{IMAGE_VARIABLE}:?set it to a Triton image with TensorRT {facts.build.builder_version}}}"
        return _COMPOSE.format(image=needed, shared_memory=_SHARED_MEMORY) + _GPU
    return _COMPOSE.format(image=f"${{{IMAGE_VARIABLE}:-{DEFAULT_IMAGE}}}", shared_memory=_SHARED_MEMORY)


def readme(facts: Facts) -> str:
    """Return the README."""
    return "\n".join(
        (
            f"# {facts.model} for Triton, with maskrt {maskrt.__version__}",
            "",
            *_needs(facts),
            "",
            f"    sha256sum --check --quiet {CHECKSUMS}",
            *_command(facts),
            "",
            f"or `docker compose up`. Port 8000 is HTTP, 8001 gRPC, 8002 `/metrics`; `{IMAGE_VARIABLE}` is the image.",
            "",
            *_models(facts),
            "",
            f"Clients ask `{MODEL}`: `{IMAGE}` holds picture files (JPEG, PNG, …), or `{PIXELS}` RGB arrays, and",
            f"`{SCORE_THRESHOLD}` and `{NMS_THRESHOLD}` are optional, one for each picture. Up to",
            f"{facts.serving.batch_size} pictures of several requests are run together. More: maskrt's docs/triton.md.",
            "",
        )
    )


def _needs(facts: Facts) -> tuple[str, ...]:
    if facts.engine == "tensorrt":
        build = facts.build
        assert build is not None
        return (
            f"For {build.target}, {build.precision}. Needs a Triton image with TensorRT {build.builder_version}, which",
            "NVIDIA's Frameworks Support Matrix names, and the GPU that the engine was built for.",
        )
    if facts.engine == "onnxruntime":
        return ("For any machine with Docker; runs on the GPU where the container has one (`--gpus all`).",)
    return ("For any machine with Docker; runs on the CPU.",)


def _command(facts: Facts) -> tuple[str, ...]:
    gpus, image = ("--gpus all ", f'"${IMAGE_VARIABLE}"') if facts.engine == "tensorrt" else ("", DEFAULT_IMAGE)
    return (
        f"    docker run --rm {gpus}--shm-size {_SHARED_MEMORY} -p 127.0.0.1:8000-8002:8000-8002 \\",
        f'        -v "$PWD":/maskrt:ro {image} sh /maskrt/start.sh',
    )


def _models(facts: Facts) -> tuple[str, ...]:
    if facts.engine == "none":
        return (f"`models/{MODEL}` is a Python model that runs {facts.model} itself.",)
    return (
        f"`models/{MODEL}` is a Python model that prepares pictures and finishes results; `models/{ENGINE}` runs the",
        f"network in Triton's {facts.engine} backend, and can be asked by itself, with canvases.",
    )
