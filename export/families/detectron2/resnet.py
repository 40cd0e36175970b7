"""The ResNet of detectron2 (`modeling/backbone/resnet.py`), He et al. 2015 with its stride where a config says.

The last stage also stands alone: a C4 model runs it on every RoI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from maskrt.export.families.detectron2.layers import Conv2d

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Residual blocks of the stages res2 to res5, by depth."""

STAGES = ("res2", "res3", "res4", "res5")
"""Their names, the finest first."""

BASIC_DEPTHS = (18, 34)
"""Depths whose blocks are two 3x3 convolutions; the others have bottlenecks."""


@dataclass(frozen=True)
class BlockOptions:
    """What all blocks of a network share.

    Attributes:
        basic: two 3x3 convolutions instead of a bottleneck.
        groups: of a bottleneck's 3x3 convolution.
        stride_in_1x1: whether a bottleneck's stride is that of its first 1x1 convolution, not of the 3x3.
        norm: a value of `layers.NORMS`.
    """

    basic: bool
    groups: int
    stride_in_1x1: bool
    norm: str


class Block(nn.Module):
    """A residual block: a bottleneck (1x1, 3x3, 1x1) or a basic one (3x3, 3x3), with its shortcut."""

    def __init__(
        self, channels: tuple[int, int, int], options: BlockOptions, stride: int = 1, dilation: int = 1
    ) -> None:
        """`channels`: of the input, in between (unused in a basic block), and of the output."""
        super().__init__()
        inputs, between, outputs = channels
        norm = options.norm
        self.shortcut = None if inputs == outputs else Conv2d(inputs, outputs, 1, stride=stride, norm=norm)
        if options.basic:
            self.conv1 = Conv2d(inputs, outputs, 3, stride=stride, norm=norm)
            self.conv2 = Conv2d(outputs, outputs, 3, norm=norm)
            self.conv3 = None
            return
        first, second = (stride, 1) if options.stride_in_1x1 else (1, stride)
        self.conv1 = Conv2d(inputs, between, 1, stride=first, norm=norm)
        self.conv2 = Conv2d(between, between, 3, stride=second, dilation=dilation, groups=options.groups, norm=norm)
        self.conv3 = Conv2d(between, outputs, 1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` → `[B, D, H', W']`."""
        y = self.conv2(F.relu(self.conv1(x)))
        if self.conv3 is not None:
            y = self.conv3(F.relu(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


def make_stage(
    count: int, channels: tuple[int, int, int], options: BlockOptions, stride: int, dilation: int = 1
) -> nn.Sequential:
    """`count` blocks, the first of them with the stride; every one has the dilation."""
    inputs, between, outputs = channels
    first = Block((inputs, between, outputs), options, stride, dilation)
    return nn.Sequential(
        first, *(Block((outputs, between, outputs), options, dilation=dilation) for _ in range(count - 1))
    )


class Stem(nn.Module):
    """7x7 convolution and max-pooling, each with stride 2."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.conv1 = Conv2d(3, channels, 7, stride=2, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 3, H, W]` → `[B, C, H/4, W/4]`."""
        return F.max_pool2d(F.relu(self.conv1(x)), 3, stride=2, padding=1)


class ResNet(nn.Module):
    """The stages that a model reads features of, and those before them.

    Attributes:
        strides, channels: of each feature that `forward` returns, by name.
    """

    def __init__(
        self,
        depth: int,
        out_features: Sequence[str],
        *,
        options: BlockOptions,
        stem_channels: int,
        res2_channels: int,
        width: int,
        res5_dilation: int,
    ) -> None:
        """Make the network.

        Args:
            depth: a key of `BLOCKS`.
            out_features: of "res2" to "res5"; the last one ends the network.
            options: of the blocks.
            stem_channels, res2_channels: of the outputs of the stem and of res2; doubled from stage to stage.
            width: channels inside of res2's bottlenecks, of all groups together; doubled likewise.
            res5_dilation: 2: res5 keeps the stride of res4 and dilates its 3x3 convolutions (DC5).
        """
        super().__init__()
        self.stem = Stem(stem_channels, options.norm)
        self.strides: dict[str, int] = {}
        self.channels: dict[str, int] = {}
        self._stages: list[str] = []
        inputs, total = stem_channels, 4
        for index, name in enumerate(STAGES[: 1 + max(map(STAGES.index, out_features))]):
            dilation = res5_dilation if name == "res5" else 1
            stride = 1 if index == 0 or dilation == 2 else 2
            outputs = res2_channels << index
            stage = make_stage(BLOCKS[depth][index], (inputs, width << index, outputs), options, stride, dilation)
            self.add_module(name, stage)
            self._stages.append(name)
            inputs, total = outputs, total * stride
            if name in out_features:
                self.strides[name], self.channels[name] = total, outputs

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """`[B, 3, H, W]` → the features by name, the finest first."""
        features = {}
        x = self.stem(x)
        for name in self._stages:
            x = getattr(self, name)(x)
            if name in self.strides:
                features[name] = x
        return features
