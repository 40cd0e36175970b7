"""Keeping the outputs of a model's modules while it runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d


class ModuleRecorder:
    """While active, keeps what some modules give, each time that they run.

    The exporter folds batch normalisation into the convolution before it. So where a normalisation reads a convolution,
    its output takes the place of the convolution's, as `maskrt.export.fold` has it.
    """

    def __init__(self, model: nn.Module, paths: Collection[str]) -> None:
        self._modules = [(path, module) for path, module in model.named_modules() if path in paths]
        self._norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)]
        self._outputs: dict[str, list[np.ndarray]] = defaultdict(list)
        # By the tensor's id; the tensor is kept, so that its id stays its own.
        self._calls: dict[int, tuple[Tensor, str, int]] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> ModuleRecorder:
        for path, module in self._modules:
            self._handles.append(module.register_forward_hook(self._keeper(path)))
        self._handles += [norm.register_forward_hook(self._after_norm) for norm in self._norms]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def outputs(self) -> Mapping[str, Sequence[np.ndarray]]:
        """By the path of the module, float32, one array for each time that it ran."""
        return self._outputs

    def _keeper(self, path: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._calls[id(output)] = output, path, len(self._outputs[path])
            self._outputs[path].append(_copy(output))  # what follows may work in place

        return keep

    def _after_norm(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if id(inputs[0]) in self._calls:
            _, path, call = self._calls[id(inputs[0])]
            self._outputs[path][call] = _copy(output)


def _copy(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy().copy()
