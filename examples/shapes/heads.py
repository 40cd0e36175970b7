"""Training of RoI heads alone: the demo model's backbone, FPN and RPN stay as they are, and are run once for all heads.

That is quick enough for experiments on a CPU, and whatever differs between heads is theirs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskrt.shapes.model import shapes_model
from maskrt.shapes.train import TRAINING_MAX_SIZE, TRAINING_SIZES, Sample, batches, reduced_precision


@dataclass(frozen=True)
class HeadInputs:
    """What RoI heads take: `RoIHeads.forward`'s arguments.

    Attributes:
        features: the FPN's maps by name, `[B, C, H, W]`.
        proposals: the RPN's of each image, `[R, 4]` xyxy in canvas pixels.
        image_sizes: height and width of each image inside the canvas.
        targets: of each image; None outside of training.
    """

    features: dict[str, Tensor]
    proposals: list[Tensor]
    image_sizes: list[tuple[int, int]]
    targets: list[dict[str, Tensor]] | None


class Trunk:
    """The trained demo model up to its proposals, frozen.

    Attributes:
        model: the demo model.
    """

    def __init__(self) -> None:
        self.model: Any = shapes_model().requires_grad_(False)
        resize = self.model.transform
        self._training = GeneralizedRCNNTransform(
            TRAINING_SIZES, TRAINING_MAX_SIZE, resize.image_mean, resize.image_std
        ).train()

    def of_samples(self, samples: Sequence[Sample]) -> HeadInputs:
        """Return what heads learn from, at one of the sizes of training."""
        images, targets = self._training([image for image, _ in samples], [dict(target) for _, target in samples])
        return self._run(images, targets)

    def of_picture(self, picture: np.ndarray) -> HeadInputs:
        """Return what heads see of a picture `[H, W, 3]` uint8 RGB in use."""
        images, _ = self.model.transform([torch.from_numpy(picture).permute(2, 0, 1).float() / 255])
        return self._run(images, None)

    @torch.no_grad()
    def _run(self, images: ImageList, targets: list[dict[str, Tensor]] | None) -> HeadInputs:
        with contextlib.nullcontext() if targets is None else reduced_precision():
            features = {name: feature.float() for name, feature in self.model.backbone(images.tensors).items()}
        proposals, _ = self.model.rpn(images, features)
        return HeadInputs(features, proposals, images.image_sizes, targets)


def train_heads(
    trunk: Trunk,
    heads: Mapping[str, RoIHeads],
    steps: int,
    batch_size: int,
    learning_rate: float,
    say: Callable[[str], object],
) -> None:
    """Train heads side by side, all on the same images, proposals and RoIs, with AdamW and a one-cycle schedule.

    Args:
        trunk: what they read from.
        heads: by name; their parameters that want gradients are trained, and they are in evaluation mode afterwards.
        steps, batch_size: how many batches of how many images.
        learning_rate: the largest.
        say: is given a line for people now and then.
    """
    weights = {name: [p for p in head.parameters() if p.requires_grad] for name, head in heads.items()}
    optimizers = {name: torch.optim.AdamW(of_head, weight_decay=0.02) for name, of_head in weights.items()}
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=steps, pct_start=0.08)
        for optimizer in optimizers.values()
    ]
    started = time.monotonic()
    running: dict[str, float] = {}
    for step, batch in enumerate(batches(steps, batch_size), start=1):
        inputs = trunk.of_samples(batch)
        for name, head in heads.items():
            torch.manual_seed(step)  # the RoIs that are learnt from are drawn; each draws the same
            with reduced_precision():
                _, losses = head.train()(inputs.features, inputs.proposals, inputs.image_sizes, inputs.targets)
            loss = torch.stack(list(losses.values())).sum()
            optimizers[name].zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights[name], 5.0)
            optimizers[name].step()
            running[name] = 0.95 * running.get(name, loss.item()) + 0.05 * loss.item()
        for schedule in schedules:
            schedule.step()
        if step % 20 == 0 or step == steps:
            rate = step * batch_size / (time.monotonic() - started)
            shown = "  ".join(f"{name} {value:.3f}" for name, value in running.items())
            say(f"step {step}/{steps}  {rate:.1f} images/s  loss: {shown}")
    for head in heads.values():
        head.eval()
