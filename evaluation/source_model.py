"""The PyTorch model that model files are compared with, named as for `maskrt export`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from maskrt.options import SourceOptions

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN as TorchModel


@dataclass(frozen=True)
class SourceModel:
    """The PyTorch model in evaluation mode, and the name of each label; None where it does not name its classes."""

    source: str
    model: TorchModel
    class_names: tuple[str, ...] | None

    def names_beside(self, file_names: Sequence[str]) -> tuple[str, ...]:
        """The name of each label; where the model does not name its classes, as a model file names them.

        A label that neither names is "class <label>".
        """
        if self.class_names is not None:
            return self.class_names
        count = _count_labels(self.model)
        nameless = (f"class {label}" for label in range(len(file_names), count))
        return (*file_names, *nameless)[:count]


def _count_labels(model: TorchModel) -> int:
    """With the background."""
    count: int = model.roi_heads.box_predictor.cls_score.out_features
    return count


def load_source(options: SourceOptions) -> SourceModel:
    """Builds the model that the options name.

    Raises:
        MaskrtError: it cannot be built, or its class names do not fit.
    """
    from maskrt.export.families import base

    loaded = base.load_source(options)
    return SourceModel(loaded.source, cast("TorchModel", loaded.model), loaded.class_names)
