"""`maskrt <verb>`: from a trained Mask R-CNN to instances on the device.

Each verb is a module, imported when it is asked for: `maskrt --help` starts none of them.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NamedTuple

from maskrt import __version__
from maskrt.command import run_module


class _Verb(NamedTuple):
    module: str
    summary: str


VERBS = {
    "export": _Verb("maskrt.export.cli", "PyTorch model to one ONNX file, verified"),
    "quantize": _Verb("maskrt.calibration.cli", "FP32 to FP16, INT8 or FP8, with its cost measured"),
    "engine": _Verb("maskrt.engines.cli", "ONNX file to an engine for a named target"),
    "infer": _Verb("maskrt.runtime.infer", "instances in images and videos"),
    "serve": _Verb("maskrt.runtime.serving.cli", "a server for one machine, with a page to try a model"),
    "compare": _Verb("maskrt.evaluation.compare.cli", "model files against the PyTorch model, with a verdict"),
    "evaluate": _Verb("maskrt.evaluation.evaluate.cli", "COCO AP of model files and of the PyTorch model"),
    "bench": _Verb("maskrt.evaluation.bench.cli", "latency, throughput, memory beside PyTorch's"),
    "report": _Verb("maskrt.evaluation.report.cli", "all results on one page"),
    "targets": _Verb("maskrt.engines.targets_cli", "what engines can be built for, and by whom here"),
    "package": _Verb("maskrt.engines.package.cli", "engine and runtime in one archive for the device, or for Triton"),
    "deploy": _Verb(
        "maskrt.deploy.cli", "all of these, from the source model to the archive; goes on where it stopped"
    ),
    "doctor": _Verb("maskrt.doctor.cli", "what works here, what is missing, and what brings it"),
}
"""Each the same word as the make target."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt`; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="maskrt",
        description=(__doc__ or "").partition("\n")[0],
        epilog="\n".join(("verbs:", *(f"  {name:10} {verb.summary}" for name, verb in VERBS.items()))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="maskrt [--version] [--help] VERB ...",
    )
    parser.add_argument("--version", action="version", version=f"maskrt {__version__}")
    parser.add_argument("verb", metavar="VERB", choices=VERBS, help="what to do; `maskrt VERB --help` says more")
    options = parser.parse_args(given[:1] or ["--help"])
    return run_module(f"maskrt {options.verb}", VERBS[options.verb].module, given[1:])


if __name__ == "__main__":
    sys.exit(main())
