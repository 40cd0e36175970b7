"""`maskrt engine`: an exported ONNX file becomes a TensorRT engine for a named GPU."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import INTERRUPTED, run_verb
from maskrt.engines.build import build_engine, check_flavor_options, default_output
from maskrt.engines.flavors import AUTO, FLAVORS, choose_flavor
from maskrt.engines.gpu import local_gpu
from maskrt.engines.onnx_model import read_onnx_model
from maskrt.engines.profile import parse_canvas
from maskrt.engines.summary import describe
from maskrt.engines.targets import LOCAL, check_precision, find_target, target_names
from maskrt.errors import ArgumentError, DependencyError

EXTRA = "maskrt[engines]"
INTERRUPTED_NOTE = "no half-written engine is left"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "model", nargs="?", type=Path, default=Path("model.onnx"), help="ONNX file (default: %(default)s)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--target", default=LOCAL, metavar="GPU", help=f"one of {', '.join(target_names())} (default: %(default)s)"
    )
    which.add_argument("--all-targets", action="store_true", help="every target that this machine can build for")
    parser.add_argument(
        "--output", type=Path, help="engine file, or the folder with --all-targets (default: beside the model)"
    )
    parser.add_argument(
        "--flavor",
        choices=(AUTO, *FLAVORS),
        default=AUTO,
        help="tensorrt builds on the target GPU itself, tensorrt-rtx on any machine (default: %(default)s)",
    )
    canvas = "BATCHxHEIGHTxWIDTH"
    parser.add_argument("--min", metavar=canvas, help="smallest canvas (default: all that the resize policy makes)")
    parser.add_argument("--opt", metavar=canvas, help="the canvas to be fastest at (default: one landscape image)")
    parser.add_argument("--max", metavar=canvas, help="largest canvas (default: the target's batch)")
    parser.add_argument(
        "--workspace", type=int, metavar="MIB", help="scratch memory of a layer (default: the target's)"
    )
    parser.add_argument(
        "--version-compatible", action="store_true", help="for TensorRT's lean and dispatch runtimes (TensorRT only)"
    )
    parser.add_argument(
        "--timing-cache", type=Path, metavar="FILE", help="TensorRT's timing cache (default: beside the engine)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Builds; returns the exit code. Raises MaskrtError where something the user gave does not work."""
    if arguments.all_targets:
        return _build_all(arguments)
    result = build_engine(
        arguments.model,
        arguments.target,
        arguments.output,
        flavor=arguments.flavor,
        minimum=None if arguments.min is None else parse_canvas(arguments.min),
        optimum=None if arguments.opt is None else parse_canvas(arguments.opt),
        maximum=None if arguments.max is None else parse_canvas(arguments.max),
        workspace_mib=arguments.workspace,
        timing_cache=arguments.timing_cache,
        version_compatible=arguments.version_compatible,
    )
    print(describe(result))
    return 0


def _build_all(arguments: argparse.Namespace) -> int:
    """Each target in a process of its own: one process has one TensorRT, and one build's end is not the others'."""
    folder = arguments.output
    if folder is not None and not folder.is_dir():
        raise ArgumentError(f"With --all-targets, --output is a folder, but there is no folder {folder}.")
    given = {name: getattr(arguments, name) for name in ("flavor", "min", "opt", "max", "workspace", "timing_cache")}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]
    options += ["--version-compatible"] * arguments.version_compatible
    gpu = local_gpu()
    precision = read_onnx_model(arguments.model).metadata.precision
    built: list[str] = []
    failed: list[str] = []
    skipped = []
    for name in target_names():
        try:
            target = find_target(name, gpu)
            check_precision(target, precision)
            flavor = choose_flavor(target, precision, arguments.flavor, gpu)
            check_flavor_options(flavor, arguments.timing_cache, arguments.version_compatible)
        except (ArgumentError, DependencyError) as error:
            skipped.append(f"{name}: {error}")
            continue
        output = default_output(arguments.model, name)
        command = [sys.executable, "-m", "maskrt.engines", str(arguments.model), f"--target={name}", *options]
        if folder is not None:
            output = folder / output.name
        status = subprocess.run([*command, f"--output={output}"], check=False).returncode
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        (failed if status else built).append(name)
    for line in skipped:
        print(f"skipped {line}")
    print(f"engines: {', '.join(built) or 'none'}")
    if failed:
        print(f"maskrt engine: failed for {', '.join(failed)}", file=sys.stderr)
    return 2 if failed or not built else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt engine`; returns the exit code."""
    return run_verb("maskrt engine", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
