"""`maskrt export`: a PyTorch Mask R-CNN becomes one ONNX file, verified against the model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.contract.tensors import IMAGE_TYPES
from maskrt.errors import MaskrtError
from maskrt.export.families.base import load_source
from maskrt.files import check_writable
from maskrt.options import add_output_option, add_source_options, source_options
from maskrt.terminal import say

EXTRA = "maskrt[export]"
INTERRUPTED_NOTE = "no file was written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_source_options(parser, positional=True)
    add_output_option(parser, Path("model.onnx"), "file to write")
    parser.add_argument(
        "--input-type",
        choices=list(IMAGE_TYPES),
        default="uint8",
        help="of the images: uint8 rounds resized pixels, float32 is exact (default: %(default)s)",
    )
    parser.add_argument(
        "--skip-verification",
        action="store_true",
        help="do not compare the file with the model; its metadata then say that it is unverified",
    )


def run(options: argparse.Namespace) -> int:
    """Export and verify; return the exit code. The file takes its name once it is verified.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    from maskrt.export.exporter import export_onnx
    from maskrt.export.verify import require_onnxruntime

    named, output, verify = source_options(options), options.output, not options.skip_verification
    assert named is not None  # argparse asks for it
    check_writable(output, [Path(named.source), *filter(None, (named.checkpoint, named.config, named.class_names))])
    if verify:
        require_onnxruntime()
    say(f"Loading {named.source}")
    source = load_source(named)
    say(f"Exporting to {output}")
    try:
        export_onnx(
            source.model,
            output,
            class_names=source.class_names,
            input_type=options.input_type,
            verify=verify,
            stream=sys.stdout,
        )
    except OSError as error:
        raise MaskrtError(f"Cannot write {output}: {error.strerror or error}") from error
    outcome = "equal to the PyTorch model" if verify else "not compared with the PyTorch model, marked as unverified"
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB, {outcome}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `maskrt export`; return the exit code."""
    return run_verb("maskrt export", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
