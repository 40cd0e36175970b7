"""What the stand-ins find in pictures, and what they were given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

FINDINGS: dict[bytes, Mapping[str, np.ndarray]] = {}
"""By the bytes of a picture in BGR: boxes, scores, classes and masks `[N, H, W]` bool, if any."""

TENSORS: dict[str, np.ndarray] = {}
"""What the stand-ins' models have, by name; a test gives those of the checkpoint."""


class Model(nn.Module):
    """Any network: its tensors by name, all of them zero until some are loaded."""

    def __init__(self, *extra: str) -> None:
        super().__init__()
        for name, value in [*TENSORS.items(), *((name, np.zeros((3, 1, 1), np.float32)) for name in extra)]:
            *parents, last = name.split(".")
            place: nn.Module = self
            for parent in parents:
                if parent not in place._modules:
                    place.add_module(parent, nn.Module())
                place = place._modules[parent]  # type: ignore[assignment]
            place.register_buffer(last, torch.zeros_like(torch.from_numpy(value.copy())))

    def is_loaded(self) -> bool:
        """Whether it has the tensors that the test gave."""
        state = self.state_dict()
        given = {name: value for name, value in TENSORS.items() if not name.endswith("num_batches_tracked")}
        return all(np.array_equal(state[name].numpy(), value) for name, value in given.items())


def find(model: Model, picture: np.ndarray) -> Mapping[str, np.ndarray]:
    """What the framework found in this picture, which it takes as BGR."""
    assert model.is_loaded()
    assert picture.flags.c_contiguous
    if picture.tobytes() not in FINDINGS:
        raise RuntimeError("CUDA error: out of memory\nand much more")
    return FINDINGS[picture.tobytes()]
