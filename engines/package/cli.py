"""`maskrt package`: an engine becomes one archive that installs and runs on its device, without this repository.

    maskrt package model.rtx4090.engine --onnx model.onnx --output rtx4090.tar.gz

In the archive: the engine and its manifest, the plugin libraries that it needs, a wheel of the runtime, the
requirements in pinned versions, checksums, and a README with the commands. An .onnx file alone makes a package for ONNX
Runtime on the CPU. The same files give the same archive, byte for byte.

    maskrt package model.onnx --format triton

writes model.triton/, a model repository for the Triton Inference Server, with the command that starts it in a README.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import shlex
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskrt.command import run_verb
from maskrt.engines.builders.registry import BUILDERS
from maskrt.engines.files import write_together
from maskrt.engines.package.checksums import CHECKSUMS, checksums
from maskrt.engines.package.contents import Contents, engine_contents, onnx_contents
from maskrt.engines.package.readme import readme
from maskrt.engines.package.triton.repository import ENGINES, TritonOptions, make_repository
from maskrt.engines.package.wheel import runtime_wheel
from maskrt.errors import ArgumentError
from maskrt.files import check_writable, remove_stale
from maskrt.options import add_output_option, named_path, picture_size, positive
from maskrt.terminal import printable, say

EXTRA = "maskrt[engines]"
INTERRUPTED_NOTE = "no half-written package is left"

FORMATS = ("archive", "triton")
SUFFIX = ".tar.gz"
_EARLIEST = 315532800  # 1980-01-01 UTC: tar warns of earlier times
_LEVEL = 1  # weights hardly shrink: a higher level takes three times as long for 2 %


@dataclass(frozen=True)
class Package:
    """An archive that was written: its path, and the size in bytes of each file in it, by name."""

    path: Path
    files: Mapping[str, int]


def default_output(model: Path) -> Path:
    """Where a package is written by default: beside the model."""
    return model.with_name(model.name.removesuffix(model.suffix) + SUFFIX)


def make_package(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    onnx: str | os.PathLike[str] | None = None,
) -> Package:
    """Write the package of an engine, or of an ONNX file alone.

    Args:
        model: the engine, its manifest beside it, or an .onnx file that maskrt exported.
        output: the archive, .tar.gz; by default beside the model.
        onnx: the ONNX file that the engine was built from, to be packed as well: it runs where there is no GPU.

    Raises:
        ArgumentError: a file has not the ending that says what it is.
        ModelError: a file is missing, damaged, or does not belong to the others.
        EngineError: what the engine needs is missing or does not fit, or the archive cannot be written.
        DependencyError: maskrt is not installed.
    """
    model = Path(model)
    check_model_name(model)
    for path in (model, *([] if output is None else [Path(output)])):
        if printable(path.name) != path.name:  # the README of the package has it in its commands
            raise ArgumentError(f"{path}: its name has control characters or bytes that are no text. Rename it.")
    output = default_output(model) if output is None else Path(output)
    if not output.name.removesuffix(SUFFIX) or not output.name.endswith(SUFFIX):
        raise ArgumentError(f"The package {output} must have a name and end in {SUFFIX}.")
    if model.suffix != ".onnx":
        contents = engine_contents(model, None if onnx is None else Path(onnx))
    elif onnx is not None:
        raise ArgumentError(f"--onnx goes with an engine, but {model} is an ONNX file already.")
    else:
        contents = onnx_contents(model)
    check_writable(output, [model, *([] if onnx is None else [Path(onnx)])])
    remove_stale(output.parent)
    folder = output.name.removesuffix(SUFFIX)
    files = {f"{folder}/{path}": content for path, content in _files(contents).items()}
    write_together({output: archive(files)})
    return Package(output, {name: len(content) for name, content in sorted(files.items())})


def check_model_name(model: Path) -> None:
    """Check the ending that says what a model file is.

    Raises:
        ArgumentError: it has another one.
    """
    endings = (".onnx", *dict.fromkeys(builder.suffix for builder in BUILDERS.values()))
    if not model.name.endswith(endings):
        raise ArgumentError(f"{model}: expected a file that ends in {', '.join(endings[:-1])} or {endings[-1]}.")


def _files(contents: Contents) -> dict[str, bytes]:
    """Every file of the archive, by its path inside of its folder."""
    wheel, wheel_content = runtime_wheel(contents.needs.plugins)
    files = {
        **contents.models,
        **{f"plugins/{path}": content for path, content in contents.needs.plugins.items()},
        wheel: wheel_content,
        "requirements.txt": contents.requirements.encode(),
        "README.md": readme(contents, wheel).encode(),
    }
    return {**files, CHECKSUMS: checksums(files)}


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a .tar.gz file of these files: the same bytes for the same files, whoever packs them when and where."""
    stream = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=_LEVEL, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime, entry.mode = len(content), _EARLIEST, 0o644
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def describe(package: Package) -> list[str]:
    """Return the lines that the user reads after packing: the files with their sizes, and how to go on."""
    folder = package.path.name.removesuffix(SUFFIX)
    return [
        *_sizes(package.path, package.path.stat().st_size, package.files),
        f"On the device: tar xf {shlex.quote(package.path.name)}, then as {folder}/README.md says.",
    ]


