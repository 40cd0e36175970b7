"""What only a GPU can show, in one command: `make gpu-check`, `python -m maskrt.tools.gpu_check`.

Builds the plugins for this machine's GPU, runs the tests of plugins and runtime that are marked `gpu`, and the kernel
benchmarks, and writes one JSON file. Needs torch and torchvision with CUDA, ONNX, nvcc, CMake and pytest; TensorRT's
headers are optional.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import maskrt
from maskrt.plugins import build, libraries

NO_GPU = 3
REPOSITORY = Path(__file__).resolve().parents[1]
TESTS = REPOSITORY / "tests"


def missing_gpu() -> str | None:
    """Why nothing can be checked here, or None."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
        return "torch and torchvision are needed to drive the GPU, and are not installed"
    import torch

    if not torch.cuda.is_available():
        return "torch sees no NVIDIA GPU on this machine"
    return None


def describe_machine() -> dict[str, Any]:
    """The GPU and the software that drives it."""
    import torch
    import torchvision

    major, minor = torch.cuda.get_device_capability()
    return {
        "device": torch.cuda.get_device_name(),
        "compute_capability": f"{major}.{minor}",
        "multiprocessors": torch.cuda.get_device_properties(0).multi_processor_count,
        "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "maskrt": maskrt.__version__,
        "commit": _output("git", "-C", str(REPOSITORY), "rev-parse", "HEAD"),
    }


def gpu_tests() -> list[Path]:
    """What holds tests marked `gpu`. Other files of the runtime's tests import packages that a GPU machine may lack."""
    runtime = sorted((TESTS / "runtime").rglob("test_*.py"))
    return [TESTS / "plugins", *(file for file in runtime if "pytest.mark.gpu" in file.read_text(encoding="utf-8"))]


def run_tests(environment: dict[str, str]) -> dict[str, Any]:
    """The tests marked `gpu`, their output shown as it comes: pytest's exit status and last line."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "-p", "no:cacheprovider", *map(str, gpu_tests())]
    last = ""
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return {"exit_status": process.returncode, "summary": last}


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 0 when all tests passed, 3 where there is no GPU, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m maskrt.tools.gpu_check", description=__doc__)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "out" / "gpu-check", help="default: out/gpu-check")
    options = parser.parse_args(arguments)
    reason = missing_gpu()
    if reason is not None:
        print(f"gpu-check needs an NVIDIA GPU: {reason}. Nothing was checked.", file=sys.stderr)
        return NO_GPU
    if not TESTS.is_dir():
        print(f"gpu-check runs from a checkout of the repository, but {TESTS} does not exist.", file=sys.stderr)
        return 1

    output = options.output.resolve()
    machine = describe_machine()
    print(f"{machine['device']}, compute capability {machine['compute_capability']}: building the plugins", flush=True)
    architecture = machine["compute_capability"].replace(".", "")
    try:
        folder = build.build(output / "build", architectures=f"{architecture}-real", tensorrt="AUTO")
    except build.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    os.environ[libraries.DIRECTORY_VARIABLE] = str(folder)
    source = str(REPOSITORY / "src")
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    print("running the GPU tests", flush=True)
    tests = run_tests({**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"})
    results: dict[str, Any] = {**machine, "tests": tests}
    target = output / f"{machine['device'].replace(' ', '-').replace('/', '-')}.json"
    target.write_text(json.dumps(results, indent=2) + "\n")  # kept, should the benchmarks fail
    print("running the benchmarks", flush=True)
    from maskrt.tools.kernel_benchmark import kernels

    results["benchmarks"] = kernels.run()
    target.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results["benchmarks"], indent=2))
    print(f"{tests['summary']}\n{target}")
    return 0 if tests["exit_status"] == 0 else 1


def _output(*command: str) -> str | None:
    """The first line that a command prints, or None where it is missing or fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    lines = result.stdout.strip().splitlines()
    return lines[0] if result.returncode == 0 and lines else None


if __name__ == "__main__":
    sys.exit(main())
