"""Command-line options that name the PyTorch model, the same as those of `maskrt export`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from maskrt.options import SourceOptions

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN as TorchModel

DEMO_MODEL = "maskrt.shapes.model:shapes_model"


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


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `load_source` reads."""
    group = parser.add_argument_group("the PyTorch model, as for maskrt export")
    group.add_argument(
        "--model",
        metavar="SOURCE",
        default=DEMO_MODEL,
        help="a torchvision model name, or package.module:factory (default: the demo model)",
    )
    group.add_argument("--weights", metavar="NAME", help="torchvision's own weights, for example COCO_V1")
    group.add_argument("--checkpoint", type=Path, metavar="FILE", help=".pth or .safetensors with the state dict")
    group.add_argument("--num-classes", type=int, metavar="N", help="with the background (default: the checkpoint's)")
    group.add_argument("--class-names", type=Path, metavar="FILE", help="one name a line, without the background")


def load_source(options: argparse.Namespace) -> SourceModel:
    """Builds the model that the options of `add_source_options` name.

    Raises:
        MaskrtError: it cannot be built, or its class names do not fit.
    """
    from maskrt.export.families import base

    given = SourceOptions(
        options.model,
        options.weights,
        options.checkpoint,
        num_classes=options.num_classes,
        class_names=options.class_names,
    )
    loaded = base.load_source(given)
    return SourceModel(loaded.source, cast("TorchModel", loaded.model), loaded.class_names)
