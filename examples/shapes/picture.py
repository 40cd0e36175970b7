"""What the demo model finds, drawn: the PyTorch model on the left, the exported file on the right.

`make demo` writes it as beside-pytorch.jpg; the picture of README.md is made with this command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.export.families.base import describe_model
from maskrt.export.reference import Reference, encode_masks
from maskrt.files import write_in_one_step
from maskrt.options import Thresholds, add_output_option
from maskrt.runtime import Instances, Segmenter, draw_instances
from maskrt.runtime.masks.rle import RLE
from maskrt.runtime.structures.masks import RleMasks
from maskrt.shapes.model import shapes_model
from maskrt.shapes.outlines import CLASS_NAMES
from maskrt.shapes.scenes import generate_scene

EXTRA = "maskrt[export,cpu,shapes]"
INTERRUPTED_NOTE = "nothing is written"

SCORE_THRESHOLD = 0.5
SCENES = (16, 11)
"""The held-out scenes that are shown."""
_HEIGHT = 320
"""Of each picture, in pixels."""
_GAP = 8
_CAPTION = 34
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 85)


def shown_images() -> list[np.ndarray]:
    """Return the images of the picture, each `[H, W, 3]` uint8 RGB, twice as large so that outlines are fine."""
    scenes = (generate_scene(number, "test").image for number in SCENES)
    return [cv2.resize(scene, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for scene in scenes]


def find_in_pytorch(reference: Reference, image: np.ndarray) -> Instances:
    """Return what the source model finds in an image, as what a file finds is returned."""
    found = reference.detect(image, Thresholds(score=SCORE_THRESHOLD))
    assert found.masks is not None
    masks = [RLE(size=rle["size"], counts=rle["counts"].decode("ascii")) for rle in encode_masks(found.masks)]
    return Instances(
        boxes=found.boxes.cpu().numpy(),
        scores=found.scores.cpu().numpy(),
        labels=found.labels.cpu().numpy().astype(np.int32),
        segmentations=RleMasks(tuple(masks)),
        class_names=tuple(CLASS_NAMES),
        image_size=image.shape[:2],
    )


def draw_beside_pytorch(reference: Reference, segmenter: Segmenter, images: Sequence[np.ndarray]) -> np.ndarray:
    """Draw what both find: a row for each side, a column for each image, all of one height.

    Returns:
        `[H, W, 3]` uint8 RGB.
    """
    sides = {
        "PyTorch": lambda image: find_in_pytorch(reference, image),
        "maskrt": lambda image: segmenter.predict(image, score_threshold=SCORE_THRESHOLD),
    }
    return np.vstack(
        [_row(name, [draw_instances(image, find(image)) for image in images]) for name, find in sides.items()]
    )


def _row(name: str, images: Sequence[np.ndarray]) -> np.ndarray:
    """Put images side by side, under a caption."""
    scaled = [
        cv2.resize(image, (_HEIGHT * image.shape[1] // image.shape[0], _HEIGHT), interpolation=cv2.INTER_AREA)
        for image in images
    ]
    padded = [np.pad(image, ((0, 0), (0, _GAP), (0, 0)), constant_values=255) for image in scaled]
    row = np.hstack(padded)[:, :-_GAP]
    caption = np.full((_CAPTION, row.shape[1], 3), 255, dtype=np.uint8)
    cv2.putText(caption, name, (2, _CAPTION - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (31, 41, 51), 1, cv2.LINE_AA)
    return np.vstack([caption, row])


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture `[H, W, 3]` uint8 RGB as JPEG.

    Raises:
        OSError: it cannot be written.
    """
    _, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)
    write_in_one_step(path, content.tobytes())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="the demo model's file, with float32 input")
    add_output_option(parser, Path("beside-pytorch.jpg"), "JPEG file")


def run(options: argparse.Namespace) -> int:
    """Draw it; return the exit code.

    Raises:
        MaskrtError: the model cannot be loaded, or the picture cannot be written.
    """
    reference = describe_model(shapes_model()).reference()
    picture = draw_beside_pytorch(reference, Segmenter(options.model), shown_images())
    try:
        write_picture(options.output, picture)
    except OSError as error:
        raise ArgumentError(f"Cannot write {options.output}: {error.strerror or error}.") from None
    print(f"{options.output}: {picture.shape[1]}x{picture.shape[0]} pixels")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.picture", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
