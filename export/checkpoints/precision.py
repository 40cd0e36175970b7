"""Weights of other types than float32 as float32, where that changes no number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from maskrt.export.checkpoints.errors import CheckpointError, shown
from maskrt.export.checkpoints.read import Checkpoint

COUNTER = "num_batches_tracked"
"""Last word of the name of batch normalisation's counter, the only whole number among weights, and read by nothing."""

_REMEDY = "torch.save(model.float().state_dict(), 'weights.pth')"


def in_float32(checkpoint: Checkpoint, names: Iterable[str] | None = None) -> Checkpoint:
    """Return a checkpoint whose weights are float32, each the very number that was saved; counters stay as they are.

    Args:
        checkpoint: as it was read.
        names: of the tensors that are wanted; None: all. Only these are looked at, and left.

    Raises:
        CheckpointError: a weight has a type, or a value, that is no number of float32, or is not finite.
    """
    wanted = checkpoint.tensors if names is None else {name: checkpoint.tensors[name] for name in names}
    tensors = {name: _exact(tensor, name, checkpoint) for name, tensor in wanted.items()}
    return replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, *_notes(checkpoint, wanted)))


def _exact(tensor: Tensor, name: str, checkpoint: Checkpoint) -> Tensor:
    if name.rpartition(".")[2] == COUNTER:
        return tensor
    saved = str(tensor.dtype).removeprefix("torch.")
    if not tensor.is_floating_point():
        raise CheckpointError(
            f"Cannot export {checkpoint.path}: its {shown(name)} is of the type {saved}; expected floating-point "
            f"numbers. Save them so: {_REMEDY}."
        )
    converted = tensor.to(torch.float32)
    if not converted.isfinite().all():
        finite = tensor.to(torch.float64).isfinite().all()
        what = "has numbers too large for float32" if finite else "has values that are not finite (NaN or infinity)"
        remedy = f"Train in float32: {_REMEDY}" if finite else "Its training has diverged; take an earlier checkpoint"
        raise CheckpointError(f"Cannot export {checkpoint.path}: its {shown(name)} {what}. {remedy}.")
    if tensor.dtype == torch.float64 and not torch.equal(converted.to(torch.float64), tensor):
        raise CheckpointError(
            f"Cannot export {checkpoint.path}: its {shown(name)} is of the type float64 and would be rounded to "
            f"float32. If these are the weights to compare with, save them rounded: {_REMEDY}."
        )
    return converted


def _notes(checkpoint: Checkpoint, wanted: Mapping[str, Tensor]) -> list[str]:
    types = {str(tensor.dtype).removeprefix("torch.") for name, tensor in wanted.items() if tensor.is_floating_point()}
    others = sorted(types - {"float32"})
    if not others:
        return []
    return [f"The weights of {checkpoint.path} are of the type {', '.join(others)}; as float32 they are the same."]