def _sizes(path: Path, size: int, files: Mapping[str, int]) -> list[str]:
    return [f"{path}: {size / 1e6:.1f} MB", *(f"  {part / 1e6:8.2f} MB  {name}" for name, part in files.items())]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("model", type=named_path, metavar="MODEL", help="the engine, or an .onnx file")
    add_output_option(parser, None, f"archive, {SUFFIX}, or folder for Triton (default: beside the model)")
    parser.add_argument(
        "--format", choices=FORMATS, default="archive", help="what for: a device, or Triton (default: %(default)s)"
    )
    parser.add_argument(
        "--onnx",
        type=named_path,
        metavar="FILE",
        help="pack the ONNX file as well, to run where there is no GPU",
    )
    group = parser.add_argument_group("with --format triton")
    group.add_argument(
        "--triton-engine",
        choices=ENGINES,
        help="what runs the file: the Python model (none), or a model in this backend of Triton's (default: tensorrt "
        "for an engine of TensorRT, else none)",
    )
    group.add_argument(
        "--batch-size", type=positive, metavar="N", help="pictures in a run at the most (default: 8, or the engine's)"
    )
    group.add_argument(
        "--instances",
        type=positive,
        metavar="N",
        help="processes of the Python model (default: 2 in front of a backend, else 1)",
    )
    group.add_argument(
        "--warm-up",
        type=picture_size,
        nargs="+",
        metavar="HEIGHTxWIDTH",
        help="sizes of pictures to be ready for before the first request (default: 480x640)",
    )


def run(options: argparse.Namespace) -> int:
    """Make the package and say what is in it.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    triton = TritonOptions(
        options.triton_engine,
        options.batch_size,
        options.instances,
        None if options.warm_up is None else tuple(options.warm_up),
    )
    if options.format == "archive":
        if triton != TritonOptions():
            given = next(name for name, value in vars(triton).items() if value is not None)
            name = "triton-engine" if given == "engine" else given.replace("_", "-")
            raise ArgumentError(f"--{name} goes with --format triton.")
        say(*describe(make_package(options.model, options.output, onnx=options.onnx)))
        return 0
    if options.onnx is not None:
        raise ArgumentError("--onnx goes with --format archive: a repository for Triton serves one file.")
    check_model_name(options.model)
    folder, files = make_repository(options.model, options.output, triton)
    say(*_sizes(folder, sum(files.values()), files), f"To start it: as {folder / 'README.md'} says.")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt package`; return the exit code."""
    return run_verb("maskrt package", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
