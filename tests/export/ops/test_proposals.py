"""The function in ONNX Runtime and the eager operator against the frameworks' steps, with NaN, infinities and ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torchvision.ops import batched_nms, clip_boxes_to_image

from maskrt.export.ops.nms import batched_nms_function
from maskrt.export.ops.proposals import generate_proposals, generate_proposals_function
from maskrt.plugins.proposal_attributes import ProposalAttributes

from ...support.proposals import Maps, draw_attributes, draw_maps, sigmoid

MakeModel = Callable[..., onnx.ModelProto]


def session(make_model: MakeModel, attributes: ProposalAttributes, dtype: type) -> onnxruntime.InferenceSession:
    """Make a file of one GenerateProposals."""
    value = helper.make_tensor_value_info
    levels, float_type = range(len(attributes.cell_anchors)), helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [
        value("image_sizes", TensorProto.INT32, ["B", 2]),
        value("canvas_size", TensorProto.INT32, [2]),
        *(value(f"logits_{i}", float_type, ["B", attributes.cell_anchors[i], f"h{i}", f"w{i}"]) for i in levels),
        *(value(f"deltas_{i}", float_type, ["B", 4 * attributes.cell_anchors[i], f"h{i}", f"w{i}"]) for i in levels),
    ]
    most = attributes.post_nms_top_k
    outputs = [value("num", TensorProto.INT32, ["B"]), value("proposals", TensorProto.FLOAT, ["B", most, 4])]
    function = generate_proposals_function(attributes)
    model = make_model(function, inputs, outputs, more=[batched_nms_function()], **attributes.to_node())
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(runner: onnxruntime.InferenceSession, maps: Maps) -> list[Any]:
    feed = {"image_sizes": maps.image_sizes, "canvas_size": maps.canvas_size}
    for i, (logits, deltas) in enumerate(zip(maps.logits, maps.deltas, strict=True)):
        feed |= {f"logits_{i}": logits, f"deltas_{i}": deltas}
    return list(runner.run(None, feed))


def eager(maps: Maps, attributes: ProposalAttributes) -> tuple[torch.Tensor, torch.Tensor]:
    sizes = (torch.from_numpy(sizes) for sizes in (maps.image_sizes, maps.canvas_size))
    of_levels = ([torch.from_numpy(array) for array in arrays] for arrays in (maps.logits, maps.deltas))
    return generate_proposals(*sizes, *of_levels, attributes)


def frameworks(maps: Maps, attributes: ProposalAttributes, image: int) -> torch.Tensor:
    """Compute the proposals of an image as torchvision's RegionProposalNetwork.filter_proposals and its like do."""
    boxes, logits, levels, first = [], [], [], 0
    for level, (cells, stride, offset) in enumerate(
        zip(attributes.cell_anchors, attributes.strides, attributes.offsets, strict=True)
    ):
        own = torch.tensor(attributes.anchors[4 * first : 4 * (first + cells)]).reshape(-1, 4)
        first += cells
        scored = torch.from_numpy(maps.logits[level][image]).float()
        height, width = scored.shape[1:]
        steps = [stride or int(side) // n for side, n in zip(maps.canvas_size, (height, width), strict=True)]
        y, x = torch.meshgrid(torch.arange(height) * steps[0], torch.arange(width) * steps[1], indexing="ij")
        shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4).float() + offset
        anchors = (own[None] + shifts).reshape(-1, 4)
        flat = scored.permute(1, 2, 0).reshape(-1)
        ranked = sigmoid(flat) if attributes.top_k_by == "probability" else flat
        best = torch.sort(ranked, descending=True, stable=True).indices[: attributes.pre_nms_top_k]
        moves = torch.from_numpy(maps.deltas[level][image]).float().unflatten(0, (-1, 4)).permute(2, 3, 0, 1)
        moves = moves.reshape(-1, 4)[best]
        weights = torch.tensor(attributes.weights)
        moves = moves / weights if attributes.weights_operation == "divide" else moves * weights
        growth = moves[:, 2:].clamp(attributes.min_log_scale, attributes.max_log_scale)
        sides = anchors[best, 2:] - anchors[best, :2]
        centers = moves[:, :2] * sides + (anchors[best, :2] + 0.5 * sides)
        halves = 0.5 * (growth.exp() * sides)
        boxes.append(torch.cat((centers - halves, centers + halves), dim=1))
        logits.append(flat[best])
        levels.append(torch.full_like(best, level))
    box, logit, level_of = torch.cat(boxes), torch.cat(logits), torch.cat(levels)
    box = clip_boxes_to_image(box, tuple(maps.image_sizes[image].tolist()))
    sides = box[:, 2:] - box[:, :2]
    kept = (sides >= attributes.min_side if attributes.min_side_inclusive else sides > attributes.min_side).all(dim=1)
    kept &= sigmoid(logit) >= attributes.min_probability
    if attributes.finite_logits:
        kept &= logit.isfinite()
    box, logit, level_of = box[kept], logit[kept], level_of[kept]
    score = sigmoid(logit) if attributes.nms_by == "probability" else logit
    ranks = torch.sort(score, descending=True, stable=True).indices  # batched_nms leaves the order of ties open
    falling = torch.linspace(1, 0.5, len(ranks))
    kept_ranks = batched_nms(box[ranks], falling, level_of[ranks], attributes.nms_threshold)
    return box[ranks][kept_ranks[: attributes.post_nms_top_k]]


CHOICES = [
    {"top_k_by": "logit", "nms_by": "probability"},  # torchvision
    {
        "top_k_by": "logit",
        "nms_by": "logit",
        "min_side": 0.0,
        "min_side_inclusive": 0,
        "finite_logits": 1,
    },  # detectron2
    {  # mmdetection
        "top_k_by": "probability",
        "nms_by": "probability",
        "weights_operation": "multiply",
        "min_log_scale": -4.135166645050049,
        "min_side": 0.0,
        "min_side_inclusive": 0,
    },
    {"top_k_by": "probability", "nms_by": "logit", "min_probability": 0.3, "pre_nms_top_k": 7, "post_nms_top_k": 9},
]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_function_and_eager_operator_equal_the_frameworks(
    make_model: MakeModel,
    choice: dict[str, Any],
    dtype: type,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "sigmoid", sigmoid)
    for cells in ((3,), (1, 2), (3, 3, 1, 2, 3)):
        attributes = draw_attributes(rng, cells, **choice)
        runner = session(make_model, attributes, dtype)
        for batch in (1, 3):
            maps = draw_maps(rng, attributes, batch, dtype)
            num, proposals = run(runner, maps)
            expected_num, expected = eager(maps, attributes)
            for image in range(batch):
                wanted = frameworks(maps, attributes, image)
                assert num[image] == expected_num[image] == len(wanted)
                for found in (proposals[image], expected[image]):
                    np.testing.assert_allclose(found[: len(wanted)], wanted, atol=1e-3)
                    assert not found[len(wanted) :].any()
