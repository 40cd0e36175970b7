"""`maskrt engine`: an exported ONNX file becomes an engine for a named target.

The engine has the precision of the ONNX file. `maskrt targets` lists the targets.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import INTERRUPTED, USAGE, run_verb
from maskrt.contract.precision import PRECISIONS
from maskrt.engines.build import build_engine, check_file_precision, check_options, default_output
from maskrt.engines.builders.registry import BUILDERS, choose_builder
from maskrt.engines.builders.tensorrt.profile import format_canvas, parse_canvas
from maskrt.engines.gpu import local_gpu
from maskrt.engines.onnx_model import read_onnx_model
from maskrt.engines.request import AUTO, BuildOptions, BuildRequest
from maskrt.engines.summary import describe
from maskrt.engines.targets import LOCAL, check_precision, find_target, target_names
from maskrt.errors import ArgumentError, DependencyError
from maskrt.options import add_output_option, named_path
from maskrt.terminal import say

EXTRA = "maskrt[engines]"
INTERRUPTED_NOTE = "no half-written engine is left"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "model",
        nargs="?",
        type=named_path,
        default=Path("model.onnx"),
        metavar="MODEL",
        help="ONNX file (default: %(default)s)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--target", default=LOCAL, metavar="NAME", help=f"one of {', '.join(target_names())} (default: %(default)s)"
    )
    which.add_argument("--all-targets", action="store_true", help="every target that this machine can build for")
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="refuse an ONNX file of another one (default: whatever the file has)"
    )
    add_output_option(parser, None, "engine, or the folder with --all-targets (default: beside the model)")
    parser.add_argument(
        "--builder",
        choices=(AUTO, *BUILDERS),
        default=AUTO,
        help="tensorrt builds on the target GPU itself, the others on any machine (default: %(default)s)",
    )
    tensorrt = parser.add_argument_group("for TensorRT")
    canvas = "BATCHxHEIGHTxWIDTH"
    tensorrt.add_argument("--min", metavar=canvas, help="smallest canvas (default: all that the resize policy makes)")
    tensorrt.add_argument("--opt", metavar=canvas, help="the canvas to be fastest at (default: one landscape image)")
    tensorrt.add_argument("--max", metavar=canvas, help="largest canvas (default: the target's batch)")
    tensorrt.add_argument(
        "--workspace", type=int, metavar="MIB", help="scratch memory of a layer (default: the target's)"
    )
    tensorrt.add_argument("--version-compatible", action="store_true", help="for its lean and dispatch runtimes")
    tensorrt.add_argument("--timing-cache", type=named_path, metavar="FILE", help="(default: beside the engine)")


def run(options: argparse.Namespace) -> int:
    """Build; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    request = BuildRequest(
        onnx=options.model,
        target=options.target,
        output=options.output,
        precision=options.precision,
        builder=options.builder,
        options=BuildOptions(
            min=None if options.min is None else parse_canvas(options.min),
            opt=None if options.opt is None else parse_canvas(options.opt),
            max=None if options.max is None else parse_canvas(options.max),
            workspace=options.workspace,
            timing_cache=options.timing_cache,
            version_compatible=options.version_compatible,
        ),
    )
    if options.all_targets:
        return _build_all(request)
    say(*describe(build_engine(request)))
    return 0


def _build_all(request: BuildRequest) -> int:
    """Each target in a process of its own: one process has one TensorRT, and one build's end is not the others'."""
    folder = request.output
    if folder is not None and not folder.is_dir():
        raise ArgumentError(f"With --all-targets, --output is a folder, but there is no folder {folder}.")
    gpu = local_gpu()
    model = read_onnx_model(request.onnx)
    if request.precision is not None:
        check_file_precision(model, request.precision)
    precision = model.metadata.precision
    built: list[str] = []
    failed: list[str] = []
    skipped = []
    for name in target_names():
        try:
            target = find_target(name, gpu)
            check_precision(target, precision)
            builder = choose_builder(target, precision, request.builder, gpu)
            check_options(builder, request.options)
        except (ArgumentError, DependencyError) as error:
            skipped.append(f"{name}: {error}")
            continue
        output = default_output(request.onnx, name, builder)
        if folder is not None:
            output = folder / output.name
        command = [sys.executable, "-m", "maskrt.engines", str(request.onnx), f"--target={name}"]
        command += [f"--builder={request.builder}", *_words(request.options), f"--output={output}"]
        status = subprocess.run(command, check=False).returncode
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        (failed if status else built).append(name)
    say(*(f"skipped {line}" for line in skipped))
    say(f"engines: {', '.join(built) or 'none'}")
    if failed:
        say(f"maskrt engine: failed for {', '.join(failed)}", file=sys.stderr)
    return USAGE if failed or not built else 0


def _words(options: BuildOptions) -> list[str]:
    """Return the options as the command takes them."""
    words = []
    for name in options.given:
        value = getattr(options, name)
        word = f"--{name.replace('_', '-')}"
        words.append(word if value is True else f"{word}={format_canvas(value) if isinstance(value, tuple) else value}")
    return words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt engine`; return the exit code."""
    return run_verb("maskrt engine", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
