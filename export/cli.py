"""`maskrt export`: a PyTorch Mask R-CNN becomes one ONNX file, verified against the model."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrt.command import run_verb
from maskrt.errors import MaskrtError
from maskrt.files import check_writable
from maskrt.options import positive

EXTRA = "maskrt[export]"
INTERRUPTED_NOTE = "no file was written"


DEMO_MODEL = "maskrt.shapes.model:shapes_model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "model",
        nargs="?",
        default=DEMO_MODEL,
        help="a torchvision model name, or package.module:factory (default: the demo model, %(default)s)",
    )
    parser.add_argument("--output", type=Path, default=Path("model.onnx"), help="file to write (default: %(default)s)")
    parser.add_argument("--weights", metavar="NAME", help="torchvision's own weights, for example COCO_V1")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help=".pth or .safetensors with the state dict; give --weights too if it was fine-tuned from these",
    )
    parser.add_argument(
        "--num-classes", type=positive, metavar="N", help="with the background (default: the checkpoint's)"
    )
    parser.add_argument("--class-names", type=Path, metavar="FILE", help="one name a line, without the background")
    parser.add_argument(
        "--input-type",
        choices=["uint8", "float32"],
        default="uint8",
        help="of the images: uint8 rounds resized pixels, float32 is exact (default: %(default)s)",
    )


def read_class_names(path: Path) -> list[str]:
    """The name of each label in a file with one name a line, with the background in front.

    Raises:
        MaskrtError: the file cannot be read.
    """
    try:
        # "-sig": some editors begin a file of UTF-8 with a mark, which is no part of the first name.
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise MaskrtError(f"cannot read the class names {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise MaskrtError(f"cannot read the class names {path}: expected text in UTF-8") from error
    return names if names[:1] == ["__background__"] else ["__background__", *names]


def run(arguments: argparse.Namespace) -> int:
    """Exports and verifies; returns the exit code. The file takes its name once it is verified.

    Raises:
        MaskrtError: something the user gave does not work.
    """
    from maskrt.export.exporter import export_onnx
    from maskrt.export.families.torchvision.sources import load_model
    from maskrt.export.verify import import_onnxruntime, verify_onnx

    output: Path = arguments.output
    check_writable(output)
    import_onnxruntime()
    names = None if arguments.class_names is None else read_class_names(arguments.class_names)
    print(f"Loading {arguments.model}", flush=True)
    model, known_names = load_model(
        arguments.model,
        weights=arguments.weights,
        checkpoint=arguments.checkpoint,
        num_classes=arguments.num_classes,
    )
    print(f"Exporting to {output}", flush=True)
    unverified = output.with_name(f".{output.name}.{os.getpid()}.unverified")
    try:
        export_onnx(model, unverified, class_names=names or known_names, input_type=arguments.input_type)
        print("Comparing with PyTorch", flush=True)
        print(f"  {verify_onnx(model, unverified)}")
        unverified.replace(output)
    except OSError as error:
        raise MaskrtError(f"Cannot write {output}: {error.strerror or error}") from error
    finally:
        unverified.unlink(missing_ok=True)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, equal to the PyTorch model")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `maskrt export`; returns the exit code."""
    return run_verb("maskrt export", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
