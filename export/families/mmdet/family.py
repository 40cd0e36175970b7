"""mmdetection's answers to the questions of `families.base`."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from maskrt.export.families.base import LoadedModel
from maskrt.export.families.framework import FrameworkReference
from maskrt.export.families.mmdet.framework import MMDET
from maskrt.export.families.mmdet.network import FeatureExtractor, TwoStageDetector
from maskrt.export.families.mmdet.sources import PREFIX, claims_source, load_model
from maskrt.export.families.mmdet.spec import model_spec
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.spec import ModelSpec
from maskrt.export.reference import Reference
from maskrt.options import SourceOptions


class _Mmdet:
    """See `families.base.Family`."""

    name = "mmdet"
    sources = f"a checkpoint of mmdetection, {PREFIX}NAME of its model zoo"
    models = "a network of an mmdetection config"

    def claims(self, source: SourceOptions | nn.Module) -> bool:
        return claims_source(source) if isinstance(source, SourceOptions) else isinstance(source, TwoStageDetector)

    def load(self, options: SourceOptions) -> LoadedModel:
        return load_model(options)

    def spec(self, model: nn.Module) -> ModelSpec:
        network = cast(TwoStageDetector, model)
        return model_spec(network.config, network.num_features(), network.size_divisor())

    def modules(self, model: nn.Module) -> RcnnModules:
        network = cast(TwoStageDetector, model)
        heads = network.roi_head
        features = FeatureExtractor(network.backbone, network.neck)
        return RcnnModules(features.eval(), network.rpn_head, heads.box_branches(), heads.mask_branches())

    def reference(
        self, model: nn.Module, spec: ModelSpec, *, device: str | torch.device = "cpu", compiled: bool = False
    ) -> Reference:
        device = torch.device(device)
        return FrameworkReference(model, spec, self.modules, device, compiled=compiled, framework=MMDET)

    def operations(self) -> None:
        return None


FAMILY = _Mmdet()
