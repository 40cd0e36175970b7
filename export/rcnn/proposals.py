"""The region proposal network of the export graph, behind its head (Ren et al. 2015)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from maskrt.contract.tensors import round_down_to_float32
from maskrt.export.ops.nms import batched_nms
from maskrt.export.rcnn.boxes import clip_boxes, decode_boxes, gather_rows, is_large_enough
from maskrt.export.rcnn.spec import RPN
from maskrt.export.rcnn.top_k import MOST_AT_ONCE, NEVER, top_k

_NO_PROPOSAL = {"probability": (-1.0, -0.5), "logit": (-3e38, -1e38)}
"""By the score that decides: that of a row which is no proposal, and a threshold between it and all others."""


def propose(
    rpn: RPN,
    cells: Sequence[Tensor],
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    canvas_size: Sequence[int],
    limits: Tensor,
) -> tuple[Tensor, Tensor]:
    """Turn what the head says of each anchor into proposals.

    Args:
        rpn: the spec.
        cells: of each level, `[A, 4]` float32, see `Anchors.cells`.
        logits: of each level, `[B, A, H_l, W_l]`.
        deltas: of each level, `[B, 4A, H_l, W_l]`.
        canvas_size: height and width.
        limits: of each image `[B, 1, 4]`: width, height, width, height.

    Returns:
        Proposals `[B, R, 4]` xyxy in canvas pixels, and which of the rows exist `[B, R]`.
    """
    boxes, scores, groups = [], [], []
    for level, of_level in enumerate(zip(cells, logits, deltas, strict=True)):
        level_boxes, level_scores = _best_anchors(rpn, level, *of_level, canvas_size)
        boxes.append(clip_boxes(level_boxes, limits))
        scores.append(level_scores)
        groups.append(torch.full_like(level_scores, level, dtype=torch.int32))
    box, score = torch.cat(boxes, dim=1), torch.cat(scores, dim=1)
    absent, threshold = _NO_PROPOSAL[rpn.nms_by]
    conditions = []
    if rpn.min_side is not None:
        conditions.append(is_large_enough(box, rpn.min_side))
    if rpn.min_probability is not None:
        probability = score if rpn.nms_by == "probability" else torch.sigmoid(score)
        conditions.append(probability >= rpn.min_probability)
    if conditions:
        score = torch.where(functools.reduce(operator.and_, conditions), score, absent)
    _, index = batched_nms(
        box,
        score,
        torch.cat(groups, dim=1),
        score.new_full((score.shape[0], 1), float(round_down_to_float32(rpn.nms_threshold))),
        score.new_full((score.shape[0], 1), threshold),
        rpn.post_nms_top_k,
    )
    exists = index >= 0
    chosen = gather_rows(box, index.clamp(min=0).to(torch.int64))
    return torch.where(exists[..., None], chosen, 0.0), exists


def _best_anchors(
    rpn: RPN, level: int, cells: Tensor, logits: Tensor, deltas: Tensor, canvas_size: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return the best anchors of one level, decoded: boxes `[B, k, 4]`, scores `[B, k]` for non-maximum suppression.

    Only these are decoded. Their positions follow from their indices, so that the grid is never laid out.
    """
    anchors = rpn.anchors[level]
    height, width = logits.shape[-2:]
    flat = logits.permute(0, 2, 3, 1).flatten(1)
    per_anchor = deltas.unflatten(1, (cells.shape[0], 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
    best, index = top_k(torch.sigmoid(flat) if rpn.top_k_by == "probability" else flat, rpn.pre_nms_top_k)
    position = index // cells.shape[0]
    row = position // width
    # Without a nominal stride it is the rounded-down ratio, which is not a power of two on levels of odd size.
    x = (position - row * width) * (anchors.stride or canvas_size[1] // width)
    y = row * (anchors.stride or canvas_size[0] // height)
    shift = torch.stack((x, y, x, y), dim=-1).to(torch.float32)
    if anchors.offset:
        shift = shift + anchors.offset
    boxes = decode_boxes(rpn.coder, gather_rows(per_anchor, index), cells[index - position * cells.shape[0]] + shift)
    if rpn.top_k_by == rpn.nms_by:
        return boxes, best
    scores = torch.sigmoid(best) if rpn.nms_by == "probability" else torch.gather(flat, 1, index)
    return boxes, torch.where(best > NEVER, scores, NEVER) if rpn.pre_nms_top_k > MOST_AT_ONCE else scores
