"""GenerateProposals on GPU arrays, launched straight from libmaskrt_plugins.so; see `maskrt.plugins.device`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from maskrt.plugins import abi, device
from maskrt.plugins.cuda_arrays import CudaArray, inspect_array
from maskrt.plugins.host_proposals import check_levels
from maskrt.plugins.proposal_attributes import ProposalAttributes


def generate_proposals_workspace_bytes(
    batch: int, sizes: Sequence[tuple[int, int]], attributes: ProposalAttributes
) -> int:
    """Return how many bytes of GPU memory `generate_proposals` needs for maps of these heights and widths."""
    call = abi.ProposalsStruct(attributes=attributes.to_struct(), batch=batch)
    for level, size in enumerate(sizes):
        call.heights[level], call.widths[level] = size
    return int(device.library().maskrt_proposals_workspace(ctypes.byref(call)))


def generate_proposals(
    image_sizes: CudaArray,
    canvas_size: CudaArray,
    logits: Sequence[CudaArray],
    deltas: Sequence[CudaArray],
    num: CudaArray,
    proposals: CudaArray,
    workspace: CudaArray,
    attributes: ProposalAttributes,
    stream: int = 0,
) -> None:
    """Queue GenerateProposals (see `host_proposals.generate_proposals`): seven launches, whatever the levels.

    Args:
        image_sizes: [B, 2] int32.
        canvas_size: [2] int32.
        logits: per level [B, A, H_l, W_l], all float32 or all float16, all contiguous or all channels-last.
        deltas: per level [B, 4 A, H_l, W_l], of the same type and layout.
        num: [B] int32, written.
        proposals: [B, K, 4] float32, written.
        workspace: uint8, at least `generate_proposals_workspace_bytes` long; its content does not matter.
        attributes: of the node.
        stream: a cudaStream_t.

    Raises:
        ValueError: a shape, type or layout does not fit.
        DeviceError: a launch failed.
    """
    check_levels(len(logits), len(deltas), attributes)
    sizes = inspect_array("image_sizes", image_sizes, np.int32, (None, 2))
    batch = sizes.shape[0]
    first = inspect_array("logits_0", logits[0], None, (batch, attributes.cell_anchors[0], None, None), any_layout=True)
    if first.dtype not in (np.float32, np.float16):
        raise ValueError(f"logits must be float32 or float16, but logits_0 is {first.dtype}")
    maps = []
    for level, cells in enumerate(attributes.cell_anchors):
        wanted = (batch, cells, None, None)
        scores = inspect_array(f"logits_{level}", logits[level], first.dtype, wanted, any_layout=True)
        height, width = scores.shape[2:]
        of_moves = (batch, 4 * cells, height, width)
        moves = inspect_array(f"deltas_{level}", deltas[level], first.dtype, of_moves, any_layout=True)
        maps.append((scores, moves))
    arrays = [array for pair in maps for array in pair]
    channels_last = not all(array.contiguous for array in arrays)
    if channels_last and not all(array.channels_last for array in arrays):
        raise ValueError("logits and deltas must be all contiguous or all channels-last")
    scratch = inspect_array("workspace", workspace, np.uint8, (None,))
    target = inspect_array("proposals", proposals, np.float32, (batch, attributes.post_nms_top_k, 4))
    call = abi.ProposalsStruct(
        attributes=attributes.to_struct(),
        batch=batch,
        data_type=abi.FLOAT16 if first.dtype == np.float16 else abi.FLOAT32,
        channels_last=channels_last,
        image_sizes=sizes.pointer,
        canvas_size=inspect_array("canvas_size", canvas_size, np.int32, (2,)).pointer,
        num=inspect_array("num", num, np.int32, (batch,)).pointer,
        proposals=target.pointer,
    )
    for level, (scores, moves) in enumerate(maps):
        call.heights[level], call.widths[level] = scores.shape[2:]
        call.logits[level], call.deltas[level] = scores.pointer, moves.pointer
        call.logit_strides[level], call.delta_strides[level] = scores.shape[1], moves.shape[1]
    needed = int(device.library().maskrt_proposals_workspace(ctypes.byref(call)))
    if scratch.shape[0] < needed:
        raise ValueError(f"the workspace must have {needed} bytes, but has {scratch.shape[0]}")
    device.check(device.library().maskrt_proposals_launch(ctypes.byref(call), scratch.pointer, stream))
