"""The feature pyramid of detectron2 (`modeling/backbone/fpn.py`; Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from maskrt.export.families.detectron2.layers import Conv2d
from maskrt.export.families.detectron2.resnet import ResNet


class FPN(nn.Module):
    """Features p2 to p6 from the stages of a ResNet; each is named after the logarithm of its stride.

    Attributes:
        strides: of each feature that `forward` returns, by name.
    """

    def __init__(
        self, bottom_up: ResNet, in_features: Sequence[str], channels: int, *, norm: str, average: bool
    ) -> None:
        """Make the pyramid.

        Args:
            bottom_up: the ResNet.
            in_features: the stages it stands on, the finest first; each has twice the stride of the one before.
            channels: of every level.
            norm: a value of `layers.NORMS`; behind each convolution, without ReLU.
            average: whether a level is the mean of what comes from the side and from above, not the sum.
        """
        super().__init__()
        self.bottom_up = bottom_up
        self._average = average
        self._levels = [(name, bottom_up.strides[name].bit_length() - 1) for name in in_features]
        for name, level in self._levels:
            self.add_module(f"fpn_lateral{level}", Conv2d(bottom_up.channels[name], channels, 1, norm=norm))
            self.add_module(f"fpn_output{level}", Conv2d(channels, channels, 3, norm=norm))
        last = self._levels[-1][1]
        self.strides = {f"p{level}": 2**level for level in (*(level for _, level in self._levels), last + 1)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """`[B, 3, H, W]`, H and W multiples of the coarsest stage's stride → the levels by name, the finest first."""
        stages = self.bottom_up(x)
        outputs: list[Tensor] = []
        above: Tensor | None = None
        for name, level in reversed(self._levels):
            side = getattr(self, f"fpn_lateral{level}")(stages[name])
            if above is not None:
                side = side + F.interpolate(above, scale_factor=2.0, mode="nearest")
                if self._average:
                    side = side * 0.5
            above = side
            outputs.insert(0, getattr(self, f"fpn_output{level}")(side))
        outputs.append(F.max_pool2d(outputs[-1], kernel_size=1, stride=2))
        return dict(zip(self.strides, outputs, strict=True))
