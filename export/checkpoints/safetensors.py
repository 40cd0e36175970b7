"""Files of safetensors: a header of names, types and shapes, and the numbers; by the library of that name."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from maskrt.errors import DependencyError
from maskrt.export.checkpoints.errors import CheckpointError


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the tensors by name, and the texts that the header has beside them.

    Raises:
        CheckpointError: the file is damaged.
        DependencyError: the library is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise DependencyError(
            f"Reading {path} needs the package safetensors. Install it: pip install 'maskrt[export]'."
        ) from error
    try:
        with safe_open(path, framework="pt") as file:
            # A copy, because what the library gives is the file itself, mapped into memory.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (
        SafetensorError,
        OSError,
        ValueError,
        RuntimeError,
        TypeError,
        MemoryError,
        AttributeError,
        KeyError,
    ) as error:
        raise CheckpointError(
            f"Cannot read the checkpoint {path}: it is damaged, or is no safetensors file. Copy or download it again."
        ) from error
