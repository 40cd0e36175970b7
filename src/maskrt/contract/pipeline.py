"""How a picture becomes a canvas, and how results come back: what the frameworks do differently around the network.

The model file states it as `pipeline` in its metadata, and the runtime chooses its arithmetic by these names. Each name
stands for the arithmetic of a framework, to the last bit; the runtime's function of that name says its source.
"""

from dataclasses import dataclass
from typing import Literal, get_args

SizeRule = Literal["floor", "shortest_edge", "fit"]
"""From the size of a picture to the size that the network sees, before padding:

floor: torchvision's `GeneralizedRCNNTransform`: one scale, each side rounded down.
shortest_edge: detectron2's `ResizeShortestEdge`: each side rounded to nearest; `min_size` 0 keeps pictures as they are.
fit: mmcv's `rescale_size` with `keep_ratio`: the largest that fits, each side rounded to nearest.
"""

Filter = Literal["bilinear", "pillow_bilinear", "opencv_bilinear"]
"""How pixels are resized:

bilinear: torch's `interpolate`: half-pixel centres, no antialiasing, float32.
pillow_bilinear: Pillow's BILINEAR on uint8: antialiased where it shrinks, uint8 between the two passes.
opencv_bilinear: OpenCV's INTER_LINEAR on uint8.
"""

PasteRule = Literal["integer_box", "pixel_centers"]
"""How a mask of M x M probabilities becomes pixels:

integer_box: torchvision's `paste_masks_in_image`: a zero border, the grown box cut to integers, `>` the threshold.
pixel_centers: detectron2's `paste_masks_in_image` (and mmdetection's): sampled at pixel centres, `>=` the threshold.
"""

SIZE_RULES: tuple[str, ...] = get_args(SizeRule)
FILTERS: tuple[str, ...] = get_args(Filter)
PASTE_RULES: tuple[str, ...] = get_args(PasteRule)


@dataclass(frozen=True)
class Resize:
    """The resize policy: the shorter side becomes `min_size` pixels, unless the longer would then exceed `max_size`."""

    rule: SizeRule
    filter: Filter
    min_size: int
    max_size: int


@dataclass(frozen=True)
class Boxes:
    """What happens to boxes that have been scaled to the picture.

    Attributes:
        clip: whether they are cut at the picture's border.
        drop_empty: whether instances without area are dropped then.
    """

    clip: bool
    drop_empty: bool


@dataclass(frozen=True)
class Paste:
    """How masks are pasted, and the probability from which a pixel belongs to the object."""

    rule: PasteRule
    threshold: float


@dataclass(frozen=True)
class Pipeline:
    """Everything around the network that depends on the source framework.

    Attributes:
        resize: the resize policy.
        size_divisor: canvas height and width are multiples of it; 1: the canvas is just as large as its largest image.
        boxes: of boxes in the picture.
        paste: of masks; without meaning for a model without masks.
    """

    resize: Resize
    size_divisor: int
    boxes: Boxes
    paste: Paste
