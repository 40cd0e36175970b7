"""torchvision's answers to the questions of `families.base`."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from maskrt.export.families.base import LoadedModel
from maskrt.export.families.torchvision.operations import TorchvisionOperations
from maskrt.export.families.torchvision.reference import TorchvisionReference
from maskrt.export.families.torchvision.sources import BUILDERS, load_model
from maskrt.export.families.torchvision.spec import model_spec
from maskrt.export.families.torchvision.support import as_feature_maps
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.spec import ModelSpec
from maskrt.export.reference import Reference
from maskrt.options import SourceOptions


class _FeatureMaps(nn.Module):
    """A backbone that gives a dictionary, also where it has a single feature map."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, canvas: Tensor) -> dict[str, Tensor]:
        return as_feature_maps(self.backbone(canvas))


class _Torchvision:
    """See `families.base.Family`."""

    name = "torchvision"
    sources = f"one of {', '.join(BUILDERS)}"
    models = "torchvision's FasterRCNN, MaskRCNN or KeypointRCNN"

    def claims(self, source: SourceOptions | nn.Module) -> bool:
        if isinstance(source, SourceOptions):
            return source.source in BUILDERS
        return isinstance(source, GeneralizedRCNN)

    def load(self, options: SourceOptions) -> LoadedModel:
        return load_model(options)

    def spec(self, model: nn.Module) -> ModelSpec:
        return model_spec(cast(GeneralizedRCNN, model))

    def modules(self, model: nn.Module) -> RcnnModules:
        detector = cast(GeneralizedRCNN, model)
        heads = detector.roi_heads
        masks = (nn.Sequential(heads.mask_head, heads.mask_predictor),) if heads.has_mask() else ()
        boxes = nn.Sequential(heads.box_head, heads.box_predictor)
        keypoints = nn.Sequential(heads.keypoint_head, heads.keypoint_predictor) if heads.has_keypoint() else None
        return RcnnModules(_FeatureMaps(detector.backbone).eval(), detector.rpn.head, (boxes,), masks, keypoints)

    def reference(
        self, model: nn.Module, spec: ModelSpec, *, device: str | torch.device = "cpu", compiled: bool = False
    ) -> Reference:
        return TorchvisionReference(cast(GeneralizedRCNN, model), spec, torch.device(device), compiled=compiled)

    def operations(self) -> TorchvisionOperations:
        return TorchvisionOperations()


FAMILY = _Torchvision()
