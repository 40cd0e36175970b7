"""Compiling the libraries with CMake: `make plugins`, `python -m maskrt.plugins.build`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import maskrt
from maskrt.options import positive
from maskrt.plugins import libraries

SOURCE_DIRECTORY = Path(__file__).resolve().parent


class BuildError(RuntimeError):
    """The build failed; the message holds the tool's own words."""


def build(
    output: Path | None = None,
    *,
    architectures: str | None = None,
    host_only: bool = False,
    tensorrt: str = "ON",
    jobs: int | None = None,
) -> Path:
    """Configure and compile into a folder, and return it.

    Args:
        output: the build folder, where the libraries come to lie; by default the one the loader looks in.
        architectures: for CMAKE_CUDA_ARCHITECTURES, e.g. "89" or "86;90"; by default all supported, and PTX.
        host_only: only libmaskrt_host.so, which needs no CUDA.
        tensorrt: "ON", or "AUTO" to build the kernels alone where no TensorRT headers are found.
        jobs: parallel compilations; by default the number of CPU cores.

    Raises:
        BuildError: CMake is missing or a step failed.
    """
    cmake = shutil.which("cmake")
    if cmake is None:
        raise BuildError("cmake was not found. Install it (apt-get install cmake, or pip install cmake).")
    output = libraries.directory() if output is None else output
    configure = [
        cmake,
        "-S",
        str(SOURCE_DIRECTORY),
        "-B",
        str(output),
        f"-DMASKRT_VERSION={maskrt.__version__}",
        f"-DMASKRT_HOST_ONLY={'ON' if host_only else 'OFF'}",
        f"-DMASKRT_TENSORRT={tensorrt}",
        f"-DMASKRT_PYTHON={sys.executable}",
    ]
    if architectures is not None:
        configure.append(f"-DCMAKE_CUDA_ARCHITECTURES={architectures}")
    else:
        configure.append("-UCMAKE_CUDA_ARCHITECTURES")  # those that an earlier build in this folder was given
    _run(configure)
    _run([cmake, "--build", str(output), "--parallel", str(jobs or os.cpu_count() or 1)])
    return output


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise BuildError(f"{' '.join(command)} failed:\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m maskrt.plugins.build", description=__doc__)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help=f"build folder (default: {libraries.DEFAULT_DIRECTORY})"
    )
    parser.add_argument("--architectures", help='GPU architectures, e.g. "89" or "86;90" (default: all, and PTX)')
    parser.add_argument("--host-only", action="store_true", help="only libmaskrt_host.so, which needs no CUDA")
    parser.add_argument("--jobs", type=positive, metavar="N", help="parallel compilations (default: all cores)")
    options = parser.parse_args(arguments)
    output = options.output or libraries.directory()
    print(
        f"compiling into {output}" + ("" if options.host_only else ", which takes minutes"), file=sys.stderr, flush=True
    )
    try:
        build(
            output,
            architectures=options.architectures,
            host_only=options.host_only,
            jobs=options.jobs,
        )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    compiled = (libraries.PLUGINS, libraries.RTX_SHIM, libraries.AUTOLOAD, libraries.HOST)
    for name in (libraries.HOST,) if options.host_only else compiled:
        print(output / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
