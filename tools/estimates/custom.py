"""What the project's own operators launch, read and compute.

Cycles and instructions are estimates from the machine code (`maskrt.tools.inspect_sass`), for boxes as trained networks
give them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx
from onnx import helper

from maskrt.tools.estimates.launches import Launch
from maskrt.tools.estimates.shapes import Shapes

_SECTOR = 32
"""Bytes that a scattered read fetches."""

_INSTRUCTIONS_PER_BIN, _INSTRUCTIONS_PER_TAP = 100, 20
"""Of a thread with 8 channels, counted for 9.0: of a bin, with its part of an RoI's beginning; of a pixel it reads."""

_ROI_SIDE = 16.5
"""Of an RoI in pixels of its level, assumed: its size chooses the level. Of the 16 of a bin of 7x7, 10 are distinct."""

_READ_AGAIN = 0.12
"""Of the bytes that RoIAlign reads from the first-level cache, those that miss both caches though read before.

Assumed, for RoIs in the order of their level and place; in that of their scores it would be about three times as much.
"""

_CYCLES_PER_WORD = 700
"""Of the greedy choice, for 64 candidates."""

_SORT_CYCLES, _MERGE_CYCLES, _MASK_CYCLES = 4000, 1500, 3000
_RANK_CYCLES = 15_000
"""Of the block that ranks the best anchors of a level."""

_CANDIDATES = 2000
"""Classes above the threshold, in an image with many objects; 64 of them to a word."""


def roi_align(node: onnx.NodeProto, shapes: Shapes) -> Launch:
    """Estimate MultilevelRoIAlign: one kernel; that of the order runs where the features exceed the cache."""
    attributes = _attributes(node)
    pooled = shapes.count(node.output[0])
    taps = 4 * max(attributes["sampling_ratio"], 1) ** 2
    loaded = taps * shapes.bytes_of(node.output)
    if attributes["sampling_ratio"] == 2 and attributes["mode"] == b"avg":
        taps = _distinct_taps(attributes["output_height"]) * _distinct_taps(attributes["output_width"])
    features = shapes.bytes_of(node.input[1:])
    once = min(features, loaded)
    return Launch(
        bytes=once + shapes.bytes_of((node.input[0], *node.output)),
        bytes_read_again=int(_READ_AGAIN * (loaded - once)),
        working_set=features,
        instructions=int(pooled / 8 / 32 * (_INSTRUCTIONS_PER_BIN + _INSTRUCTIONS_PER_TAP * taps)),
    )


def _distinct_taps(bins: int) -> float:
    """Count the pixels that the two samples of a bin read on one axis: the second adds as many as it lies behind."""
    return 2 + min(2, _ROI_SIDE / bins / 2)


def generate_proposals(node: onnx.NodeProto, shapes: Shapes) -> Launch:
    """Estimate GenerateProposals: seven kernels; logits are read twice, deltas where an anchor is among the best."""
    attributes = _attributes(node)
    levels = len(attributes["cell_anchors"])
    logits = node.input[2 : 2 + levels]
    wanted = [min(attributes["pre_nms_top_k"], shapes.count(name)) for name in logits]
    return Launch(
        bytes=2 * shapes.bytes_of(logits) + sum(wanted) * 4 * _SECTOR + shapes.bytes_of(node.output),
        kernels=7,
        serial_cycles=_RANK_CYCLES + _MASK_CYCLES + -(-max(wanted) // 64) * _CYCLES_PER_WORD,
    )


def detection_output(node: onnx.NodeProto, shapes: Shapes) -> Launch:
    """Estimate DetectionOutput: candidates, merges, three kernels of NMS, the gathering of the results."""
    labels = shapes[node.input[0]][1]
    slots = shapes[node.input[2]][1] * (labels - 1)
    merges, runs = 0, -(-slots // 2048)
    while runs > 1:
        merges, runs = merges + 1, -(-runs // 8)
    candidates = min(_CANDIDATES, slots)
    return Launch(
        bytes=shapes.bytes_of((node.input[0], *node.output)) + candidates * 4 * _SECTOR,
        kernels=1 + merges + 3 + 1,
        serial_cycles=_SORT_CYCLES + merges * _MERGE_CYCLES + _MASK_CYCLES + -(-candidates // 64) * _CYCLES_PER_WORD,
    )


def decode_keypoints(node: onnx.NodeProto, shapes: Shapes) -> Launch:
    """Estimate DecodeKeypoints: one kernel."""
    return Launch(bytes=shapes.bytes_of((*node.input, *node.output)))


OPERATORS: Mapping[str, Callable[[onnx.NodeProto, Shapes], Launch]] = {
    "MultilevelRoIAlign": roi_align,
    "GenerateProposals": generate_proposals,
    "DetectionOutput": detection_output,
    "DecodeKeypoints": decode_keypoints,
}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
