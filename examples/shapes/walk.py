"""The figures of docs/mask-rcnn.md: the way of a picture through the demo model, from the FPN to pasted masks.

Each is drawn from what the trained model computes for one held-out scene. With --timing, how long mask head and its
RoIAlign take on the detections, as Mask R-CNN runs them in use, and on all proposals.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from maskrt.command import run_verb
from maskrt.errors import ArgumentError, DependencyError
from maskrt.export.families.base import describe_model
from maskrt.options import add_output_option
from maskrt.runtime import draw_instances
from maskrt.shapes import drawing
from maskrt.shapes.keypoints import keypoint_model
from maskrt.shapes.model import shapes_model
from maskrt.shapes.picture import find_in_pytorch
from maskrt.shapes.scenes import generate_scene
from maskrt.shapes.steps import Steps, mask_logits, run_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXTRA = "maskrt[export,report,shapes]"
INTERRUPTED_NOTE = "each figure is as it was, or as it shall be"

SCENE = 23
"""The held-out scene."""

_ROUNDS = 5
_WIDTH = 9.0


@torch.no_grad()
def time_mask_head(model: Any, picture: np.ndarray) -> str:
    """Time RoIAlign and mask head on as many boxes as there are detections at the most, and on all proposals.

    Returns:
        A sentence with medians of several rounds, in which both take turns: seconds of computation, on one thread.
    """
    tensor = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
    images, _ = model.transform([tensor])
    heads, threads = model.roi_heads, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        features = model.backbone(images.tensors)
        proposals, _ = model.rpn(images, features)
        counts = heads.detections_per_img, len(proposals[0])
        seconds: dict[int, list[float]] = {count: [] for count in counts}
        whole = []
        for _ in range(_ROUNDS):
            whole.append(_seconds(lambda: model([tensor])))
            for count, times in seconds.items():
                rois = [proposals[0][:count]]
                times.append(_seconds(partial(mask_logits, heads, features, rois, images.image_sizes)))
    finally:
        torch.set_num_threads(threads)
    few, many, all_of_it = (1000 * statistics.median(times) for times in (*seconds.values(), whole))
    return (
        f"Mask head and its RoIAlign, one thread: {counts[0]} detections {few:.0f} ms, {counts[1]} proposals "
        f"{many:.0f} ms, {many / few:.1f} times as long; the whole model {all_of_it:.0f} ms"
    )


def _seconds(run: Callable[[], object]) -> float:
    """Return the seconds of computation that a call takes."""
    start = time.process_time()
    run()
    return time.process_time() - start


def draw(folder: Path) -> list[Path]:
    """Write all figures into a folder.

    Raises:
        DependencyError: Matplotlib is not installed.
        OSError: a figure cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError("The figures need matplotlib: `pip install maskrt[report]`.") from None
    model = keypoint_model()
    seen = run_steps(model, generate_scene(SCENE, "test").image)
    drawn = draw_instances(seen.picture, find_in_pytorch(describe_model(model).reference(), seen.picture))
    figures: dict[str, tuple[float, Callable[[Figure, Steps], None]]] = {
        "pyramid": (4.4, drawing.draw_pyramid),
        "proposals": (1.9, drawing.draw_proposals),
        "roi-align": (4.2, drawing.draw_roi_align),
        "class-masks": (1.4, drawing.draw_class_masks),
        "pasting": (2.9, partial(drawing.draw_pasting, drawn=drawn)),
        "keypoints": (1.8, drawing.draw_keypoints),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (height, draw_into) in figures.items():
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw_into(figure, seen)
        paths.append(folder / f"{name}.jpg")
        figure.savefig(paths[-1], dpi=100, pil_kwargs={"quality": 82})
    return paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_output_option(parser, Path("docs/figures/mask-rcnn"), "folder for the figures")
    parser.add_argument("--timing", action="store_true", help="draw nothing: time the mask head")


def run(options: argparse.Namespace) -> int:
    """Draw the figures, or print times; return the exit code.

    Raises:
        MaskrtError: something is missing, or a figure cannot be written.
    """
    if options.timing:
        print(time_mask_head(shapes_model(), generate_scene(SCENE, "test").image))
        return 0
    try:
        for path in draw(options.output):
            print(f"{path}: {path.stat().st_size / 1000:.0f} KB")
    except OSError as error:
        raise ArgumentError(f"Cannot write into {options.output}: {error.strerror or error}.") from None
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.walk", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
