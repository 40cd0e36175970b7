"""Folding batch normalisation into the convolution before it.

Left alone, it stays in the graph as a multiplication and an addition per convolution, which costs time and keeps
quantizers from seeing convolution + ReLU as one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d


def fold_batch_norms(model: nn.Module, run: Callable[[], Any]) -> int:
    """Folds every `Conv2d → BatchNorm2d | FrozenBatchNorm2d` of a model in evaluation mode, in place.

    `run` does one forward pass of the model. It shows which convolution's output each normalisation reads, so that no
    naming convention is relied upon. A convolution that several modules read, or that runs more than once, is left
    alone. Returns the number of folded pairs.
    """
    outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # the tensor is kept, so that its id stays its own
    readers: dict[nn.Conv2d, list[nn.Module]] = {}
    runs: dict[nn.Conv2d, int] = {}
    leaves = [module for module in model.modules() if not list(module.children())]

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        for value in inputs:
            if id(value) in outputs:
                readers.setdefault(outputs[id(value)][0], []).append(module)

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Conv2d):
            outputs[id(output)] = (module, output)
            runs[module] = runs.get(module, 0) + 1

    handles = [leaf.register_forward_pre_hook(before) for leaf in leaves]
    handles += [leaf.register_forward_hook(after) for leaf in leaves]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()

    parents = {child: (parent, name) for parent in model.modules() for name, child in parent.named_children()}
    folded = 0
    for conv, modules in readers.items():
        norm = modules[0]
        if len(modules) != 1 or runs[conv] != 1 or not isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d):
            continue
        assert norm.running_mean is not None and norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.weight, conv.bias = weight, nn.Parameter(torch.as_tensor(bias))
        parent, name = parents[norm]
        setattr(parent, name, nn.Identity())
        folded += 1
    return folded
