"""The heads of mmdetection: on every position (`RPNHead`) and on every RoI (`ConvFCBBoxHead`, `FCNMaskHead`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from maskrt.export.families.mmdet.layers import ConvModule, NormConfig


class RPNHead(nn.Module):
    """Objectness and box deltas of the anchors at every position."""

    def __init__(self, in_channels: int, channels: int, convs: int, anchors: int, *, softmax: bool) -> None:
        """Make the head.

        Args:
            in_channels, channels: of the features, and of the convolutions.
            convs: how many 3x3 convolutions with ReLU there are.
            anchors: at each position.
            softmax: whether an anchor has two logits, of object and background, instead of one.
        """
        super().__init__()
        self._softmax = softmax
        self.rpn_conv = (
            nn.Conv2d(in_channels, channels, 3, padding=1)
            if convs == 1
            else nn.Sequential(*(ConvModule(channels if n else in_channels, channels, 3) for n in range(convs)))
        )
        self.rpn_cls = nn.Conv2d(channels, 2 * anchors if softmax else anchors, 1)
        self.rpn_reg = nn.Conv2d(channels, 4 * anchors, 1)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level `[B, C, H, W]` → logits `[B, A, H, W]` and deltas `[B, 4A, H, W]`, dx dy dw dh of each anchor.

        The softmax of two logits is the sigmoid of their difference, which is therefore the logit.
        """
        hidden = [F.relu(self.rpn_conv(feature)) for feature in features]
        logits = [self.rpn_cls(x) for x in hidden]
        if self._softmax:
            logits = [x[:, ::2] - x[:, 1::2] for x in logits]
        return logits, [self.rpn_reg(x) for x in hidden]


class BoxHead(nn.Module):
    """Convolutions and linear layers, each with ReLU; then class logits, the background last, and box deltas.

    `Shared2FCBBoxHead` and `Shared4Conv1FCBBoxHead`; without any layer `BBoxHead`, which averages over the RoI.
    """

    def __init__(
        self,
        in_channels: int,
        resolution: int,
        classes: int,
        *,
        convs: Sequence[int] = (),
        fcs: Sequence[int] = (),
        class_agnostic: bool = False,
        average: bool = False,
        norm: NormConfig = None,
    ) -> None:
        """Make the head.

        Args:
            in_channels, resolution: of a pooled RoI.
            classes: without the background.
            convs, fcs: outputs of the 3x3 convolutions and of the linear layers.
            class_agnostic: whether all classes share their box deltas.
            average: whether the mean over the RoI is taken, instead of all of its cells.
            norm: of the convolutions.
        """
        super().__init__()
        self._average = average
        layers, channels = [], in_channels
        for outputs in convs:
            layers.append(ConvModule(channels, outputs, 3, norm=norm))
            channels = outputs
        self.shared_convs = nn.ModuleList(layers)
        channels = channels if average else channels * resolution**2
        linears = []
        for outputs in fcs:
            linears.append(nn.Linear(channels, outputs))
            channels = outputs
        self.shared_fcs = nn.ModuleList(linears)
        self.fc_cls = nn.Linear(channels, classes + 1)
        self.fc_reg = nn.Linear(channels, 4 if class_agnostic else 4 * classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, C, P, P]` → logits `[N, K+1]` and deltas `[N, 4K]` or `[N, 4]`."""
        for conv in self.shared_convs:
            x = conv(x)
        x = x.mean(dim=(2, 3)) if self._average else x.flatten(1)
        for fc in self.shared_fcs:
            x = F.relu(fc(x))
        return self.fc_cls(x), self.fc_reg(x)


class MaskHead(nn.Module):
    """3x3 convolutions with ReLU, a transposed one that doubles the size, and mask logits (`FCNMaskHead`)."""

    def __init__(self, in_channels: int, channels: int, convs: int, masks: int, *, norm: NormConfig = None) -> None:
        """Make the head.

        Args:
            in_channels, channels: of a pooled RoI, and of the convolutions.
            convs: how many 3x3 convolutions there are.
            masks: classes without the background, or 1 where all share a mask.
            norm: of the 3x3 convolutions.
        """
        super().__init__()
        self.convs = nn.ModuleList(
            ConvModule(channels if number else in_channels, channels, 3, norm=norm) for number in range(convs)
        )
        self.upsample = nn.ConvTranspose2d(channels if convs else in_channels, channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(channels, masks, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, P, P]` → `[N, K, 2P, 2P]` or `[N, 1, 2P, 2P]`."""
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(F.relu(self.upsample(x)))
