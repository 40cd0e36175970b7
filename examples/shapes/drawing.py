"""How each step of the demo model's way through a picture is drawn: see `maskrt.shapes.walk`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from maskrt.shapes.extreme_points import KEYPOINT_NAMES
from maskrt.shapes.outlines import CLASS_NAMES
from maskrt.shapes.steps import Steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELLS, _SAMPLES = 7, 2
"""Of the box head's RoIAlign."""

_CROP = 40.0
"""Pixels of the canvas that are shown around the box whose pooling is drawn."""

_INK, _MARK = "#1f2933", "#e03131"


def draw_pyramid(figure: Figure, seen: Steps) -> None:
    """Draw the picture and the maps of the FPN: the root of the mean square over the channels."""
    panels = _panels(figure, 2, 3)
    _show(panels[0], seen.canvas, f"picture, {seen.canvas.shape[1]} × {seen.canvas.shape[0]}")
    for level, (axes, feature) in enumerate(zip(panels[1:], seen.features, strict=True)):
        height, width = _inside(seen, level)
        title = f"P{level + 2}: stride {seen.stride(level)}, {width} × {height}"
        _show(axes, np.sqrt((feature[:, :height, :width] ** 2).mean(axis=0)), title)


def draw_proposals(figure: Figure, seen: Steps) -> None:
    """Draw where the RPN sees objects, level by level, and its best proposals."""
    panels = _panels(figure, 1, 4)
    for axes, level in zip(panels, (0, 1, 2), strict=False):
        height, width = _inside(seen, level)
        best = seen.objectness[level][:, :height, :width].max(axis=0)
        _show(axes, best, f"objectness on P{level + 2}", vmin=0, vmax=1)
    _show(panels[3], seen.canvas, f"the best 60 of {len(seen.proposals)} proposals")
    for box in seen.proposals[:60]:
        _rectangle(panels[3], box, linewidth=0.7)


def draw_roi_align(figure: Figure, seen: Steps) -> None:
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


def draw_class_masks(figure: Figure, seen: Steps) -> None:
    """Draw the masks of all classes that the mask head predicts for one detection, and which one is taken."""
    number = _shown_detection(seen)
    panels = _panels(figure, 1, len(CLASS_NAMES) - 1)
    for label, axes in enumerate(panels, start=1):
        taken = label == seen.labels[number]
        _show(axes, seen.masks[number, label], CLASS_NAMES[label], vmin=0, vmax=1)
        axes.title.set_color(_MARK if taken else _INK)
        axes.title.set_fontweight("bold" if taken else "normal")


def draw_pasting(figure: Figure, seen: Steps, drawn: np.ndarray) -> None:
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


def draw_keypoints(figure: Figure, seen: Steps) -> None:
    """Draw where the keypoint head sees each keypoint of one detection, and the keypoints in the picture."""
    number = _shown_detection(seen)
    panels = _panels(figure, 1, len(KEYPOINT_NAMES) + 1)
    for axes, name, heatmap in zip(panels, KEYPOINT_NAMES, seen.heatmaps[number], strict=False):
        _show(axes, heatmap, name)
    _show(panels[-1], seen.canvas, "in the picture")
    _rectangle(panels[-1], seen.boxes[number], linewidth=1.2)
    x, y = seen.keypoints[number].T
    panels[-1].scatter(x, y, s=18, color="white", edgecolors=_INK, linewidths=0.8, zorder=3)


def _shown_detection(seen: Steps) -> int:
    """Choose the largest of the detections that are beyond doubt."""
    areas = np.prod(seen.boxes[:, 2:] - seen.boxes[:, :2], axis=1)
    return int(np.argmax(np.where(seen.scores > 0.9, areas, 0)))


def _inside(seen: Steps, level: int) -> tuple[int, int]:
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
