"""The feature pyramid of mmdetection (`models/necks/fpn.py`; Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from maskrt.export.families.mmdet.layers import ConvModule, NormConfig


class FPN(nn.Module):
    """A level for each feature of the backbone, and coarser ones by subsampling the last.

    Attributes:
        channels: of every level.
        num_outs: how many levels there are.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        num_outs: int,
        *,
        norm: NormConfig = None,
        norm_on_lateral: bool = True,
    ) -> None:
        """Make the pyramid.

        Args:
            in_channels: of the backbone's features, the finest first; each has twice the stride of the one before.
            channels: of every level.
            num_outs: how many levels there are.
            norm: of the convolutions, which have no ReLU.
            norm_on_lateral: whether the 1x1 convolutions have it, too.
        """
        super().__init__()
        self.channels, self.num_outs = channels, num_outs
        lateral_norm = norm if norm_on_lateral else None
        self.lateral_convs = nn.ModuleList(
            ConvModule(inputs, channels, 1, norm=lateral_norm, relu=False) for inputs in in_channels
        )
        self.fpn_convs = nn.ModuleList(ConvModule(channels, channels, 3, norm=norm, relu=False) for _ in in_channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features, each of half the size of the one before → the levels, the finest first."""
        sums = [conv(feature) for conv, feature in zip(self.lateral_convs, features, strict=True)]
        for index in range(len(sums) - 1, 0, -1):
            sums[index - 1] = sums[index - 1] + F.interpolate(sums[index], scale_factor=2.0, mode="nearest")
        levels = [conv(x) for conv, x in zip(self.fpn_convs, sums, strict=True)]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return levels
