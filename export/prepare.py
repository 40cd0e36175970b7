"""What a model is made into before it is looked at: without wrappers, FP32, on the CPU."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from maskrt.export.errors import UnsupportedModelError

_WRAPPERS: dict[str, str] = {
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.optim.swa_utils.AveragedModel": "module",
}
"""Classes that only pass on what they hold, and the attribute that holds it."""


def unwrap_model(model: nn.Module) -> nn.Module:
    """Take `DataParallel`, `DistributedDataParallel`, `torch.compile` and `AveragedModel` off, and off each part.

    Returns:
        The model itself where there is none; else one that shares all weights with it. `model.compile()` is undone
        alike.
    """
    return _unwrap(model, {})


def _unwrap(module: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    held: Any = module
    while (attribute := _WRAPPERS.get(f"{type(held).__module__}.{type(held).__qualname__}")) is not None:
        held = getattr(held, attribute)
    if id(held) in done:
        return done[id(held)]
    children = {name: None if child is None else _unwrap(child, done) for name, child in held._modules.items()}
    if any(child is not held._modules[name] for name, child in children.items()) or held._compiled_call_impl:
        held = copy.copy(held)
        held.__dict__ = {**held.__dict__, "_modules": children, "_compiled_call_impl": None}
    done[id(module)] = done[id(held)] = held
    return held


def copy_in_fp32(model: nn.Module) -> nn.Module:
    """Copy a model to the CPU as float32, in the mode that it is in itself.

    Raises:
        UnsupportedModelError: a weight is no number of float32, or not finite.
    """
    check_numbers(model)
    copied = copy.deepcopy(model).cpu().float().to(memory_format=torch.contiguous_format)
    # Copies of torch.fx graphs are in training mode; the model's own mode is told by the original.
    return copied.train(model.training)


@torch.no_grad()
def check_numbers(model: nn.Module) -> None:
    """Check that a model is the same in float32.

    Raises:
        UnsupportedModelError: a weight is no number of float32, or not finite.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        _check_number(name, tensor)


def _check_number(name: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point():
        return
    if not tensor.isfinite().all():
        raise UnsupportedModelError(
            f"cannot export this model: its {name} has values that are not finite (NaN or infinity): its training has "
            "diverged"
        )
    if tensor.dtype == torch.float64 and not torch.equal(tensor.float().double(), tensor):
        raise UnsupportedModelError(
            f"cannot export this model: its {name} is float64 and would be rounded; call model.float() first, and "
            "compare with that"
        )


def check_evaluation_mode(model: nn.Module) -> None:
    """Check that a model and all of its parts are in evaluation mode.

    Raises:
        UnsupportedModelError: one is not; the message names it.
    """
    for name, module in model.named_modules():
        if module.training:
            what = f"its {name} is" if name else "it is"
            raise UnsupportedModelError(
                f"cannot export this model: {what} in training mode, in which it computes something else; call "
                "model.eval() first"
            )
