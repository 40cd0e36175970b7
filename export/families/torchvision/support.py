"""Which models can be exported; anything else is named before it fails halfway."""

from __future__ import annotations

import math

from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.torchvision.operations import SIZE_DIVISOR
from maskrt.export.families.torchvision.untouched import check_untouched


def check_supported(model: FasterRCNN) -> None:
    """Check that every part of the model can be exported.

    Raises:
        UnsupportedModelError: it names the part that cannot, and says what is expected there.
    """
    if model.training:
        raise UnsupportedModelError("the model is in training mode: call model.eval() first")
    # Derived classes are usual, which build the parts in their own way.
    check_untouched("model", model, MaskRCNN if isinstance(model, MaskRCNN) else FasterRCNN, subclasses=True)
    parts: list[tuple[str, object, type]] = [
        ("transform", model.transform, GeneralizedRCNNTransform),
        ("rpn", model.rpn, RegionProposalNetwork),
        ("rpn.anchor_generator", model.rpn.anchor_generator, AnchorGenerator),
        ("rpn.box_coder", model.rpn.box_coder, BoxCoder),
        ("roi_heads", model.roi_heads, RoIHeads),
        ("roi_heads.box_coder", model.roi_heads.box_coder, BoxCoder),
        ("roi_heads.box_roi_pool", model.roi_heads.box_roi_pool, MultiScaleRoIAlign),
    ]
    if model.roi_heads.has_mask():
        parts.append(("roi_heads.mask_roi_pool", model.roi_heads.mask_roi_pool, MultiScaleRoIAlign))
    for name, part, expected in parts:
        # A subclass may override the very arithmetic that the exported graph re-expresses, so only the class itself.
        check_untouched(name, part, expected)
    if not isinstance(getattr(model.roi_heads.box_predictor, "cls_score", None), nn.Linear):
        raise UnsupportedModelError(
            f"cannot export this model: its roi_heads.box_predictor is a {type(model.roi_heads.box_predictor).__name__}"
            ", expected torchvision's FastRCNNPredictor or one with a linear layer cls_score"
        )
    if model.roi_heads.has_keypoint():
        raise UnsupportedModelError("cannot export a keypoint head: expected a Mask R-CNN or a Faster R-CNN")
    if model.transform.fixed_size is not None:
        raise UnsupportedModelError("cannot export a transform with fixed_size: expected min_size and max_size")
    if model.transform.size_divisible != SIZE_DIVISOR:
        raise UnsupportedModelError(
            f"cannot export a transform with size_divisible={model.transform.size_divisible}: expected {SIZE_DIVISOR}"
        )


def check_features(features: object, model: FasterRCNN) -> None:
    """Check that the backbone's outputs are the levels of a feature pyramid.

    Raises:
        UnsupportedModelError: they are not.
    """
    if not isinstance(features, dict):
        raise UnsupportedModelError(
            "cannot export a backbone that gives a single feature map: expected an FPN backbone, which gives a "
            "dictionary of feature maps"
        )
    pools = [("box_roi_pool", model.roi_heads.box_roi_pool)]
    if model.roi_heads.has_mask():
        pools.append(("mask_roi_pool", model.roi_heads.mask_roi_pool))
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
