"""Compiling the libraries with CMake: `make plugins`, `python -m maskrt.plugins.build`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import maskrt
from maskrt.command import run_command
from maskrt.options import positive
from maskrt.plugins import libraries
from maskrt.plugins.build_progress import BuildProgress

SOURCE_DIRECTORY = Path(__file__).resolve().parent

_COMPILED = (libraries.PLUGINS, libraries.RTX_SHIM, libraries.AUTOLOAD, libraries.HOST)
_SHOW_SECONDS = 0.5
_SAID = 8000  # characters of what a tool that failed has said


class BuildError(RuntimeError):
    """The build failed; the message holds the tool's own words."""


def build(
    output: Path | None = None,
    *,
    architectures: str | None = None,
    host_only: bool = False,
    tensorrt: str = "ON",
    jobs: int | None = None,
    stream: TextIO | None = None,
) -> Path:
    """Configure and compile into a folder, and return it.

    Args:
        output: the build folder, where the libraries come to lie; by default the one the loader looks in.
        architectures: for CMAKE_CUDA_ARCHITECTURES, e.g. "89" or "86;90"; by default all supported, and PTX.
        host_only: only libmaskrt_host.so, which needs no CUDA.
        tensorrt: "ON", or "AUTO" to build the kernels alone where no TensorRT headers are found.
        jobs: parallel compilations; by default the number of CPU cores.
        stream: where the progress is shown; by default nowhere.

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
    progress = None if stream is None else BuildProgress(stream)
    try:
        _run(configure, progress)
        _run([cmake, "--build", str(output), "--parallel", str(jobs or os.cpu_count() or 1)], progress)
    finally:
        if progress is not None:
            progress.close()
    return output


def _run(command: list[str], progress: BuildProgress | None) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        reader = threading.Thread(target=_read, args=(process, lines, progress), daemon=True)
        reader.start()
        try:
            while reader.is_alive():  # until all that the tool started has closed its output
                reader.join(_SHOW_SECONDS)
                if progress is not None:
                    progress.show()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BuildError(f"{' '.join(command)} failed:\n{''.join(lines)[-_SAID:]}")


def _read(process: subprocess.Popen[str], lines: list[str], progress: BuildProgress | None) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if progress is not None:
            progress.take(line)


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

    def work() -> int:
        try:
            build(
                output,
                architectures=options.architectures,
                host_only=options.host_only,
                jobs=options.jobs,
                stream=sys.stderr,
            )
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
        for name in (libraries.HOST,) if options.host_only else _COMPILED:
            print(output / name)
        return 0

    minutes = "" if options.host_only else ", which takes minutes"
    print(f"compiling into {output}{minutes}", file=sys.stderr, flush=True)
    return run_command("maskrt.plugins.build", work, interrupted="the next build goes on from there")


if __name__ == "__main__":
    sys.exit(main())
