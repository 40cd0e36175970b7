"""Convolutions with their normalisation, named as mmcv's `ConvModule` and `build_norm_layer` do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

BATCH_NORMS = ("BN", "BN2d", "SyncBN", "MMSyncBN", "naiveSyncBN")
"""Values of `norm_cfg.type` that in inference are the same normalisation, by statistics that were kept."""

NORMS = (*BATCH_NORMS, "GN")
"""Values of `norm_cfg.type` that can be built."""

NormConfig = Mapping[str, Any] | None
"""A `norm_cfg`; None: no normalisation, and a bias in the convolution instead."""


def make_norm(config: Mapping[str, Any], channels: int) -> nn.Module:
    """Return the normalisation of a `norm_cfg`."""
    epsilon = config.get("eps", 1e-5)
    if config["type"] == "GN":
        return nn.GroupNorm(config["num_groups"], channels, eps=epsilon)
    assert config["type"] in BATCH_NORMS, config
    return nn.BatchNorm2d(channels, eps=epsilon)


def norm_name(config: Mapping[str, Any]) -> str:
    """Return what mmcv calls the layer: "bn" or "gn"."""
    return "gn" if config["type"] == "GN" else "bn"


class ConvModule(nn.Module):
    """A convolution `conv`, its normalisation `bn` or `gn`, and ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, norm: NormConfig = None, relu: bool = True
    ) -> None:
        """Make the layer, of stride 1 and with the padding that keeps the size."""
        super().__init__()
        self._relu = relu
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=norm is None)
        self._norm = None if norm is None else norm_name(norm)
        if norm is not None:
            self.add_module(norm_name(norm), make_norm(norm, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` → `[B, D, H, W]`."""
        x = self.conv(x)
        if self._norm is not None:
            x = getattr(self, self._norm)(x)
        return F.relu(x) if self._relu else x
