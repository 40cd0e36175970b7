"""The heads of detectron2: on every position (`StandardRPNHead`) and on every RoI."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from maskrt.export.families.detectron2.layers import Conv2d


class RPNHead(nn.Module):
    """Objectness and box deltas of the anchors at every position (`StandardRPNHead`)."""

    def __init__(self, channels: int, anchors: int, conv_dims: Sequence[int]) -> None:
        """Make the head.

        Args:
            channels: of the features.
            anchors: at each position.
            conv_dims: of the 3x3 convolutions, which are followed by ReLU; -1 keeps the number of channels.
        """
        super().__init__()
        convs = []
        for dim in conv_dims:
            outputs = channels if dim == -1 else dim
            convs.append(Conv2d(channels, outputs, 3, norm=""))
            channels = outputs
        if len(convs) == 1:
            self.conv: nn.Module = convs[0]
        else:
            self.conv = nn.Sequential()
            for number, conv in enumerate(convs):
                self.conv.add_module(f"conv{number}", conv)
                self.conv.add_module(f"relu{number}", nn.ReLU())
        self.objectness_logits = nn.Conv2d(channels, anchors, 1)
        self.anchor_deltas = nn.Conv2d(channels, 4 * anchors, 1)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level `[B, C, H, W]` → logits `[B, A, H, W]` and deltas `[B, 4A, H, W]`, dx dy dw dh of each anchor."""
        hidden = [F.relu(self.conv(feature)) for feature in features]
        return [self.objectness_logits(x) for x in hidden], [self.anchor_deltas(x) for x in hidden]


class BoxHead(nn.Module):
    """3x3 convolutions, then linear layers, each with ReLU (`FastRCNNConvFCHead`)."""

    def __init__(self, channels: int, resolution: int, conv_dims: Sequence[int], fc_dims: Sequence[int], norm: str):
        """Make the head.

        Args:
            channels, resolution: of a pooled RoI.
            conv_dims, fc_dims: outputs of the convolutions and of the linear layers.
            norm: a value of `layers.NORMS`, of the convolutions.
        """
        super().__init__()
        self._convs = [f"conv{number}" for number in range(1, len(conv_dims) + 1)]
        self._fcs = [f"fc{number}" for number in range(1, len(fc_dims) + 1)]
        for name, outputs in zip(self._convs, conv_dims, strict=True):
            self.add_module(name, Conv2d(channels, outputs, 3, norm=norm))
            channels = outputs
        self.out_channels = channels * resolution**2
        for name, outputs in zip(self._fcs, fc_dims, strict=True):
            self.add_module(name, nn.Linear(self.out_channels, outputs))
            self.out_channels = outputs

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, P, P]` → `[N, D]`."""
        for name in self._convs:
            x = F.relu(getattr(self, name)(x))
        x = x.flatten(1)
        for name in self._fcs:
            x = F.relu(getattr(self, name)(x))
        return x


class BoxPredictor(nn.Module):
    """Class logits, the background last, and box deltas, of each class or of none (`FastRCNNOutputLayers`)."""

    def __init__(self, channels: int, classes: int, class_agnostic: bool) -> None:
        """`channels` of the box head; `classes` without the background."""
        super().__init__()
        self.cls_score = nn.Linear(channels, classes + 1)
        self.bbox_pred = nn.Linear(channels, 4 if class_agnostic else 4 * classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, D]` → logits `[N, K+1]` and deltas `[N, 4K]` or `[N, 4]`."""
        return self.cls_score(x), self.bbox_pred(x)


class MaskHead(nn.Module):
    """3x3 convolutions, a transposed one that doubles the size, and mask logits (`MaskRCNNConvUpsampleHead`)."""

    def __init__(self, channels: int, conv_dims: Sequence[int], deconv_dim: int, masks: int, norm: str) -> None:
        """Make the head.

        Args:
            channels: of a pooled RoI.
            conv_dims: outputs of the convolutions.
            deconv_dim: outputs of the transposed convolution.
            masks: classes without the background, or 1 where all share a mask.
            norm: a value of `layers.NORMS`, of the convolutions.
        """
        super().__init__()
        self._convs = [f"mask_fcn{number}" for number in range(1, len(conv_dims) + 1)]
        for name, outputs in zip(self._convs, conv_dims, strict=True):
            self.add_module(name, Conv2d(channels, outputs, 3, norm=norm))
            channels = outputs
        self.deconv = nn.ConvTranspose2d(channels, deconv_dim, 2, stride=2)
        self.predictor = nn.Conv2d(deconv_dim, masks, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, P, P]` → `[N, K, 2P, 2P]` or `[N, 1, 2P, 2P]`."""
        for name in self._convs:
            x = F.relu(getattr(self, name)(x))
        return self.predictor(F.relu(self.deconv(x)))


class KeypointHead(nn.Module):
    """3x3 convolutions, then a transposed one and an interpolation (`KRCNNConvDeconvUpsampleHead`)."""

    def __init__(self, channels: int, conv_dims: Sequence[int], keypoints: int) -> None:
        """Make the head.

        Args:
            channels: of a pooled RoI.
            conv_dims: outputs of the convolutions, which are followed by ReLU.
            keypoints: how many there are.
        """
        super().__init__()
        self._convs = [f"conv_fcn{number}" for number in range(1, len(conv_dims) + 1)]
        for name, outputs in zip(self._convs, conv_dims, strict=True):
            self.add_module(name, Conv2d(channels, outputs, 3, norm=""))
            channels = outputs
        self.score_lowres = nn.ConvTranspose2d(channels, keypoints, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, P, P]` → heatmaps `[N, number of keypoints, 4P, 4P]`."""
        for name in self._convs:
            x = F.relu(getattr(self, name)(x))
        return F.interpolate(self.score_lowres(x), scale_factor=2, mode="bilinear", align_corners=False)
