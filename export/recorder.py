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

    The exporter folds batch normalisation into the convolution before it. So where a normalisation reads a convolution
    that runs once, its output takes the place of the convolution's, the rule of `maskrt.export.fold`.
    """

    def __init__(self, model: nn.Module, paths: Collection[str]) -> None:
        self._modules = [(path, module) for path, module in model.named_modules() if path in paths]
        self._norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)]
        self._outputs: dict[str, list[np.ndarray]] = defaultdict(list)
        self._latest: dict[int, tuple[Tensor, str]] = {}  # the tensor is kept, so that its id stays its own
        self._normalized: dict[str, np.ndarray] = {}
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
        return {
            path: [self._normalized.get(path, values[0])] if len(values) == 1 else values
            for path, values in self._outputs.items()
        }

    def _keeper(self, path: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._outputs[path].append(_copy(output))  # what follows may work in place
            self._latest[id(output)] = output, path

        return keep

    def _after_norm(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if id(inputs[0]) in self._latest:
            self._normalized[self._latest[id(inputs[0])][1]] = _copy(output)


def _copy(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy().copy()
