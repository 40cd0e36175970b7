"""Folding batch normalisation into the convolution before it.

Left alone, it stays in the graph as a multiplication and an addition per convolution, which costs time and keeps
quantizers from seeing convolution + ReLU as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import FrozenBatchNorm2d


class _Readers(TorchFunctionMode):
    """While active, records what reads the output of each convolution, and how often each module runs.

    A convolution is known by its weight, so that it may have children: detectron2's carry their normalisation. A
    reader is a module without children, or None for a function that is called outside of any such module.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.readers: dict[nn.Conv2d, set[nn.Module | None]] = {}
        self.read: dict[nn.Conv2d, set[int]] = {}  # ids of its outputs
        self.runs: Counter[nn.Module] = Counter()
        self._convs = {id(module.weight): module for module in model.modules() if isinstance(module, nn.Conv2d)}
        self._outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # the tensor is kept, so that its id stays its own
        self._running: nn.Module | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        leaves = tree_leaves((args, kwargs))
        for value in leaves:
            if id(value) in self._outputs:
                conv = self._outputs[id(value)][0]
                self.readers.setdefault(conv, set()).add(self._running)
                self.read.setdefault(conv, set()).add(id(value))
        output = func(*args, **(kwargs or {}))
        if func is nn.functional.conv2d:
            for value in leaves:
                if id(value) in self._convs:
                    self.runs[self._convs[id(value)]] += 1
                    self._outputs[id(output)] = self._convs[id(value)], output
        return output

    def begin(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Return a hook before each module without children."""
        self._running = module
        if not isinstance(module, nn.Conv2d):
            self.runs[module] += 1

    def end(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Return a hook after each module without children."""
        self._running = None


def _is_foldable(norm: nn.Module | None) -> bool:
    """Whether a module is a batch normalisation by statistics that it keeps."""
    return isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d) and norm.running_mean is not None


def _fuse(conv: nn.Conv2d, norm: Any) -> None:
    """Give a convolution the weights that make it the pair of both.

    They are rounded to the weights' type once: rounding a channel's scale first would move all of its weights alike,
    which a long sum does not average out.
    """
    scale = norm.running_var.double().add(norm.eps).rsqrt()
    shift = -norm.running_mean.double() * scale
    if norm.weight is not None:
        scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
    if conv.bias is not None:
        shift = shift + conv.bias.double() * scale
    weight = conv.weight.double() * scale[:, None, None, None]
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=conv.weight.requires_grad)
    conv.bias = nn.Parameter(shift.to(conv.weight.dtype), requires_grad=conv.weight.requires_grad)


def fold_batch_norms(model: nn.Module, run: Callable[[], Any]) -> int:
    """Folds every `Conv2d → BatchNorm2d | FrozenBatchNorm2d` of a model in evaluation mode, in place.

    `run` does one forward pass of the model. It shows what reads each convolution's output, so that no naming
    convention is relied upon. A convolution whose output anything else reads is left alone, and so is a normalisation
    that reads anything else. Both may run more than once. Returns the number of folded pairs.
    """
    record = _Readers(model)
    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [leaf.register_forward_pre_hook(record.begin) for leaf in leaves]
    handles += [leaf.register_forward_hook(record.end) for leaf in leaves]
    try:
        with record:
            run()
    finally:
        for handle in handles:
            handle.remove()

    folded = 0
    for conv, readers in record.readers.items():
        norm: Any = next(iter(readers))
        # As many runs of the normalisation as of the convolution, and as outputs that were read: one for each.
        if len(readers) != 1 or not _is_foldable(norm):
            continue
        if not record.runs[conv] == record.runs[norm] == len(record.read[conv]):
            continue
        _fuse(conv, norm)
        for parent in model.modules():
            for name, child in parent._modules.items():
                if child is norm:
                    setattr(parent, name, nn.Identity())
        folded += 1
    return folded
