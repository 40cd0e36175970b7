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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from maskrt.command import run_verb
from maskrt.errors import ArgumentError, DependencyError
from maskrt.export.families.base import describe_model
from maskrt.options import add_output_option
from maskrt.runtime import draw_instances
from maskrt.shapes.extreme_points import KEYPOINT_NAMES
from maskrt.shapes.keypoints import keypoint_model
from maskrt.shapes.model import shapes_model
from maskrt.shapes.outlines import CLASS_NAMES
from maskrt.shapes.picture import find_in_pytorch
from maskrt.shapes.scenes import generate_scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXTRA = "maskrt[export,report,shapes]"
INTERRUPTED_NOTE = "each figure is as it was, or as it shall be"

SCENE = 23
"""The held-out scene."""

_CELLS, _SAMPLES = 7, 2
"""Of the box head's RoIAlign."""

_CROP = 40.0
"""Pixels of the canvas that are shown around the box whose pooling is drawn."""

_ROUNDS = 5
_WIDTH = 9.0
_INK, _MARK = "#1f2933", "#e03131"


@dataclass(frozen=True)
class Walk:
    """What the demo model computes for a picture, in the order in which it does.

    Attributes:
        picture: `[H, W, 3]` uint8 RGB.
        canvas: the same, resized: `[h, w, 3]` uint8 RGB.
        features: the FPN's maps, finest first, `[C, H, W]`.
        objectness: of each map, the probability of an object: `[anchors, H, W]`.
        proposals: `[R, 4]` xyxy in canvas pixels, best first.
        boxes: the detections', `[K, 4]` xyxy in canvas pixels, best first.
        scores, labels: of the detections.
        masks: of each detection and class, the probability of its pixels: `[K, L, 28, 28]`.
        heatmaps: of each detection and keypoint, the probability of each place: `[K, N, 56, 56]`.
        keypoints: x and y in canvas pixels, `[K, N, 2]`.
    """

    picture: np.ndarray
    canvas: np.ndarray
    features: Sequence[np.ndarray]
    objectness: Sequence[np.ndarray]
    proposals: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    heatmaps: np.ndarray
    keypoints: np.ndarray

    def stride(self, level: int) -> int:
        """Return how many canvas pixels a pixel of a feature map stands for, in each direction."""
        return 4 << level

    def level_of(self, box: np.ndarray) -> int:
        """Return the map that a box is pooled from: equation 1 of the FPN (Lin et al. 2017), from P2."""
        size = float(np.sqrt(np.prod(box[2:] - box[:2])))
        return int(np.clip(np.floor(4 + np.log2(size / 224)), 2, 5)) - 2


@torch.no_grad()
def walk(model: Any, picture: np.ndarray) -> Walk:
    """Run the demo model with keypoints on a picture `[H, W, 3]` uint8 RGB, and keep what it computes."""
    images, _ = model.transform([torch.from_numpy(picture).permute(2, 0, 1).float() / 255])
    (size,) = images.image_sizes
    features = model.backbone(images.tensors)
    objectness, _ = model.rpn.head(list(features.values()))
    proposals, _ = model.rpn(images, features)
    heads = model.roi_heads
    (found,), _ = heads(features, proposals, images.image_sizes)
    rois = features, [found["boxes"]], images.image_sizes
    logits = _mask_logits(heads, *rois)
    heatmaps = heads.keypoint_predictor(heads.keypoint_head(heads.keypoint_roi_pool(*rois)))
    arrays = {name: value.numpy() for name, value in found.items()}
    return Walk(
        picture,
        cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_LINEAR),
        [feature[0].numpy() for feature in features.values()],
        [values[0].sigmoid().numpy() for values in objectness],
        proposals[0].numpy(),
        arrays["boxes"],
        arrays["scores"],
        arrays["labels"],
        logits.sigmoid().numpy(),
        heatmaps.flatten(2).softmax(dim=2).reshape(heatmaps.shape).numpy(),
        arrays["keypoints"][:, :, :2],
    )


