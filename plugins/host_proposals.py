"""GenerateProposals on NumPy arrays, by the host build of the kernels' arithmetic; see `maskrt.plugins.host`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskrt.plugins import abi, host
from maskrt.plugins.array_checks import check_type_and_shape
from maskrt.plugins.proposal_attributes import ProposalAttributes


def generate_proposals(
    image_sizes: NDArray[np.int32],
    canvas_size: NDArray[np.int32],
    logits: Sequence[NDArray[np.floating]],
    deltas: Sequence[NDArray[np.floating]],
    attributes: ProposalAttributes,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Turn a region proposal network's maps into proposals (Ren et al. 2015), as the frameworks do by their attributes.

    Of each level the best anchors are decoded (Girshick et al. 2014, appendix C), clipped and filtered; of what
    non-maximum suppression keeps in each level, the best are proposals. Ties: the earlier level, then the lower number
    of the anchor (row by row, column by column). NaN logits rank first, as in `torch.topk`, and make no proposals; nor
    do boxes with a NaN coordinate.

    Args:
        image_sizes: [B, 2] int32, the height and width that boxes are clipped to.
        canvas_size: [2] int32, height and width of what the network saw.
        logits: per level [B, A, H_l, W_l], all float32 or all float16.
        deltas: per level [B, 4 A, H_l, W_l] of the same type.
        attributes: of the node.

    Returns:
        num [B] int32 and proposals [B, K, 4] float32 xyxy in canvas pixels, the best first, zero after the first num.

    Raises:
        ValueError: a shape or type does not fit.
        maskrt.plugins.libraries.PluginLibraryError: the library is not built.
    """
    check_type_and_shape("image_sizes", image_sizes.dtype, image_sizes.shape, np.int32, (None, 2))
    check_type_and_shape("canvas_size", canvas_size.dtype, canvas_size.shape, np.int32, (2,))
    batch = image_sizes.shape[0]
    check_levels(len(logits), len(deltas), attributes)
    if logits[0].dtype not in (np.float32, np.float16):
        raise ValueError(f"logits must be float32 or float16, but logits_0 is {logits[0].dtype}")
    for level, (cells, of_level, moves) in enumerate(zip(attributes.cell_anchors, logits, deltas, strict=True)):
        size = of_level.shape[2:] if of_level.ndim == 4 else (None, None)
        wanted = logits[0].dtype
        check_type_and_shape(f"logits_{level}", of_level.dtype, of_level.shape, wanted, (batch, cells, None, None))
        check_type_and_shape(f"deltas_{level}", moves.dtype, moves.shape, wanted, (batch, 4 * cells, *size))
    image_sizes, canvas_size = np.ascontiguousarray(image_sizes), np.ascontiguousarray(canvas_size)
    wide = [[np.ascontiguousarray(array, np.float32) for array in arrays] for arrays in (logits, deltas)]
    num = np.empty(batch, np.int32)
    proposals = np.empty((batch, attributes.post_nms_top_k, 4), np.float32)
    call = abi.ProposalsStruct(
        attributes=attributes.to_struct(),
        batch=batch,
        data_type=abi.FLOAT32,
        image_sizes=image_sizes.ctypes.data,
        canvas_size=canvas_size.ctypes.data,
        num=num.ctypes.data,
        proposals=proposals.ctypes.data,
    )
    for level, (of_level, moves) in enumerate(zip(*wide, strict=True)):
        call.heights[level], call.widths[level] = of_level.shape[2:]
        call.logits[level], call.deltas[level] = of_level.ctypes.data, moves.ctypes.data
    host.check_status(host.library().maskrt_host_proposals(ctypes.byref(call)))
    return num, proposals


def check_levels(logits: int, deltas: int, attributes: ProposalAttributes) -> None:
    """Raise ValueError unless there are as many maps as the attributes have levels."""
    levels = len(attributes.cell_anchors)
    if logits != levels or deltas != levels:
        raise ValueError(f"{levels} levels need as many logits and deltas, but there are {logits} and {deltas}")
