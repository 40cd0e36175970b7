"""The demo: from the PyTorch model to pictures with the shapes found in them, and the figures beside PyTorch's."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskrt.command import run_verb
from maskrt.errors import ArgumentError, MaskrtError
from maskrt.evaluation.metrics.coco import average_precision
from maskrt.export.exporter import export_onnx
from maskrt.export.families.base import describe_model
from maskrt.options import add_output_option, positive
from maskrt.runtime import Segmenter, infer
from maskrt.shapes.backgrounds import photograph
from maskrt.shapes.dataset import ground_truth, write_png
from maskrt.shapes.model import shapes_model
from maskrt.shapes.picture import draw_beside_pytorch, shown_images, write_picture
from maskrt.shapes.score import held_out_images

EXTRA = "maskrt[export,cpu,shapes]"
INTERRUPTED_NOTE = "what was finished is written"

BESIDE_PYTORCH = "beside-pytorch.jpg"
_PHOTOGRAPHS = ("coins", "coffee")
"""Photographs no training scene shows; coins are disks, a cup on its saucer nearly so."""


def write_pictures(folder: Path, scenes: Sequence[tuple[np.ndarray, int]]) -> None:
    """Write the demo's pictures: scenes, each with its id, and photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [(f"scene-{image_id:03d}.png", image) for image, image_id in scenes]
    pictures += [(f"photo-{name}.png", photograph(name)) for name in _PHOTOGRAPHS]
    for name, image in pictures:
        write_png(folder / name, image)


def show(output: Path, limit: int) -> None:
    """Export the demo model, segment the pictures, score both sides, and print where everything is.

    Args:
        output: folder for all of it.
        limit: how many held-out scenes.

    Raises:
        MaskrtError: a step fails.
        OSError: a file cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    source, onnx_path = describe_model(shapes_model()), output / "model.onnx"
    print("1/4 Exporting the demo model, which takes the longest", flush=True)
    # float32, so that the figures can be compared to the last digit
    export_onnx(source.model, onnx_path, input_type="float32", stream=sys.stdout)

    print(f"2/4 Finding shapes in {limit} held-out scenes and {len(_PHOTOGRAPHS)} photographs", flush=True)
    scenes = list(held_out_images(limit))
    write_pictures(output / "images", scenes)
    segment(onnx_path, output)

    print("3/4 Drawing what PyTorch finds, and what the file finds", flush=True)
    segmenter, reference = Segmenter(onnx_path), source.reference()
    write_picture(output / BESIDE_PYTORCH, draw_beside_pytorch(reference, segmenter, shown_images()))

    print(f"4/4 Scoring {limit} held-out scenes", flush=True)
    truth = ground_truth(limit)
    sides = {
        "PyTorch": lambda image, image_id: reference.records(image, image_id=image_id),
        "maskrt": lambda image, image_id: segmenter.predict(image).to_coco(image_id),
    }
    print("              box AP   mask AP   ms/image")
    for name, predict in sides.items():
        started = time.perf_counter()
        results = [record for image, image_id in scenes for record in predict(image, image_id)]
        milliseconds = (time.perf_counter() - started) / limit * 1000
        box, mask = (average_precision(truth, results, kind).overall.AP for kind in ("bbox", "segm"))
        print(f"   {name:9} {box:8.4f} {mask:9.4f} {milliseconds:10.0f}")
    print(f"model     {onnx_path}\npicture   {output / BESIDE_PYTORCH}\noverlays  {output / 'overlays'}")
    print(f"results   {output / 'instances.json'}")


def segment(model: Path, output: Path) -> None:
    """Run `maskrt infer` on the demo's pictures; it speaks on a terminal, with a bar, and where something fails.

    Raises:
        MaskrtError: a picture failed.
    """
    words = [str(model), "--images", str(output / "images"), "--output", str(output), "--score-threshold", "0.5"]
    said, heard = io.StringIO(), io.StringIO()
    quiet = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(heard)
    with contextlib.redirect_stdout(said), quiet:
        code = infer.main(words)
    if code:
        print(said.getvalue(), heard.getvalue(), sep="", file=sys.stderr)
        raise MaskrtError(f"Segmenting failed with the exit code {code}.")
    print(f"  {said.getvalue().partition(chr(10))[0]}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_output_option(parser, Path("out/demo"), "folder")
    parser.add_argument("--limit", type=positive, default=24, metavar="N", help="scenes (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Show it; return the exit code.

    Raises:
        MaskrtError: a step fails, or a file cannot be written.
    """
    try:
        show(options.output, options.limit)
    except OSError as error:
        raise ArgumentError(f"Cannot write to {options.output}: {error.strerror or error}.") from None
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.demo", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
