"""The region proposal network of the export graph, behind its head (Ren et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from maskrt.contract.tensors import round_down_to_float32
from maskrt.export.ops.proposals import generate_proposals
from maskrt.export.rcnn.spec import ANY_SIDE, RPN
from maskrt.plugins.proposal_attributes import LOWEST, ProposalAttributes


def proposal_attributes(rpn: RPN) -> ProposalAttributes:
    """Write the spec as attributes of the operator."""
    coder, min_side = rpn.coder, rpn.min_side or ANY_SIDE
    return ProposalAttributes(
        cell_anchors=tuple(len(level.cells) for level in rpn.anchors),
        strides=tuple(level.stride or 0 for level in rpn.anchors),
        offsets=tuple(level.offset for level in rpn.anchors),
        anchors=tuple(side for level in rpn.anchors for cell in level.cells for side in cell),
        weights=coder.weights,
        weights_operation=coder.operation,
        min_log_scale=LOWEST if coder.min_log_scale is None else coder.min_log_scale,
        max_log_scale=coder.max_log_scale,
        top_k_by=rpn.top_k_by,
        nms_by=rpn.nms_by,
        pre_nms_top_k=rpn.pre_nms_top_k,
        post_nms_top_k=rpn.post_nms_top_k,
        min_side=min_side.pixels,
        min_side_inclusive=int(min_side.inclusive),
        min_probability=rpn.min_probability or 0.0,
        finite_logits=int(rpn.finite_logits),
        nms_threshold=float(round_down_to_float32(rpn.nms_threshold)),
    )


def propose(
    attributes: ProposalAttributes,
    images: Tensor,
    image_sizes: Tensor,
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """Turn what the head says of each anchor into proposals.

    Args:
        attributes: of the spec.
        images: `[B, H, W, 3]`, for its height and width.
        image_sizes: `[B, 2]` int32, the valid height and width of each.
        logits: of each level, `[B, A, H_l, W_l]`.
        deltas: of each level, `[B, 4A, H_l, W_l]`.

    Returns:
        Proposals `[B, R, 4]` xyxy in canvas pixels, and how many of the rows exist `[B]` int32.
    """
    sides = [torch.full((1,), images.shape[axis], dtype=torch.int32, device=images.device) for axis in (1, 2)]
    num, proposals = generate_proposals(image_sizes, torch.cat(sides), logits, deltas, attributes)
    return proposals, num
