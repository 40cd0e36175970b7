"""Times of GenerateProposals beside what torchvision does behind the head of its region proposal network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers

from maskrt.plugins import device_proposals
from maskrt.plugins.proposal_attributes import LOWEST, ProposalAttributes
from maskrt.tools.kernel_benchmark.timing import compare

CANVAS = (800, 1344)
MAPS = ((200, 336), (100, 168), (50, 84), (25, 42), (13, 21))
"""Height and width of each level."""


def proposals(generator: torch.Generator, dtype: torch.dtype = torch.float, batch: int = 1) -> dict[str, Any]:
    """Time 268,569 anchors an image: the best 1000 of each level, decoded, NMS level by level, the best 1000."""
    rpn = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).rpn.cuda().eval()
    logits = [torch.randn(batch, 3, h, w, device="cuda", generator=generator) * 2 - 4 for h, w in MAPS]
    deltas = [torch.randn(batch, 12, h, w, device="cuda", generator=generator) * 0.3 for h, w in MAPS]
    images = torch.zeros(batch, 3, *CANVAS, device="cuda")
    anchors = rpn.anchor_generator(ImageList(images, [CANVAS] * batch), logits)
    counts = [level[0].numel() for level in logits]
    attributes = ProposalAttributes(
        cell_anchors=(3,) * len(MAPS),
        strides=(0,) * len(MAPS),
        offsets=(0.0,) * len(MAPS),
        anchors=tuple(torch.cat(rpn.anchor_generator.cell_anchors).reshape(-1).tolist()),
        weights=(1.0, 1.0, 1.0, 1.0),
        weights_operation="divide",
        min_log_scale=LOWEST,
        max_log_scale=rpn.box_coder.bbox_xform_clip,
        top_k_by="logit",
        nms_by="probability",
        pre_nms_top_k=1000,
        post_nms_top_k=1000,
        min_side=1e-3,
        min_side_inclusive=1,
        min_probability=0.0,
        finite_logits=0,
        nms_threshold=0.7,
    )
    sizes = torch.tensor([CANVAS] * batch, dtype=torch.int32, device="cuda")
    canvas = torch.tensor(CANVAS, dtype=torch.int32, device="cuda")
    maps = [[level.to(dtype) for level in levels] for levels in (logits, deltas)]
    num = torch.empty(batch, dtype=torch.int32, device="cuda")
    found = torch.empty(batch, attributes.post_nms_top_k, 4, device="cuda")
    workspace_bytes = device_proposals.generate_proposals_workspace_bytes(batch, MAPS, attributes)
    workspace = torch.empty(workspace_bytes, dtype=torch.uint8, device="cuda")

    def ours() -> None:
        stream = torch.cuda.current_stream().cuda_stream
        device_proposals.generate_proposals(sizes, canvas, maps[0], maps[1], num, found, workspace, attributes, stream)

    def theirs() -> list[Tensor]:
        scores, moves = concat_box_prediction_layers(list(maps[0]), list(maps[1]))
        boxes = rpn.box_coder.decode(moves.float(), anchors).view(batch, -1, 4)
        chosen, _ = rpn.filter_proposals(boxes, scores.float(), [CANVAS] * batch, counts)
        return list(chosen)

    ours()
    expected = theirs()
    return {
        **compare(ours, theirs, 1),
        "proposals": num.tolist(),
        "torchvisions": [len(boxes) for boxes in expected],
        "largest_difference": max(
            float((mine[: len(boxes)] - boxes).abs().max()) for mine, boxes in zip(found, expected, strict=True)
        ),
        "workspace_bytes": workspace_bytes,
    }


BENCHMARKS: Mapping[str, Callable[[torch.Generator], dict[str, Any]]] = {
    "generate_proposals_fp32": proposals,
    "generate_proposals_fp16": partial(proposals, dtype=torch.half),
    "generate_proposals_fp16_batch_8": partial(proposals, dtype=torch.half, batch=8),
}