def _mask_logits(
    heads: Any, features: dict[str, Tensor], boxes: list[Tensor], image_sizes: list[tuple[int, int]]
) -> Tensor:
    """Run RoIAlign of the mask head and the mask head: `[K, L, 28, 28]`."""
    logits: Tensor = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, boxes, image_sizes)))
    return logits


def draw_pyramid(figure: Figure, seen: Walk) -> None:
    """Draw the picture and the maps of the FPN: the root of the mean square over the channels."""
    panels = _panels(figure, 2, 3)
    _show(panels[0], seen.canvas, f"picture, {seen.canvas.shape[1]} × {seen.canvas.shape[0]}")
    for level, (axes, feature) in enumerate(zip(panels[1:], seen.features, strict=True)):
        height, width = _inside(seen, level)
        title = f"P{level + 2}: stride {seen.stride(level)}, {width} × {height}"
        _show(axes, np.sqrt((feature[:, :height, :width] ** 2).mean(axis=0)), title)


def draw_proposals(figure: Figure, seen: Walk) -> None:
    """Draw where the RPN sees objects, level by level, and its best proposals."""
    panels = _panels(figure, 1, 4)
    for axes, level in zip(panels, (0, 1, 2), strict=False):
        height, width = _inside(seen, level)
        best = seen.objectness[level][:, :height, :width].max(axis=0)
        _show(axes, best, f"objectness on P{level + 2}", vmin=0, vmax=1)
    _show(panels[3], seen.canvas, f"the best 60 of {len(seen.proposals)} proposals")
    for box in seen.proposals[:60]:
        _rectangle(panels[3], box, linewidth=0.7)


def draw_roi_align(figure: Figure, seen: Walk) -> None:
    """Draw RoIAlign's samples of one box on the features that it reads, beside RoIPool's rounded cells."""
    number = _shown_detection(seen)
    box, level = seen.boxes[number], seen.level_of(seen.boxes[number])
    stride = seen.stride(level)
    x0, y0, x1, y1 = box / stride
    height, width = _inside(seen, level)
    feature = np.sqrt((seen.features[level][:, :height, :width] ** 2).mean(axis=0))
    aligned, rounded = _panels(figure, 1, 2)
    for axes in (aligned, rounded):
        _show(axes, feature, "")
        margin = _CROP / stride
        axes.set_xlim(max(x0 - margin, -0.5), min(x1 + margin, width - 0.5))
        axes.set_ylim(min(y1 + margin, height - 0.5), max(y0 - margin, -0.5))
    name = CLASS_NAMES[seen.labels[number]]
    aligned.set_title(f"RoIAlign of the {name} on P{level + 2}: {_CELLS}² cells, {_SAMPLES}² samples each", fontsize=9)
    edges = np.linspace(0, 1, _CELLS + 1)
    _grid(aligned, x0 + edges * (x1 - x0), y0 + edges * (y1 - y0))
    places = (np.arange(_CELLS * _SAMPLES) + 0.5) / (_CELLS * _SAMPLES)
    x, y = np.meshgrid(x0 + places * (x1 - x0), y0 + places * (y1 - y0))
    aligned.scatter(x, y, s=5, color="white", edgecolors=_INK, linewidths=0.4, zorder=3)
    rounded.set_title("RoIPool: box and cells rounded to whole pixels", fontsize=9)
    # Of the pixels that RoIPool takes in, the outer edges: the first begins half a pixel before its centre.
    left, top, right, bottom = (float(np.floor(side + 0.5)) for side in (x0, y0, x1, y1))
    _grid(
        rounded,
        np.floor(edges * (right - left + 1)) + left - 0.5,
        np.floor(edges * (bottom - top + 1)) + top - 0.5,
    )
    _rectangle(rounded, box / stride, linestyle=":", linewidth=1.5, edgecolor="white")


def draw_class_masks(figure: Figure, seen: Walk) -> None:
    """Draw the masks of all classes that the mask head predicts for one detection, and which one is taken."""
    number = _shown_detection(seen)
    panels = _panels(figure, 1, len(CLASS_NAMES) - 1)
    for label, axes in enumerate(panels, start=1):
        taken = label == seen.labels[number]
        _show(axes, seen.masks[number, label], CLASS_NAMES[label], vmin=0, vmax=1)
        axes.title.set_color(_MARK if taken else _INK)
        axes.title.set_fontweight("bold" if taken else "normal")


