"""Convolutions that carry their normalisation, as detectron2 names them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

BATCH_NORMS = ("BN", "SyncBN", "FrozenBN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")
"""Values of `NORM` that in inference are the same normalisation, by statistics that were kept; detectron2 tells them
apart in training only."""

NORMS = ("", *BATCH_NORMS, "GN")
"""Values of `NORM` that can be built."""


def make_norm(kind: str, channels: int) -> nn.Module | None:
    """Return the normalisation that a config's `NORM` names (detectron2's `get_norm`); None for ""."""
    if kind == "":
        return None
    if kind == "GN":
        return nn.GroupNorm(32, channels)
    assert kind in BATCH_NORMS, kind
    return nn.BatchNorm2d(channels, eps=1e-5)


class Conv2d(nn.Conv2d):
    """A convolution, and the normalisation behind it as its child `norm` (detectron2's `layers.Conv2d`)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, norm: str, **options: Any) -> None:
        """Make the layer; it has a bias only where `norm` is "". The padding keeps the size at stride 1."""
        dilation = options.get("dilation", 1)
        padding = kernel_size // 2 * dilation
        super().__init__(in_channels, out_channels, kernel_size, padding=padding, bias=norm == "", **options)
        self.norm = make_norm(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` → `[B, D, H', W']`."""
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)
