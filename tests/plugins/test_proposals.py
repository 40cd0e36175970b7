"""GenerateProposals: the host build against the eager operator, the kernels against the host build."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers

from maskrt.export.ops.proposals import generate_proposals
from maskrt.plugins import abi, device, device_proposals, host_proposals
from maskrt.plugins.proposal_attributes import ProposalAttributes

from ..support.proposals import Maps, draw_attributes, draw_maps, sigmoid

SCORES = [("logit", "probability"), ("logit", "logit"), ("probability", "probability"), ("probability", "logit")]


@pytest.fixture
def host(reference: Callable[..., Any]) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Give the host build's function of maps and attributes."""

    def call(maps: Maps, attributes: ProposalAttributes) -> tuple[np.ndarray, np.ndarray]:
        arrays = (maps.image_sizes, maps.canvas_size, maps.logits, maps.deltas)
        return reference(host_proposals.generate_proposals, *arrays, attributes)

    return call


def _eager(maps: Maps, attributes: ProposalAttributes) -> list[np.ndarray]:
    sizes = (torch.from_numpy(sizes) for sizes in (maps.image_sizes, maps.canvas_size))
    of_levels = ([torch.from_numpy(array) for array in arrays] for arrays in (maps.logits, maps.deltas))
    return [tensor.numpy() for tensor in generate_proposals(*sizes, *of_levels, attributes)]


def _draw(rng: np.random.Generator, most_images: int) -> tuple[Maps, ProposalAttributes]:
    cells = tuple(rng.integers(1, 4, rng.integers(1, 6)).tolist())
    top_k_by, nms_by = SCORES[rng.integers(len(SCORES))]
    chosen = {
        "top_k_by": top_k_by,
        "nms_by": nms_by,
        "pre_nms_top_k": int(rng.choice([5, 60, 1000])),
        "post_nms_top_k": int(rng.choice([7, 80])),
        "finite_logits": int(rng.integers(2)),
        "min_probability": float(rng.choice([0.0, 0.3])),
        "weights_operation": str(rng.choice(["divide", "multiply"])),
    }
    attributes = draw_attributes(rng, cells, **chosen)
    dtype, batch = rng.choice([np.float32, np.float16]), int(rng.integers(1, most_images + 1))
    return draw_maps(rng, attributes, batch, dtype, odd=bool(rng.integers(2))), attributes


def test_host_equals_the_eager_operator(
    host: Callable[..., Any], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "sigmoid", sigmoid)
    for _ in range(60):
        maps, attributes = _draw(rng, 8)
        for found, expected in zip(host(maps, attributes), _eager(maps, attributes), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-3)


def _launch(kernels: Any, maps: Maps, attributes: ProposalAttributes, channels_last: bool = False) -> list[np.ndarray]:
    """Run the kernels, with guards behind the outputs and the workspace."""

    def put_map(array: np.ndarray) -> Any:
        if not channels_last:
            return kernels._put(array)
        return _as_channels_first(kernels._put(np.ascontiguousarray(array.transpose(0, 2, 3, 1))))

    stream = kernels._start()
    batch = len(maps.image_sizes)
    num = kernels._put(np.full(batch + 4, 77, np.int32))
    proposals = kernels._put(np.full((batch + 1, attributes.post_nms_top_k, 4), 77, np.float32))
    sizes = [array.shape[2:] for array in maps.logits]
    needed = device_proposals.generate_proposals_workspace_bytes(batch, sizes, attributes)
    workspace = kernels._put(np.random.default_rng(0).integers(0, 256, needed + 64, np.uint8))
    before = kernels._get(workspace)[needed:].copy()
    device_proposals.generate_proposals(
        kernels._put(maps.image_sizes),
        kernels._put(maps.canvas_size),
        [put_map(array) for array in maps.logits],
        [put_map(array) for array in maps.deltas],
        num[:batch],
        proposals[:batch],
        workspace[:needed],
        attributes,
        stream,
    )
    assert (kernels._get(num)[batch:] == 77).all()
    assert (kernels._get(proposals)[batch] == 77).all()
    np.testing.assert_array_equal(kernels._get(workspace)[needed:], before)
    return [kernels._get(num)[:batch], kernels._get(proposals)[:batch]]


