"""Train a keypoint head on the demo model: it finds the extreme points of the shapes, beside their masks.

Everything else of the model is the demo model's and stays as it is.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from maskrt.command import run_verb
from maskrt.errors import ModelError
from maskrt.files import check_writable
from maskrt.options import add_output_option, fraction, positive
from maskrt.shapes.extreme_points import KEYPOINT_NAMES
from maskrt.shapes.heads import Trunk, train_heads
from maskrt.shapes.model import save_weights, shapes_model

EXTRA = "maskrt[export,shapes]"
INTERRUPTED_NOTE = "nothing is written"

WEIGHTS = Path(__file__).resolve().parent / "keypoints.safetensors"
"""Of the keypoint head alone."""

_CHANNELS = 64
_PARTS = ("keypoint_head", "keypoint_predictor")


def keypoint_model() -> MaskRCNN:
    """Load the demo model with its keypoint head (`maskrt export maskrt.shapes.keypoints:keypoint_model`).

    Raises:
        ModelError: the weights are missing.
    """
    from safetensors.torch import load_file

    if not WEIGHTS.is_file():
        raise ModelError(f"{WEIGHTS} is missing: `python -m maskrt.shapes.keypoints` makes it.")
    model = add_keypoints(shapes_model())
    _parts_of(model).load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})
    return model.eval()


def add_keypoints(model: MaskRCNN) -> MaskRCNN:
    """Give the demo model an untrained keypoint head, in place: three convolutions of 64 channels; return the model."""
    heads: Any = model.roi_heads
    channels = model.backbone.out_channels
    heads.keypoint_roi_pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2)
    heads.keypoint_head = KeypointRCNNHeads(channels, (_CHANNELS,) * 3)
    heads.keypoint_predictor = KeypointRCNNPredictor(_CHANNELS, len(KEYPOINT_NAMES))
    model.keypoint_names = KEYPOINT_NAMES  # read by the exporter
    return model


def _parts_of(model: MaskRCNN) -> nn.ModuleDict:
    return nn.ModuleDict({name: getattr(model.roi_heads, name) for name in _PARTS})


def train(steps: int, batch_size: int, learning_rate: float, output: Path) -> None:
    """Train the keypoint head; save it to `output`."""
    torch.manual_seed(0)
    trunk = Trunk()
    model = add_keypoints(trunk.model)
    heads = copy.copy(model.roi_heads)
    heads.mask_roi_pool = None  # masks would only cost time
    train_heads(trunk, {"keypoints": heads}, steps, batch_size, learning_rate, lambda line: print(line, flush=True))
    save_weights(_parts_of(model), output)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_output_option(parser, WEIGHTS, "file for the weights of the head")
    parser.add_argument("--steps", type=positive, default=300, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--learning-rate", type=fraction, default=2e-3, metavar="R", help="the largest, 0-1 (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Train; return the exit code.

    Raises:
        ArgumentError: the weights cannot be written.
    """
    check_writable(options.output)
    train(options.steps, options.batch_size, options.learning_rate, options.output)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.keypoints", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
