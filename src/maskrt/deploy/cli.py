"""`maskrt deploy`: from a source model to the archive for its device, in one command that goes on where it stopped.

    maskrt deploy model_final.pth --config config.yaml --target l4 --precision int8 --images photos/

It exports, quantizes where another precision than fp32 is asked for, compares the file with the source model on the
images (without --images the export's own comparison is all), compiles the plugins where there are none, builds the
engine and packs it: `maskrt export`, `quantize`, `compare`, `engine` and `package`, one behind the other, in one
folder. Where a step fails or is interrupted, the same command goes on from there; a step whose files or options
have changed is done again, and so is what comes from it. A source that is Python code (package.module:factory) is
not looked into: after a change there, remove the folder.

Exit code: 0 the archive is written, 1 the file is not within its budget, 2 a step failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import maskrt
from maskrt.command import INTERRUPTED, USAGE, run_verb
from maskrt.contract.precision import PRECISIONS, SOURCE_PRECISION
from maskrt.deploy.journal import FILE, Journal
from maskrt.deploy.plan import Request, Step, plan
from maskrt.engines.gpu import local_gpu
from maskrt.engines.targets import LOCAL
from maskrt.errors import ArgumentError
from maskrt.options import (
    add_images_option,
    add_output_option,
    add_source_options,
    fraction,
    named_path,
    source_options,
)
from maskrt.terminal import say

EXTRA = "maskrt[export,quantize,evaluate,engines,cpu]"
INTERRUPTED_NOTE = "what is finished stays, and the same command goes on from there"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_source_options(parser, positional=True)
    parser.add_argument(
        "--target", default=LOCAL, metavar="NAME", help="as `maskrt targets` lists them (default: %(default)s)"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default=SOURCE_PRECISION, help="(default: %(default)s)")
    add_images_option(parser, what="images like those that the model will see, to calibrate and compare with")
    parser.add_argument("--dataset", type=named_path, metavar="JSON", help="COCO annotations: AP before and after")
    parser.add_argument("--max-ap-drop", type=fraction, metavar="D", help="that quantizing may cost, with --dataset")
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="[PRECISION:]NAME=VALUE",
        help="what the file may differ by, as for `maskrt compare`",
    )
    add_output_option(parser, Path("out/deploy"), "folder for all that is made")


def run(options: argparse.Namespace) -> int:
    """Take the steps that are not done yet; return the exit code.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    source = source_options(options)
    assert source is not None  # argparse asks for it
    request = Request(
        source=source,
        target=options.target,
        precision=options.precision,
        folder=options.output,
        images=tuple(options.images or ()),
        dataset=options.dataset,
        max_ap_drop=options.max_ap_drop,
        budgets=tuple(options.budget),
    )
    steps = plan(request, local_gpu())
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
        return _take(steps, Journal(request.folder))
    except OSError as error:
        raise ArgumentError(f"Cannot write to {request.folder}: {error.strerror or error}.") from None


def _take(steps: Sequence[Step], journal: Journal) -> int:
    """Take each step that is not done; the exit code."""
    for number, step in enumerate(steps, start=1):
        title = f"{number}/{len(steps)} {step.name}"
        if journal.is_done(step):
            say(f"{title}: done before, as {FILE} says")
            continue
        say(f"{title}: {shlex.join(['python', '-m', *step.words])}")
        code = run_step(step)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code == 0:
            journal.add(step)
            continue
        if code == step.code_of_verdict:
            say(f"maskrt deploy: stopped after {title}, whose verdict is above. {step.advice}", file=sys.stderr)
            return code
        say(f"maskrt deploy: {title} failed, see above. The same command goes on from there.", file=sys.stderr)
        return USAGE
    (archive,) = steps[-1].outputs
    say(f"Done: {archive}")
    return 0


def run_step(step: Step) -> int:
    """Run a step in a process of its own, which an interruption ends as Ctrl-C does; return its exit code.

    It has a session of its own, so that a Ctrl-C of the terminal reaches it once: handed on by this process.
    """
    package = str(Path(maskrt.__file__).resolve().parents[1])
    path = os.pathsep.join((package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))))
    command = [sys.executable, "-m", *step.words]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt deploy`; return the exit code."""
    return run_verb("maskrt deploy", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
