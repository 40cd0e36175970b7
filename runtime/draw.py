"""Overlays: instances drawn over their image for people to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import cv2
import numpy as np

from maskrt.contract.keypoints import skeleton
from maskrt.contract.tensors import check_count, check_one_threshold
from maskrt.errors import ArgumentError
from maskrt.runtime.images.read import check_image

# RGB. Neighbours in the list differ in hue and lightness, since instances drawn next to each other in score
# order often lie next to each other in the image too.
_PALETTE = (
    (255, 82, 82), (38, 166, 255), (255, 202, 40), (0, 200, 150), (186, 104, 255), (255, 138, 46),
    (77, 221, 255), (236, 64, 150), (156, 214, 56), (92, 107, 255), (255, 167, 167), (0, 150, 136),
    (214, 170, 255), (200, 140, 60), (120, 220, 160), (255, 110, 220),
)  # fmt: skip
_FILL_OPACITY = 0.45
_SMALL = 100**2
"""Area in pixels, at a font scale of 1, below which an object is not to be covered by a plate."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Crops(Protocol):
    """Masks that can be cut out, see `structures.masks.Masks`."""

    def __getitem__(self, index: np.ndarray) -> "Crops":
        """Choose some of them."""

    def crops(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Cut out each: `(left, top, mask)`."""


class Drawable(Protocol):
    """What can be drawn: `Instances`, see there."""

    @property
    def boxes(self) -> np.ndarray:
        """[N, 4] float32 xyxy."""

    @property
    def scores(self) -> np.ndarray:
        """[N] float32."""

    @property
    def labels(self) -> np.ndarray:
        """[N] int32."""

    @property
    def names(self) -> list[str]:
        """Of the classes."""

    @property
    def segmentations(self) -> Crops | None:
        """None without masks."""

    @property
    def keypoints(self) -> np.ndarray | None:
        """[N, P, 3]; None without keypoints."""

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """Of each of the P."""

    @property
    def track_ids(self) -> np.ndarray | None:
        """[N] int32, 0: none; None where nothing is followed."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width)."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class DrawOptions:
    """How instances are drawn.

    Attributes:
        colors: "class": one for each class, the same in all pictures; "instance": one for each object.
        labels: whether plates with class and score are drawn.
        boxes: whether boxes are drawn beside masks (without masks they always are).
        thickness: of lines, in pixels; None: as it suits the picture.
        score_threshold: only instances with this score or a higher one are drawn, 0 to 1.

    Raises:
        ArgumentError: a value that makes no sense.
    """

    colors: Literal["class", "instance"] = "class"
    labels: bool = True
    boxes: bool = False
    thickness: int | None = None
    score_threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.colors not in ("class", "instance"):
            raise ArgumentError(f"colors should be 'class' or 'instance', but is {self.colors!r}.")
        if self.thickness is not None:
            check_count("thickness", self.thickness)
        check_one_threshold("score_threshold", self.score_threshold, 0.0)


class _Style(NamedTuple):
    """Sizes in pixels that suit an image."""

    line: int
    font_scale: float
    font_line: int
    padding: int


class _Plate(NamedTuple):
    """A rectangle in image pixels, ends exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def draw_instances(
    image: np.ndarray,
    instances: Drawable,
    colors: Literal["class", "instance"] | Sequence[int] | np.ndarray | None = None,
    options: DrawOptions | None = None,
) -> np.ndarray:
    """Draw instances over a copy of their image.

    A translucent mask with a crisp outline (a rectangle for models without masks), keypoints, joined as the limbs of a
    person where they have these names, and a plate with class and score, and the number of an object that is followed.
    Larger instances are drawn first, so that smaller ones stay visible; plates come last, and avoid each other and
    small instances. Line widths and text grow with the image.

    Args:
        image: [H, W, 3] uint8 RGB, the image that was segmented.
        instances: of that image.
        colors: as in `DrawOptions`, before these; or the number of the colour of each, around and around, so that an
            object can keep its colour from picture to picture.
        options: None: the default ones.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        ArgumentError: not a uint8 array [H, W, 3], or not of the size of the image that was segmented.
    """
    image, options = check_image(image), options or DrawOptions()
    if image.shape[:2] != tuple(instances.image_size):
        raise ArgumentError(
            f"The instances are of an image of {instances.image_size[1]}x{instances.image_size[0]} pixels, but the one "
            f"to draw over has {image.shape[1]}x{image.shape[0]}."
        )
    canvas = image.copy(order="C")
    palette = [
        _PALETTE[number % len(_PALETTE)]
        for number in _color_numbers(instances, options.colors if colors is None else colors)
    ]
    style = _style_for(instances.image_size)
    if options.thickness is not None:
        style = style._replace(line=options.thickness)
    shown = np.flatnonzero(instances.scores >= options.score_threshold)
    # OpenCV takes 32-bit coordinates; so far outside, nothing can be seen of a box.
    clipped = np.clip(instances.boxes, -(2**20), 2**20)
    areas = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
    order = shown[np.argsort(-areas[shown], kind="stable")]
    boxes = np.rint(clipped).astype(int).tolist()
    if instances.segmentations is not None:
        for i, crop in zip(order, instances.segmentations[order].crops(), strict=True):
            _draw_mask(canvas, *crop, palette[i], style)
    if instances.segmentations is None or options.boxes:
        for i in order:
            _draw_box(canvas, boxes[i], palette[i], style)
    if instances.keypoints is not None:
        limbs = skeleton(instances.keypoint_names)
        for i in order:
            _draw_keypoints(canvas, np.clip(instances.keypoints[i, :, :2], -(2**20), 2**20), limbs, palette[i], style)
    if not options.labels:
        return canvas

    plates: list[_Plate] = []
    names, scores, track_ids = instances.names, instances.scores, instances.track_ids
    if track_ids is not None:
        names = [f"#{track} {name}" if track else name for track, name in zip(track_ids, names, strict=True)]
    for i in shown:
        others = [boxes[j] for j in shown if areas[j] < _SMALL * style.font_scale**2]
        plates.append(_draw_label(canvas, f"{names[i]} {scores[i]:.0%}", boxes[i], palette[i], style, plates, others))
    return canvas


def _color_numbers(instances: Drawable, colors: str | Sequence[int] | np.ndarray) -> Sequence[int]:
    if not isinstance(colors, str):
        return [int(number) for number in colors]
    if colors == "class":
        return [int(label) - 1 for label in instances.labels]
    return range(len(instances))


def draw_caption(image: np.ndarray, text: str) -> None:
    """Write a line of text on a dark plate in the upper left corner of an image [H, W, 3] uint8 RGB, in place."""
    style = _style_for((image.shape[0], image.shape[1]))
    (width, height), descent = cv2.getTextSize(text, _FONT, style.font_scale, style.font_line)
    padding = style.padding
    cv2.rectangle(image, (0, 0), (width + 2 * padding, height + descent + 2 * padding), (20, 20, 20), cv2.FILLED)
    white = (255, 255, 255)
    cv2.putText(image, text, (padding, padding + height), _FONT, style.font_scale, white, style.font_line, cv2.LINE_AA)


def _style_for(image_size: tuple[int, int]) -> _Style:
    side = float(np.sqrt(image_size[0] * image_size[1]))
    font_scale = max(side / 1700, 0.4)
    return _Style(
        line=max(round(side / 400), 2),
        font_scale=font_scale,
        font_line=max(round(font_scale * 1.5), 1),
        padding=max(round(font_scale * 7), 3),
    )


def _draw_mask(
    canvas: np.ndarray, left: int, top: int, mask: np.ndarray, color: tuple[int, int, int], style: _Style
) -> None:
    if not mask.any():
        return
    region = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    levels = np.arange(256)[:, None] * (1 - _FILL_OPACITY) + np.array(color) * _FILL_OPACITY
    tinted = cv2.LUT(region, np.rint(levels).astype(np.uint8)[:, None])
    region[...] = cv2.copyTo(tinted, mask.view(np.uint8), region)
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    # A dark edge below the coloured one separates it from a background of the same colour.
    for line_color, width in ((_darker(color), style.line + 1), (color, style.line)):
        cv2.drawContours(canvas, contours, -1, line_color, width, cv2.LINE_AA, offset=(left, top))


def _draw_box(canvas: np.ndarray, box: Sequence[int], color: tuple[int, int, int], style: _Style) -> None:
    x1, y1, x2, y2 = box
    for line_color, width in ((_darker(color), style.line + 1), (color, style.line)):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), line_color, width, cv2.LINE_AA)


def _draw_keypoints(
    canvas: np.ndarray,
    points: np.ndarray,
    limbs: Sequence[tuple[int, int]],
    color: tuple[int, int, int],
    style: _Style,
) -> None:
    places = np.floor(points).astype(int).tolist()
    for a, b in limbs:
        for line_color, width in ((_darker(color), style.line + 1), (color, style.line)):
            cv2.line(canvas, places[a], places[b], line_color, width, cv2.LINE_AA)
    for place in places:
        cv2.circle(canvas, place, style.line + 2, _darker(color), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, place, style.line, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)


def _draw_label(
    canvas: np.ndarray,
    text: str,
    box: Sequence[int],
    color: tuple[int, int, int],
    style: _Style,
    taken: Sequence[_Plate],
    small: Sequence[Sequence[int]],
) -> _Plate:
    (width, height), descent = cv2.getTextSize(text, _FONT, style.font_scale, style.font_line)
    size = width + 2 * style.padding, height + descent + 2 * style.padding
    plate = _place(box, size, canvas.shape[:2], taken, small)
    cv2.rectangle(canvas, plate[:2], (plate.right - 1, plate.bottom - 1), color, cv2.FILLED)
    luminance = np.dot(color, (0.299, 0.587, 0.114))
    ink = (20, 20, 20) if luminance > 128 else (255, 255, 255)
    origin = plate.left + style.padding, plate.bottom - style.padding - descent
    cv2.putText(canvas, text, origin, _FONT, style.font_scale, ink, style.font_line, cv2.LINE_AA)
    return plate


def _place(
    box: Sequence[int],
    size: tuple[int, int],
    image_size: tuple[int, ...],
    taken: Sequence[_Plate],
    small: Sequence[Sequence[int]],
) -> _Plate:
    """Choose the first place at the box, inside the image, that covers least of other plates and of small objects."""
    width, height = size
    x1, y1, x2, y2 = box
    candidates = []
    for x, y in (
        (x1, y1 - height),  # above
        (x2 - width, y1 - height),
        (x1, y1),  # inside
        (x1, y2),  # below
        (x2 - width, y2),
        (x2, y1),  # beside
        (x1 - width, y1),
        ((x1 + x2 - width) // 2, (y1 + y2 - height) // 2),  # over the middle
    ):
        left = max(min(x, image_size[1] - width), 0)
        top = max(min(y, image_size[0] - height), 0)
        candidates.append(_Plate(left, top, left + width, top + height))
    ours, others = np.array(candidates)[:, None], np.array([*taken, *small], dtype=int).reshape(1, -1, 4)
    shared = np.minimum(ours[..., 2:], others[..., 2:]) - np.maximum(ours[..., :2], others[..., :2])
    covered = shared.clip(min=0).prod(axis=2).sum(axis=1)
    return candidates[covered.argmin()]


def _darker(color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = color
    return red // 2, green // 2, blue // 2
