"""detectron2's answers to the questions of `families.base`."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from maskrt.export.families.base import LoadedModel
from maskrt.export.families.detectron2.framework import DETECTRON2
from maskrt.export.families.detectron2.network import GeneralizedRCNN
from maskrt.export.families.detectron2.sources import PREFIX, claims_source, load_model
from maskrt.export.families.detectron2.spec import model_spec
from maskrt.export.families.framework import FrameworkReference
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.spec import ModelSpec
from maskrt.export.reference import Reference
from maskrt.options import SourceOptions


class _Detectron2:
    """See `families.base.Family`."""

    name = "detectron2"
    sources = f"a checkpoint of detectron2 with --config, {PREFIX}NAME of its model zoo"
    models = "a network of a detectron2 config"

    def claims(self, source: SourceOptions | nn.Module) -> bool:
        return claims_source(source) if isinstance(source, SourceOptions) else isinstance(source, GeneralizedRCNN)

    def load(self, options: SourceOptions) -> LoadedModel:
        return load_model(options)

    def spec(self, model: nn.Module) -> ModelSpec:
        network = cast(GeneralizedRCNN, model)
        return model_spec(network.config, network.backbone.strides)

    def modules(self, model: nn.Module) -> RcnnModules:
        network = cast(GeneralizedRCNN, model)
        heads = network.roi_heads
        masks = () if heads.mask_head is None else (heads.mask_branch(),)
        rpn_head, boxes = network.proposal_generator.rpn_head, heads.box_branches()
        return RcnnModules(network.backbone, rpn_head, boxes, masks, heads.keypoint_head)

    def reference(
        self, model: nn.Module, spec: ModelSpec, *, device: str | torch.device = "cpu", compiled: bool = False
    ) -> Reference:
        device = torch.device(device)
        return FrameworkReference(model, spec, self.modules, device, compiled=compiled, framework=DETECTRON2)

    def operations(self) -> None:
        return None


FAMILY = _Detectron2()
