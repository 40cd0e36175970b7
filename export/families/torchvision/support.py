"""Which models can be exported; anything else is named before it fails halfway."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from maskrt.export.errors import UnsupportedModelError, first_line
from maskrt.export.families.torchvision.max_roi_align import MaxRoIAlign
from maskrt.export.families.torchvision.operations import SIZE_DIVISOR
from maskrt.export.families.torchvision.untouched import check_untouched

_PARTS: dict[str, type] = {
    "transform": GeneralizedRCNNTransform,
    "rpn": RegionProposalNetwork,
    "rpn.anchor_generator": AnchorGenerator,
    "rpn.box_coder": BoxCoder,
    "roi_heads": RoIHeads,
    "roi_heads.box_coder": BoxCoder,
    "roi_heads.box_roi_pool": MultiScaleRoIAlign,
}
"""The parts whose arithmetic the graph re-expresses, each after the one that it is in."""
_MASK_PARTS: dict[str, type] = {"roi_heads.mask_roi_pool": MultiScaleRoIAlign}
_KEYPOINT_PARTS: dict[str, type] = {"roi_heads.keypoint_roi_pool": MultiScaleRoIAlign}

CANVAS = (320, 416)
"""Height and width of what layers are tried on: any two different multiples of 32 large enough that no level of a
pyramid is empty."""


@dataclass(frozen=True)
class Trial:
    """What a model's layers give for a canvas of `CANVAS`.

    Attributes:
        features: of the backbone, by name, `[1, C, H, W]` each.
        num_labels: columns of the box head's logits.
        num_keypoints: heatmaps of the keypoint head; 0 where there is none.
    """

    features: dict[str, Tensor]
    num_labels: int
    num_keypoints: int


def check_supported(model: GeneralizedRCNN) -> None:
    """Check that every part of the model can be exported.

    Raises:
        UnsupportedModelError: it names the part that cannot, and says what is expected there.
    """
    if model.training:
        raise UnsupportedModelError("the model is in training mode: call model.eval() first")
    # Derived classes are usual, which build the parts in their own way.
    check_untouched("model", model, GeneralizedRCNN, subclasses=True)
    _check_parts(model, _PARTS)
    if model.roi_heads.has_mask():
        _check_parts(model, _MASK_PARTS)
    if model.roi_heads.has_keypoint():
        _check_parts(model, _KEYPOINT_PARTS)
    if model.transform.fixed_size is not None:
        raise UnsupportedModelError("cannot export a transform with fixed_size: expected min_size and max_size")
    if model.transform.size_divisible != SIZE_DIVISOR:
        raise UnsupportedModelError(
            f"cannot export a transform with size_divisible={model.transform.size_divisible}: expected {SIZE_DIVISOR}"
        )


def _check_parts(model: GeneralizedRCNN, parts: Mapping[str, type]) -> None:
    for name, expected in parts.items():
        part: Any = model
        for word in name.split("."):
            part = getattr(part, word, None)
        if expected is MultiScaleRoIAlign and type(part) is MaxRoIAlign and "forward" not in vars(part):
            part, name = part.samples, f"{name}.samples"
        # A subclass may override the very arithmetic that the exported graph re-expresses, so only the class itself.
        check_untouched(name, part, expected)


@torch.no_grad()
def try_layers(model: GeneralizedRCNN) -> Trial:
    """Run the layers of a supported model, and check that what they give fits together.

    Raises:
        UnsupportedModelError: it does not; the message says what was given and what is expected.
    """
    features = as_feature_maps(_run(lambda: model.backbone(torch.zeros(1, 3, *CANVAS)), "on an RGB image"))
    _check_features(features, model)
    _check_rpn(features, model)
    heads = model.roi_heads
    logits, deltas = _run(
        lambda: heads.box_predictor(heads.box_head(_rois(features, heads.box_roi_pool))), "on RoIs: its box head"
    )
    labels = logits.shape[-1]
    if tuple(logits.shape) != (2, labels) or tuple(deltas.shape) != (2, 4 * labels):
        raise UnsupportedModelError(
            f"cannot export this model: for two RoIs its box_predictor gives {list(logits.shape)} logits and "
            f"{list(deltas.shape)} deltas; expected [2, L] and [2, 4 L] for L labels"
        )
    if heads.has_mask():
        rois = _rois(features, heads.mask_roi_pool)
        masks = _run(lambda: heads.mask_predictor(heads.mask_head(rois)), "on RoIs: its mask head")
        if masks.dim() != 4 or masks.shape[0] != 2 or masks.shape[1] < labels:
            raise UnsupportedModelError(
                f"cannot export this model: for two RoIs its mask_predictor gives masks of the shape "
                f"{list(masks.shape)}; expected [2, L, M, M] for L = {labels} labels"
            )
        if masks.shape[2] != masks.shape[3]:
            raise UnsupportedModelError(
                f"cannot export this model: its mask_predictor gives masks of {masks.shape[2]} x {masks.shape[3]} "
                "pixels; expected as many rows as columns"
            )
    return Trial(features, labels, _try_keypoints(features, model) if heads.has_keypoint() else 0)


def _try_keypoints(features: Mapping[str, Tensor], model: GeneralizedRCNN) -> int:
    """Return the number of heatmaps."""
    heads = model.roi_heads
    rois = _rois(features, heads.keypoint_roi_pool)
    heatmaps = _run(lambda: heads.keypoint_predictor(heads.keypoint_head(rois)), "on RoIs: its keypoint head")
    if heatmaps.dim() != 4 or heatmaps.shape[0] != 2 or 0 in heatmaps.shape:
        raise UnsupportedModelError(
            f"cannot export this model: for two RoIs its keypoint_predictor gives heatmaps of the shape "
            f"{list(heatmaps.shape)}; expected [2, N, M, M] for N keypoints, at least one"
        )
    return int(heatmaps.shape[1])


def as_feature_maps(features: Any) -> Any:
    """Name a single feature map "0", as `GeneralizedRCNN.forward` does."""
    return {"0": features} if isinstance(features, Tensor) else features


def _run(layers: Callable[[], Any], what: str) -> Any:
    """Run a model's layers, which may be anybody's."""
    try:
        return layers()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise UnsupportedModelError(f"cannot run this model {what}: {first_line(error)}") from error


def _rois(features: Mapping[str, Tensor], pool: MultiScaleRoIAlign) -> Tensor:
    """Return the pooled features of two RoIs."""
    channels = next(feature.shape[1] for name, feature in features.items() if name in pool.featmap_names)
    return torch.zeros(2, channels, *pool.output_size)


def _check_rpn(features: Mapping[str, Tensor], model: GeneralizedRCNN) -> None:
    cells = model.rpn.anchor_generator.cell_anchors
    if len(cells) != len(features):
        raise UnsupportedModelError(
            f"cannot export this model: rpn.anchor_generator has anchors for {len(cells)} feature maps, but the "
            f"backbone gives {len(features)}: {', '.join(map(repr, features))}"
        )
    logits, _ = _run(lambda: model.rpn.head(list(features.values())), "on its feature maps: its rpn.head")
    for name, feature, anchors, level in zip(features, features.values(), cells, logits, strict=True):
        if tuple(level.shape) != (1, len(anchors), *feature.shape[-2:]):
            raise UnsupportedModelError(
                f"cannot export this model: for the feature map {name!r} of {list(feature.shape)} rpn.head gives "
                f"logits of {list(level.shape)}, but rpn.anchor_generator has {len(anchors)} anchors for each position"
            )


def _check_features(features: object, model: GeneralizedRCNN) -> None:
    if not isinstance(features, dict):
        raise UnsupportedModelError(
            f"cannot export a backbone that gives a {type(features).__name__}: expected a feature map, or a dictionary "
            "of them"
        )
    pools = [("box_roi_pool", model.roi_heads.box_roi_pool)]
    if model.roi_heads.has_mask():
        pools.append(("mask_roi_pool", model.roi_heads.mask_roi_pool))
    if model.roi_heads.has_keypoint():
        pools.append(("keypoint_roi_pool", model.roi_heads.keypoint_roi_pool))
    for name, pool in pools:
        heights = [feature.shape[-2] for key, feature in features.items() if key in pool.featmap_names]
        if not heights:
            raise UnsupportedModelError(
                f"roi_heads.{name} reads the feature maps {list(pool.featmap_names)}, but the backbone gives "
                f"{list(features)}"
            )
        # torchvision picks the level by size as if each were half the one before, and gives zeros past the last one.
        if round(math.log2(heights[0] / heights[-1])) >= len(heights):
            raise UnsupportedModelError(
                f"roi_heads.{name} reads {len(heights)} feature maps of {heights[0]} to {heights[-1]} rows: expected "
                "each to have half the rows of the one before"
            )
