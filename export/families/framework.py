"""A source model in its own framework, where that is installed: what `compare` and `evaluate` measure a file against.

The framework is given data alone: the values of the config and the tensors of the checkpoint, as maskrt has read them.
Its own readers unpickle checkpoints and run configs.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from maskrt.export.errors import SourceError, UnsupportedModelError, first_line
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.reference import RcnnReference
from maskrt.export.rcnn.spec import ModelSpec
from maskrt.export.reference import OWN_THRESHOLDS, PictureDetections
from maskrt.options import Thresholds

Predict = Callable[[np.ndarray], PictureDetections]
"""From a picture `[H, W, 3]` uint8 RGB to what is found in it; labels count the background as 0."""


@dataclass(frozen=True)
class Framework:
    """A framework that may be installed.

    Attributes:
        module: its Python module, which has a `__version__`.
        open: puts a network of the family into the framework's own model, with thresholds, on a device. What it raises
            is told to the user.
    """

    module: str
    open: Callable[[nn.Module, Thresholds, torch.device], Predict]


class FrameworkReference(RcnnReference):
    """A spec in plain PyTorch, but for what is found in pictures: that is the framework's own, where it is installed.

    Args:
        model, spec, modules, device, compiled: see `RcnnReference`.
        framework: that the model is of.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: ModelSpec,
        modules: Callable[[nn.Module], RcnnModules],
        device: torch.device,
        *,
        compiled: bool,
        framework: Framework,
    ) -> None:
        super().__init__(model, spec, modules, device, compiled=compiled)
        self._source, self._framework = model, framework
        self._opened: dict[Thresholds, Predict | None] = {}
        self._told = ""

    @property
    def computed_by(self) -> str:
        """See `Reference.computed_by`."""
        return self._told if self._is_framework() else super().computed_by

    @property
    def remark(self) -> str:
        """See `Reference.remark`."""
        if self._is_framework():
            return super().remark
        return f"What the source model finds is computed by its spec in PyTorch: {self._told}."

    def _is_framework(self) -> bool:
        """Whether the framework's own model is, or would be, what finds something; the thresholds do not matter."""
        return self._predictor(next(iter(self._opened), OWN_THRESHOLDS)) is not None

    def detect(self, picture: np.ndarray, thresholds: Thresholds = OWN_THRESHOLDS) -> PictureDetections:
        """See `Reference.detect`.

        Raises:
            SourceError: the framework fails.
        """
        predict = self._predictor(thresholds)
        if predict is None:
            return super().detect(picture, thresholds)
        try:
            with torch.inference_mode():
                return predict(picture)
        except Exception as error:  # whatever a framework raises
            raise SourceError(
                f"{self._told} fails on a picture of {picture.shape[1]}x{picture.shape[0]} pixels: "
                f"{first_line(error)}. Where {self._framework.module} is not installed, the model's spec is computed "
                "in PyTorch."
            ) from error

    def _predictor(self, thresholds: Thresholds) -> Predict | None:
        """Return the framework's own model, made when it is first asked for; None where it cannot be."""
        if thresholds not in self._opened:
            self._opened = {thresholds: self._open(thresholds)}  # a single one: each has all the weights
        return self._opened[thresholds]

    def _open(self, thresholds: Thresholds) -> Predict | None:
        name = self._framework.module
        if importlib.util.find_spec(name) is None:
            self._told = f"{name} is not installed"
            return None
        title = name
        try:
            title = f"{name} {_version(importlib.import_module(name))}"
            predict = self._framework.open(self._source, thresholds, self.device)
        except Exception as error:  # whatever a framework raises, on import as well
            self._told = f"{title} cannot run it ({type(error).__name__}: {first_line(error).rstrip('.')})"
            return None
        self._told = title
        return predict


def _version(module: ModuleType) -> str:
    return str(getattr(module, "__version__", "of an unknown version"))


def load_into(model: nn.Module, network: nn.Module, recomputed: Iterable[str]) -> None:
    """Load a network's tensors into the framework's own model.

    Args:
        model: the framework's.
        network: of the family, with the same names.
        recomputed: ends of names that the framework makes itself.

    Raises:
        UnsupportedModelError: a name or a shape differs.
    """
    idle = (*recomputed, "num_batches_tracked")  # counters of training, which frozen normalisations do not have
    state = {key: value.detach().cpu() for key, value in network.state_dict().items() if not key.endswith(idle)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith(idle)]
    if missing or unexpected:
        raise UnsupportedModelError(
            f"{len(missing)} tensors are missing and {len(unexpected)} are unknown, for example "
            f"{(list(missing) + list(unexpected))[0]}"
        )


def picture_detections(
    boxes: Tensor, scores: Tensor, classes: Tensor, masks: Tensor | None, keypoints: Tensor | None = None
) -> PictureDetections:
    """Take over what a framework found, whose classes do not count the background: best score first, on the CPU."""
    order = torch.argsort(scores.cpu(), descending=True, stable=True)
    return PictureDetections(
        boxes.cpu().float()[order],
        scores.cpu().float()[order],
        classes.cpu().to(torch.int64)[order] + 1,
        None if masks is None else masks.cpu().to(torch.bool)[order],
        None if keypoints is None else keypoints.cpu().float()[order],
    )
