"""Checkpoint files that name a model themselves, and how their weights get into a network that was built for them."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import torch
from torch import nn

from maskrt.export.checkpoints import Checkpoint, read_checkpoint
from maskrt.export.checkpoints.architecture import require_supported
from maskrt.export.checkpoints.errors import CheckpointError

_SUFFIXES = (".pth", ".pt", ".pkl", ".ckpt", ".bin", ".safetensors")


def is_checkpoint_file(source: str) -> bool:
    """Whether a source is the name of a checkpoint file, there or not."""
    return Path(source).suffix.lower() in _SUFFIXES


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; the last one is kept, so that families can be asked about it one after the other.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        status = path.stat()
        return _read(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return read_checkpoint(path)  # which says what is wrong


@lru_cache(maxsize=1)
def _read(path: Path, changed: int, size: int) -> Checkpoint:
    return read_checkpoint(path)


def forget_checkpoint() -> None:
    """Let go of the checkpoint that was read last."""
    _read.cache_clear()


def refuse_checkpoint(path: Path) -> NoReturn:
    """Say why no family claims a checkpoint.

    Raises:
        CheckpointError: always.
    """
    found = require_supported(open_checkpoint(path))
    raise CheckpointError(
        f"{path} is a {found.name} of {found.framework}, whose checkpoints do not say how it is built. Name what built "
        f"it, a model's name or package.module:factory, with --checkpoint {path}."
    )


def load_weights(network: nn.Module, checkpoint: Checkpoint, config: str, idle: str) -> None:
    """Give a network its weights, as float32.

    Args:
        network: changed in place; it may be on the device "meta", where it has no weights yet.
        checkpoint: with all that the network has.
        config: where the network's config is from, for the messages.
        idle: a regular expression for whole names of tensors that no network needs.

    Raises:
        CheckpointError: tensors are missing, unknown, or of another shape.
    """
    counters = re.compile(rf".*\.num_batches_tracked|{idle}")
    own = network.state_dict()
    given = {name: tensor for name, tensor in checkpoint.tensors.items() if not counters.fullmatch(name)}
    needed = [name for name in own if not counters.fullmatch(name)]
    missing = [name for name in needed if name not in given]
    unknown = [name for name in given if name not in own]
    reshaped = [name for name in needed if name in given and given[name].shape != own[name].shape]
    for names, what in ((missing, "lacks"), (unknown, "has more than the model:")):
        if names:
            raise CheckpointError(
                f"{checkpoint.path} is not of the model that {config} says: it {what} {len(names)} tensors, for "
                f"example {names[0]}. Give the config that this checkpoint was trained with."
            )
    if reshaped:
        name = reshaped[0]
        raise CheckpointError(
            f"{checkpoint.path} is not of the model that {config} says: {name} has the shape "
            f"{list(given[name].shape)}, expected {list(own[name].shape)}. Give the config that this checkpoint was "
            "trained with."
        )
    state = {name: given[name].to(torch.float32) for name in needed}
    state |= {name: torch.zeros((), dtype=torch.int64) for name in own if name not in state}
    network.load_state_dict(state, assign=True)
