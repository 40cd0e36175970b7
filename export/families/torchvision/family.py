"""torchvision's answers to the questions of `families.base`."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN

from maskrt.export.families.base import LoadedModel
from maskrt.export.families.torchvision.operations import TorchvisionOperations
from maskrt.export.families.torchvision.reference import TorchvisionReference
from maskrt.export.families.torchvision.sources import BUILDERS, load_model
from maskrt.export.families.torchvision.spec import model_spec
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.spec import ModelSpec
from maskrt.export.reference import Reference
from maskrt.options import SourceOptions


class _Torchvision:
    """See `families.base.Family`."""

    name = "torchvision"
    sources = f"one of {', '.join(BUILDERS)}"
    models = "torchvision's MaskRCNN or FasterRCNN with an FPN"

    def claims(self, source: SourceOptions | nn.Module) -> bool:
        if isinstance(source, SourceOptions):
            return source.source in BUILDERS
        return isinstance(source, FasterRCNN)

    def load(self, options: SourceOptions) -> LoadedModel:
        return load_model(options)

    def spec(self, model: nn.Module) -> ModelSpec:
        return model_spec(cast(FasterRCNN, model))

    def modules(self, model: nn.Module) -> RcnnModules:
        detector = cast(FasterRCNN, model)
        heads = detector.roi_heads
        masks = (nn.Sequential(heads.mask_head, heads.mask_predictor),) if heads.has_mask() else ()
        boxes = nn.Sequential(heads.box_head, heads.box_predictor)
        return RcnnModules(detector.backbone, detector.rpn.head, (boxes,), masks)

    def reference(
        self, model: nn.Module, spec: ModelSpec, *, device: str | torch.device = "cpu", compiled: bool = False
    ) -> Reference:
        return TorchvisionReference(cast(FasterRCNN, model), spec, torch.device(device), compiled=compiled)

    def operations(self) -> TorchvisionOperations:
        return TorchvisionOperations()


FAMILY = _Torchvision()