def draw_pasting(figure: Figure, seen: Walk, drawn: np.ndarray) -> None:
    """Draw a mask of 28 × 28, the same in the picture, and all instances; `drawn` is the picture with these."""
    number = _shown_detection(seen)
    mask = seen.masks[number, seen.labels[number]]
    panels = _panels(figure, 1, 3)
    _show(panels[0], mask, "28 × 28 probabilities", vmin=0, vmax=1)
    height, width = seen.canvas.shape[:2]
    x0, y0, x1, y1 = seen.boxes[number]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    columns = ((x - x0) / (x1 - x0) * 28 - 0.5).astype(np.float32)
    rows = ((y - y0) / (y1 - y0) * 28 - 0.5).astype(np.float32)
    pasted = cv2.remap(mask, columns, rows, cv2.INTER_LINEAR, borderValue=0)
    _show(panels[1], (seen.canvas * (0.25 + 0.75 * pasted[..., None])).astype(np.uint8), "scaled into its box")
    _rectangle(panels[1], seen.boxes[number], linewidth=1.2)
    _show(panels[2], drawn, "cut at 0.5: the instances")


def draw_keypoints(figure: Figure, seen: Walk) -> None:
    """Draw where the keypoint head sees each keypoint of one detection, and the keypoints in the picture."""
    number = _shown_detection(seen)
    panels = _panels(figure, 1, len(KEYPOINT_NAMES) + 1)
    for axes, name, heatmap in zip(panels, KEYPOINT_NAMES, seen.heatmaps[number], strict=False):
        _show(axes, heatmap, name)
    _show(panels[-1], seen.canvas, "in the picture")
    _rectangle(panels[-1], seen.boxes[number], linewidth=1.2)
    x, y = seen.keypoints[number].T
    panels[-1].scatter(x, y, s=18, color="white", edgecolors=_INK, linewidths=0.8, zorder=3)


def _shown_detection(seen: Walk) -> int:
    """Choose the largest of the detections that are beyond doubt."""
    areas = np.prod(seen.boxes[:, 2:] - seen.boxes[:, :2], axis=1)
    return int(np.argmax(np.where(seen.scores > 0.9, areas, 0)))


def _inside(seen: Walk, level: int) -> tuple[int, int]:
    """Return height and width of the part of a feature map that the picture covers: the rest is padding."""
    _, height, width = seen.features[level].shape
    stride = seen.stride(level)
    return min(height, -(-seen.canvas.shape[0] // stride)), min(width, -(-seen.canvas.shape[1] // stride))


def _panels(figure: Figure, rows: int, columns: int) -> list[Axes]:
    return list(np.ravel(figure.subplots(rows, columns)))


def _show(axes: Axes, image: np.ndarray, title: str, **limits: float) -> None:
    axes.imshow(image, interpolation="nearest", cmap="viridis", **limits)  # type: ignore[arg-type]
    axes.set_title(title, fontsize=8, color=_INK)
    axes.set_axis_off()


def _rectangle(axes: Axes, box: np.ndarray, **style: Any) -> None:
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **{"edgecolor": _MARK, **style}))


def _grid(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    axes.vlines(x, y[0], y[-1], color=_MARK, linewidth=1)
    axes.hlines(y, x[0], x[-1], color=_MARK, linewidth=1)


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
                times.append(_seconds(partial(_mask_logits, heads, features, rois, images.image_sizes)))
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
    seen = walk(model, generate_scene(SCENE, "test").image)
    drawn = draw_instances(seen.picture, find_in_pytorch(describe_model(model).reference(), seen.picture))
    figures: dict[str, tuple[float, Callable[[Figure, Walk], None]]] = {
        "pyramid": (4.4, draw_pyramid),
        "proposals": (1.9, draw_proposals),
        "roi-align": (4.2, draw_roi_align),
        "class-masks": (1.4, draw_class_masks),
        "pasting": (2.9, partial(draw_pasting, drawn=drawn)),
        "keypoints": (1.8, draw_keypoints),
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
