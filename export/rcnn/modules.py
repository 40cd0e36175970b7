"""The layers with weights of a two-stage detector; what lies between them is in the spec."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class RcnnModules:
    """Modules in evaluation mode, all of them parts of the source model.

    Attributes:
        backbone: `[B, 3, H, W]` float32 → a dictionary of feature maps `[B, C, H_l, W_l]`.
        rpn_head: a list of feature maps → a list of logits `[B, A, H_l, W_l]` and one of deltas `[B, 4A, H_l, W_l]`,
            those of an anchor beside each other.
        box_heads: each, pooled features `[N, C, P, P]` → logits `[N, L]` and deltas `[N, 4L]`, L labels, or as
            `ModelSpec` says otherwise.
        mask_heads: each, pooled features `[N, C, P, P]` → logits `[N, L, M, M]`; none for a model without masks.
        keypoint_head: pooled features `[N, C, P, P]` → heatmaps `[N, number of keypoints, M, M]`; None for a model
            without keypoints.
    """

    backbone: nn.Module
    rpn_head: nn.Module
    box_heads: tuple[nn.Module, ...]
    mask_heads: tuple[nn.Module, ...]
    keypoint_head: nn.Module | None = None

    def all(self) -> tuple[nn.Module, ...]:
        """Return all of them."""
        keypoints = () if self.keypoint_head is None else (self.keypoint_head,)
        return (self.backbone, self.rpn_head, *self.box_heads, *self.mask_heads, *keypoints)
