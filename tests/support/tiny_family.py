"""A family of tiny detectors, each with the choices of one of the frameworks: all that a new family has to be."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from maskrt.export.families.base import LoadedModel, Operations
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.reference import RcnnReference
from maskrt.export.rcnn.spec import ModelSpec
from maskrt.export.reference import Reference
from maskrt.options import SourceOptions

from .tiny_detector import DETECTRON2_LIKE, MMDETECTION_LIKE, TORCHVISION_LIKE, TinyDetector

SPECS = {
    "tiny:torchvision": TORCHVISION_LIKE,
    "tiny:detectron2": DETECTRON2_LIKE,
    "tiny:mmdetection": MMDETECTION_LIKE,
}


class TinyFamily:
    """See `maskrt.export.families.base.Family`."""

    name = "tiny"
    sources = f"one of {', '.join(SPECS)}"
    models = "a TinyDetector"

    def claims(self, source: SourceOptions | nn.Module) -> bool:
        return source.source in SPECS if isinstance(source, SourceOptions) else isinstance(source, TinyDetector)

    def load(self, options: SourceOptions) -> LoadedModel:
        return LoadedModel(TinyDetector(SPECS[options.source]), ["disk", "ring", "star", "bar"])

    def spec(self, model: nn.Module) -> ModelSpec:
        return cast(TinyDetector, model).spec

    def modules(self, model: nn.Module) -> RcnnModules:
        return TinyDetector.parts(model)

    def reference(
        self, model: nn.Module, spec: ModelSpec, *, device: str | torch.device = "cpu", compiled: bool = False
    ) -> Reference:
        return RcnnReference(model, spec, self.modules, torch.device(device), compiled=compiled)

    def operations(self) -> Operations:
        raise NotImplementedError("it has no code of its own")


FAMILY = TinyFamily()
