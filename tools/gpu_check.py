"""What only a GPU can show, in one command: `make gpu-check`, `python -m maskrt.tools.gpu_check`.

Builds the plugins for this machine's GPU, runs all tests that are marked `gpu`, and the kernel benchmarks, and writes
one JSON file. Needs torch and torchvision with CUDA, ONNX, OpenCV, nvcc, CMake and pytest; TensorRT's headers are
optional.
"""

from __future__ import annotations

import argparse
import ast
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
MARK = "pytest.mark.gpu"


def missing_gpu() -> str | None:
    """Say why nothing can be checked here, or None."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
        return "torch and torchvision are needed to drive the GPU, and are not installed"
    import torch

    if not torch.cuda.is_available():
        return "torch sees no NVIDIA GPU on this machine"
    return None


def describe_machine() -> dict[str, Any]:
    """Describe the GPU and the software that drives it."""
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
    """Find the files with tests that are marked `gpu`, themselves or by a parameter of a shared fixture.

    The files are read and not imported: those of other tests import packages that a GPU machine may lack.
    """
    found = set()
    for folder in {file.parent for file in TESTS.rglob("test_*.py")}:
        conftests = [above / "conftest.py" for above in (folder, *folder.parents) if above.is_relative_to(TESTS)]
        fixtures = set().union(*(_marked_functions(file) for file in conftests if file.is_file()))
        found |= {file for file in folder.glob("test_*.py") if _has_gpu_tests(file, fixtures)}
    return sorted(found)


def _marked_functions(file: Path) -> set[str]:
    """Name the functions of a file that have the mark `gpu` in a decorator."""
    functions = (node for node in ast.walk(_parse(file)) if isinstance(node, ast.FunctionDef))
    return {function.name for function in functions if any(map(_is_marked, function.decorator_list))}


def _has_gpu_tests(file: Path, fixtures: set[str]) -> bool:
    """Tell whether a file of tests has the mark `gpu` in it, or takes one of the fixtures that are marked so."""
    tree = _parse(file)
    return _is_marked(tree) or any(isinstance(node, ast.arg) and node.arg in fixtures for node in ast.walk(tree))


def _is_marked(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Attribute) and ast.unparse(node) == MARK for node in ast.walk(tree))


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def run_tests(environment: dict[str, str]) -> dict[str, Any]:
    """Run the tests marked `gpu`, their output shown as it comes, and return pytest's exit status and last line.

    A file that cannot be imported counts as failed; the others are run all the same.
    """
    options = ("-m", "gpu", "-v", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    command = [sys.executable, "-m", "pytest", *options, *map(str, gpu_tests())]
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
    """Run the command line and return 0 when all tests passed, 3 where there is no GPU, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m maskrt.tools.gpu_check", description=__doc__)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=REPOSITORY / "out" / "gpu-check",
        metavar="FOLDER",
        help="(default: out/gpu-check)",
    )
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
    """Return the first line that a command prints, or None where it is missing or fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    lines = result.stdout.strip().splitlines()
    return lines[0] if result.returncode == 0 and lines else None


if __name__ == "__main__":
    sys.exit(main())
