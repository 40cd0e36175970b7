"""The ResNet and ResNeXt of mmdetection (`models/backbones/resnet.py`, `resnext.py`).

A single stage also stands alone, as the `shared_head` that a C4 model runs on every RoI.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from maskrt.export.families.mmdet.layers import make_norm, norm_name

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Residual blocks of the stages layer1 to layer4, by depth."""

BASIC_DEPTHS = (18, 34)
"""Depths whose blocks are two 3x3 convolutions; the others have bottlenecks."""


@dataclass(frozen=True)
class BlockOptions:
    """What all blocks of a network share.

    Attributes:
        basic: two 3x3 convolutions instead of a bottleneck.
        stride_in_1x1: whether a bottleneck's stride is that of its first 1x1 convolution (`style` "caffe").
        norm: the `norm_cfg`.
        groups: of a bottleneck's 3x3 convolution.
        width_factor: channels of each of several groups, as a part of the block's planes.
    """

    basic: bool
    stride_in_1x1: bool
    norm: Mapping[str, Any]
    groups: int = 1
    width_factor: float = 1.0

    @property
    def expansion(self) -> int:
        """Channels of a block's output, as a multiple of its planes."""
        return 1 if self.basic else 4

    def width(self, planes: int) -> int:
        """Channels inside of a bottleneck."""
        return planes if self.groups == 1 else math.floor(planes * self.width_factor) * self.groups


class Block(nn.Module):
    """A residual block: a bottleneck (1x1, 3x3, 1x1) or a basic one (3x3, 3x3), with its shortcut `downsample`."""

    def __init__(
        self,
        inputs: int,
        planes: int,
        options: BlockOptions,
        stride: int = 1,
        dilation: int = 1,
        *,
        downsample: bool = False,
    ) -> None:
        """Make a block of `inputs` channels; `planes` are those of the config's `base_channels`, doubled per stage."""
        super().__init__()
        outputs, width = planes * options.expansion, options.width(planes)
        if options.basic:
            convs = [
                nn.Conv2d(inputs, planes, 3, stride, padding=dilation, dilation=dilation, bias=False),
                nn.Conv2d(planes, planes, 3, padding=1, bias=False),
            ]
        else:
            first, second = (stride, 1) if options.stride_in_1x1 else (1, stride)
            convs = [
                nn.Conv2d(inputs, width, 1, first, bias=False),
                nn.Conv2d(width, width, 3, second, dilation, dilation, options.groups, bias=False),
                nn.Conv2d(width, outputs, 1, bias=False),
            ]
        self._layers = []
        for number, conv in enumerate(convs, 1):
            names = f"conv{number}", f"{norm_name(options.norm)}{number}"
            self.add_module(names[0], conv)
            self.add_module(names[1], make_norm(options.norm, conv.out_channels))
            self._layers.append(names)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), make_norm(options.norm, outputs))
            if downsample
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` → `[B, D, H', W']`."""
        y = x
        for number, (conv, norm) in enumerate(self._layers):
            y = getattr(self, norm)(getattr(self, conv)(y if number == 0 else F.relu(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def make_stage(
    count: int, inputs: int, planes: int, options: BlockOptions, stride: int, dilation: int = 1
) -> nn.Sequential:
    """`count` blocks, the first of them with the stride; every one has the dilation."""
    outputs = planes * options.expansion
    first = Block(inputs, planes, options, stride, dilation, downsample=stride != 1 or inputs != outputs)
    return nn.Sequential(first, *(Block(outputs, planes, options, dilation=dilation) for _ in range(count - 1)))


class ResNet(nn.Module):
    """The stages of a backbone's config.

    Attributes:
        strides, channels: of the features that `forward` returns.
    """

    def __init__(
        self,
        depth: int,
        *,
        options: BlockOptions,
        stem_channels: int,
        base_channels: int,
        strides: Sequence[int],
        dilations: Sequence[int],
        out_indices: Sequence[int],
    ) -> None:
        """Make the network.

        Args:
            depth: a key of `BLOCKS`.
            options: of the blocks.
            stem_channels, base_channels: of the output of the stem, and planes of layer1; doubled from stage to stage.
            strides, dilations: of each stage.
            out_indices: the stages, counted from 0, whose outputs are the features.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem_channels, 7, stride=2, padding=3, bias=False)
        self._norm1 = f"{norm_name(options.norm)}1"
        self.add_module(self._norm1, make_norm(options.norm, stem_channels))
        self._out_indices = tuple(out_indices)
        inputs, total = stem_channels, 4
        all_strides, all_channels = [], []
        for index, (stride, dilation) in enumerate(zip(strides, dilations, strict=True)):
            planes = base_channels << index
            stage = make_stage(BLOCKS[depth][index], inputs, planes, options, stride, dilation)
            self.add_module(f"layer{index + 1}", stage)
            inputs, total = planes * options.expansion, total * stride
            all_strides.append(total)
            all_channels.append(inputs)
        self._layers = [f"layer{number}" for number in range(1, len(all_strides) + 1)]
        self.strides = [all_strides[index] for index in self._out_indices]
        self.channels = [all_channels[index] for index in self._out_indices]

    def forward(self, x: Tensor) -> list[Tensor]:
        """`[B, 3, H, W]` → the features, the finest first."""
        x = F.max_pool2d(F.relu(getattr(self, self._norm1)(self.conv1(x))), 3, stride=2, padding=1)
        stages = []
        for name in self._layers:
            x = getattr(self, name)(x)
            stages.append(x)
        return [stages[index] for index in self._out_indices]


class SharedHead(nn.Module):
    """The stage of a ResNet that a C4 model runs on RoIs (`ResLayer`); its widths are those of 64 base channels.

    Attributes:
        in_channels, out_channels: of its input and output.
    """

    def __init__(self, depth: int, stage: int, options: BlockOptions, stride: int, dilation: int) -> None:
        """`stage` is counted from 0."""
        super().__init__()
        planes = 64 << stage
        self._name = f"layer{stage + 1}"
        self.in_channels, self.out_channels = planes // 2 * options.expansion, planes * options.expansion
        layer = make_stage(BLOCKS[depth][stage], self.in_channels, planes, options, stride, dilation)
        self.add_module(self._name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, P, P]` → `[N, D, P', P']`."""
        return getattr(self, self._name)(x)
