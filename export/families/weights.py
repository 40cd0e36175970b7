"""Checkpoint files, and how their weights get into a model."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import torch
from torch import nn

from maskrt.export.checkpoints import Checkpoint, read_checkpoint
from maskrt.export.checkpoints.architecture import identify, require_supported
from maskrt.export.checkpoints.errors import CheckpointError, shown
from maskrt.export.checkpoints.precision import COUNTER, in_float32
from maskrt.export.errors import first_line

NO_CHECKPOINT = "--checkpoint-key says which weights of a checkpoint to take, but there is no --checkpoint; give one"

_SUFFIXES = (".pth", ".pt", ".pkl", ".ckpt", ".bin", ".safetensors")


def is_checkpoint_file(source: str) -> bool:
    """Whether a source is the name of a checkpoint file, there or not."""
    return Path(source).suffix.lower() in _SUFFIXES


def open_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Read a checkpoint; the last one is kept, so that families can be asked about it one after the other.

    Args:
        path: the file.
        key: of the weights in it; see `maskrt.export.checkpoints.read_checkpoint`.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        status = path.stat()
        return _read(path, key, status.st_mtime_ns, status.st_size)
    except OSError:
        return read_checkpoint(path, key)  # which says what is wrong


@lru_cache(maxsize=1)
def _read(path: Path, key: str | None, changed: int, size: int) -> Checkpoint:
    return read_checkpoint(path, key)


def forget_checkpoint() -> None:
    """Let go of the checkpoint that was read last."""
    _read.cache_clear()


def refuse_checkpoint(path: Path, key: str | None = None) -> NoReturn:
    """Say why no family claims a checkpoint.

    Raises:
        CheckpointError: always.
    """
    found = require_supported(open_checkpoint(path, key))
    raise CheckpointError(
        f"{path} is a {found.name} of {found.framework}, whose checkpoints do not say how it is built. Name what built "
        f"it, a model's name or package.module:factory, with --checkpoint {path}."
    )


def load_state(model: nn.Module, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Give a model its weights by its own `load_state_dict`, which knows the names that its older versions had.

    Args:
        model: changed in place; it may have wrappers itself (DataParallel, torch.compile, Lightning).
        checkpoint: of the same architecture, but for the counters of batch normalisation.

    Returns:
        Sentences for the user about what was chosen, converted and left out.

    Raises:
        CheckpointError: it is of another architecture, another number of classes, or not of float32.
    """
    checkpoint = in_float32(checkpoint)
    try:
        result = model.load_state_dict(checkpoint.state_dict(model.state_dict()), strict=False)
    except RuntimeError as error:
        raise _mismatch(checkpoint, str(error)) from error
    # torchvision's builders replace batch normalisation by its frozen form, which has no counter.
    missing, unknown = (
        [name for name in names if name.rpartition(".")[2] != COUNTER]
        for names in (result.missing_keys, result.unexpected_keys)
    )
    if missing or unknown:
        found = identify(checkpoint)
        if found.remedy is not None and found.name:
            raise CheckpointError(f"{checkpoint.path} is of {found.name}, not of this model. {found.remedy}")
        example = f"missing {shown(missing[0])}" if missing else f"unknown {shown(unknown[0])}"
        raise CheckpointError(
            f"{checkpoint.path} is of another architecture: {len(missing)} tensors are missing and {len(unknown)} are "
            f"unknown ({example}). Give the model that this checkpoint was trained with."
        )
    return checkpoint.notes


_SHAPES = re.compile(r"size mismatch for (\S+): .*?Size\((\[.*?\])\).*?Size\((\[.*?\])\)")
"""Of what PyTorch says about tensors that do not fit: name, the checkpoint's shape, the model's."""


def _mismatch(checkpoint: Checkpoint, said: str) -> CheckpointError:
    """Return the error of a checkpoint that `load_state_dict` refused."""
    found = _SHAPES.search(said)
    if found is None:
        return CheckpointError(f"{checkpoint.path} does not fit the model: {first_line(ValueError(said))}.")
    name, given, expected = found.groups()
    hint = "Give the right --num-classes" if "predictor" in name else "Give the model that it was trained with"
    return CheckpointError(
        f"{checkpoint.path} does not fit the model: {name} has the shape {given}, expected {expected}. {hint}."
    )


def load_weights(network: nn.Module, checkpoint: Checkpoint, config: str, idle: str) -> tuple[str, ...]:
    """Give a network that was built of a config its weights, by their names alone.

    Args:
        network: changed in place; it may be on the device "meta", where it has no weights yet.
        checkpoint: with all that the network has.
        config: where the network's config is from, for the messages.
        idle: a regular expression for whole names of tensors that no network needs.

    Returns:
        Sentences for the user about what was chosen, converted and left out.

    Raises:
        CheckpointError: tensors are missing, unknown, of another shape, or not of float32.
    """
    counters = re.compile(rf".*\.{COUNTER}|{idle}")
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
    checkpoint = in_float32(checkpoint, needed)
    counts = {name: torch.zeros((), dtype=torch.int64) for name in own if name not in checkpoint.tensors}
    network.load_state_dict({**checkpoint.tensors, **counts}, assign=True)
    return checkpoint.notes
