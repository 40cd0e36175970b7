"""Weights for an untrained model that behave like trained ones: detections spread over classes and scores.

Where no trained weights can be had, a model with its initial weights is a poor test: activations explode or vanish, and
every score is the same. Here each layer is scaled by what it sees on given images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import FrozenBatchNorm2d

_OBJECTNESS_STD = 1.5
_CLASS_STD = 2.0
_MASK_STD = 3.0
_KEYPOINT_STD = 3.0
_DELTA_STD = 0.2
"""In units of the box's size, after the box coder's weights."""


@torch.no_grad()
def draw_weights(model: FasterRCNN, images: Sequence[Tensor], seed: int = 0) -> FasterRCNN:
    """Draws weights for `model` in place, scaled on `images` (float `[3,H,W]`, 0–1), and returns it in evaluation mode.

    Normalisation layers take the statistics of what reaches them; the layers that predict are scaled to a fixed spread
    of their outputs. Deterministic for the same seed, images and number of threads.
    """
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
            if module.bias is not None:
                module.bias.zero_()

    # A residual branch adds little, as in a trained network: otherwise rounding errors double from block to block.
    branch_ends = {norms[-1] for norms in map(_norms, model.modules()) if norms}

    def normalize(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d)
        x = inputs[0]
        assert module.running_mean is not None and module.running_var is not None
        module.running_mean.copy_(x.mean(dim=(0, 2, 3)))
        module.running_var.copy_(x.var(dim=(0, 2, 3)) + 1e-3)
        scale = 0.2 if module in branch_ends else 1.0
        module.weight.copy_(scale * (0.7 + 0.6 * torch.rand(module.weight.shape, generator=generator)))
        module.bias.copy_(0.2 * torch.randn(module.bias.shape, generator=generator))

    def scale_to(std: float) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            factor = std / output.std().clamp(min=1e-6)
            assert isinstance(module.weight, Tensor)
            module.weight.mul_(factor)
            return output * factor

        return hook

    def center(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Every class is as likely as any other; otherwise a few win everywhere."""
        assert isinstance(module.bias, Tensor)
        module.bias.copy_(-output.mean(dim=0))
        return output + module.bias

    handles = [
        module.register_forward_pre_hook(normalize)
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d)
    ]
    heads = model.roi_heads
    spreads = [
        (model.rpn.head.cls_logits, _OBJECTNESS_STD),
        (model.rpn.head.bbox_pred, _DELTA_STD),
        (heads.box_predictor.cls_score, _CLASS_STD),
        (heads.box_predictor.bbox_pred, _DELTA_STD * heads.box_coder.weights[0]),
    ]
    if heads.has_mask():
        spreads.append((heads.mask_predictor.mask_fcn_logits, _MASK_STD))
    if heads.has_keypoint():
        spreads.append((heads.keypoint_predictor.kps_score_lowres, _KEYPOINT_STD))
    handles += [layer.register_forward_hook(scale_to(std)) for layer, std in spreads]
    handles.append(heads.box_predictor.cls_score.register_forward_hook(center))
    try:
        model([image.clone() for image in images])
    finally:
        for handle in handles:
            handle.remove()
    return model


def _norms(block: nn.Module) -> list[nn.Module]:
    """Return the normalisation layers on the residual branch of a ResNet block, in order; none for other modules."""
    if not isinstance(block, BasicBlock | Bottleneck):
        return []
    return [child for name, child in block.named_children() if name.startswith("bn")]