def _as_channels_first(array: Any) -> Any:
    return array.permute(0, 3, 1, 2) if isinstance(array, torch.Tensor) else array.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("channels_last", [False, True])
def test_kernels_equal_the_host_build(
    kernels: Any, host: Callable[..., Any], channels_last: bool, rng: np.random.Generator
) -> None:
    for seed in range(3):
        kernels.seed = seed
        maps, attributes = _draw(rng, 3)
        found = _launch(kernels, maps, attributes, channels_last)
        for ours, theirs in zip(found, host(maps, attributes), strict=True):
            np.testing.assert_array_equal(ours, theirs)


# More candidates than a block sorts at once, tied all; more anchors wanted than that, in two tiles.
@pytest.mark.parametrize(("top_k", "size"), [(50, (45, 60)), (5000, (45, 60)), (5000, (12, 20))])
@pytest.mark.parametrize(("top_k_by", "nms_by"), SCORES[1::2])
def test_many_tied_anchors(
    kernels: Any, host: Callable[..., Any], top_k: int, size: tuple[int, int], top_k_by: str, nms_by: str
) -> None:
    rng = np.random.default_rng(top_k)
    changes = {"pre_nms_top_k": top_k, "top_k_by": top_k_by, "nms_by": nms_by, "strides": (4,)}
    attributes = draw_attributes(rng, (3,), **changes)
    maps = draw_maps(rng, attributes, 1, np.float32, sizes=[size])
    for values in (np.full_like(maps.logits[0], -2), np.round(maps.logits[0] / 5)):
        tied = replace(maps, logits=[values])
        for ours, theirs in zip(_launch(kernels, tied, attributes), host(tied, attributes), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_without_a_finite_number_there_are_no_proposals(kernels: Any, host: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    attributes = draw_attributes(rng, (2, 1), finite_logits=1)
    maps = draw_maps(rng, attributes, 2, np.float16)
    for bad in (np.nan, np.inf, -np.inf):
        logits = [np.full_like(array, bad) for array in maps.logits]
        for num, proposals in (_launch(kernels, replace(maps, logits=logits), attributes), host(maps, attributes)):
            assert num.shape == (2,)
            assert np.isfinite(proposals).all()
        assert not _launch(kernels, replace(maps, logits=logits), attributes)[0].any()
        deltas = [np.full_like(array, bad) for array in maps.deltas]
        found = _launch(kernels, replace(maps, deltas=deltas), attributes)
        for ours, theirs in zip(found, host(replace(maps, deltas=deltas), attributes), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_levels_without_anchors(kernels: Any, host: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    attributes = draw_attributes(rng, (2, 1, 3))
    for sizes in ([(0, 3), (4, 5), (2, 0)], [(0, 0), (0, 0), (0, 0)]):
        maps = draw_maps(rng, attributes, 2, np.float32, sizes=sizes)
        for ours, theirs in zip(_launch(kernels, maps, attributes), host(maps, attributes), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell_anchors": (1,) * 9, "strides": (4,) * 9, "offsets": (0.0,) * 9}, "9 levels, of at most 8"),
        ({"cell_anchors": (129,), "strides": (4,), "offsets": (0.0,)}, "129 anchors to a position in all levels"),
        ({"pre_nms_top_k": 8193}, "8193 anchors of a level before NMS, of at most 8192"),
    ],
)
def test_says_what_the_kernels_cannot_take(changes: dict[str, Any], message: str) -> None:
    cells = changes.pop("cell_anchors", (3,))
    attributes = draw_attributes(np.random.default_rng(0), cells, **changes)
    assert message in str(attributes.what_the_kernels_cannot())
    with pytest.raises(ValueError, match=message):
        attributes.to_struct()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell_anchors": (0,)}, "an anchor at the least"),
        ({"strides": (4, 8)}, "1 levels need as many strides"),
        ({"strides": (-1,)}, "strides must be 0"),
        ({"anchors": (1.0,) * 8}, "3 anchors need four numbers each, but there are 8"),
        ({"nms_threshold": float("nan")}, "nms_threshold must be finite"),
        ({"anchors": (float("inf"),) * 12}, "anchors must be finite"),
        ({"nms_by": "score"}, "nms_by must be one of"),
        ({"post_nms_top_k": 0}, "must be at least 1, but are 60 and 0"),
    ],
)
def test_unfit_attributes_are_named(changes: dict[str, Any], message: str) -> None:
    attributes = draw_attributes(np.random.default_rng(0), (3,))
    with pytest.raises(ValueError, match=message):
        replace(attributes, **changes)


def test_a_launch_with_sizes_out_of_range_is_refused(emulated_kernels: Any) -> None:
    rng = np.random.default_rng(0)
    attributes = draw_attributes(rng, (1, 1))
    maps = draw_maps(rng, attributes, 1, np.float32)
    struct = attributes.to_struct()
    struct.level_count = 6
    emulated_kernels._start()
    call = abi.ProposalsStruct(attributes=struct, batch=len(maps.image_sizes))
    assert device.library().maskrt_proposals_launch(ctypes.byref(call), None, None) == -1


@pytest.mark.parametrize("canvas", [(800, 1344), (1344, 1344)])
def test_host_equals_torchvisions_network_at_full_size(host: Callable[..., Any], canvas: tuple[int, int]) -> None:
    """268,569 anchors of a batch of two; logits that are all different."""
    rng = np.random.default_rng(canvas[0])
    rpn = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).rpn.eval()
    sizes = [(-(-canvas[0] // stride), -(-canvas[1] // stride)) for stride in (4, 8, 16, 32, 64)]
    attributes = replace(
        draw_attributes(rng, (3,) * 5),
        strides=(0,) * 5,
        offsets=(0.0,) * 5,
        anchors=tuple(torch.cat(rpn.anchor_generator.cell_anchors).reshape(-1).tolist()),
        pre_nms_top_k=1000,
        post_nms_top_k=1000,
    )
    maps = draw_maps(rng, attributes, 2, np.float32, odd=False, sizes=sizes)
    total = sum(3 * h * w for h, w in sizes)
    for image in range(2):  # within -8 … 4, in steps that float32 tells apart
        scattered, first = (rng.permutation(total) / total * 12 - 8).astype(np.float32), 0
        for of_level in maps.logits:
            of_level[image] = scattered[first : first + of_level[image].size].reshape(of_level[image].shape)
            first += of_level[image].size
    image_sizes = [(canvas[0] - 7, canvas[1] - 30), (canvas[0] - 190, canvas[1] - 3)]
    maps = replace(maps, image_sizes=np.array(image_sizes, np.int32), canvas_size=np.array(canvas, np.int32))
    logits, deltas = ([torch.from_numpy(array) for array in arrays] for arrays in (maps.logits, maps.deltas))
    with torch.inference_mode():
        anchors = rpn.anchor_generator(ImageList(torch.zeros(2, 3, *canvas), image_sizes), logits)
        scores, moves = concat_box_prediction_layers(logits, deltas)
        boxes = rpn.box_coder.decode(moves, anchors).view(2, -1, 4)
        counts = [3 * h * w for h, w in sizes]
        expected, _ = rpn.filter_proposals(boxes, scores, image_sizes, counts)
    num, proposals = host(maps, attributes)
    for image, wanted in enumerate(expected):
        assert num[image] == len(wanted)
        np.testing.assert_allclose(proposals[image, : len(wanted)], wanted, atol=1e-3)
