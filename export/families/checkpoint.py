"""State dicts in files, and how they get into a model."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskrt.export.errors import SourceError, first_line


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the state dict in a checkpoint file; nothing is unpickled but tensors.

    Args:
        path: `.pth`/`.pt` (a state dict, alone or under the key `model` or `state_dict`) or `.safetensors`.

    Raises:
        SourceError: the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise SourceError(f"there is no checkpoint {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            # torchvision's reference training script saves its arguments beside the weights.
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SourceError(
            f"cannot read the checkpoint {path}: it is damaged, or holds more than tensors, which could run anything "
            "when it is loaded; save the state dict alone: torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # torch and safetensors raise many types for damaged files
        raise SourceError(
            f"cannot read the checkpoint {path}: {first_line(error)} (expected a state dict, by torch.save or "
            "safetensors)"
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise SourceError(f"{path} holds no state dict: expected a dictionary of tensors, alone or under 'model'")
    # DistributedDataParallel and torch.compile put their own names before every key.
    return {str(key).removeprefix("module.").removeprefix("_orig_mod."): value for key, value in content.items()}


def load_state(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load a state dict into a model.

    Args:
        model: changed in place.
        state: of the same architecture, but for the counters of batch normalisation.
        path: where it was read from, for the messages.

    Raises:
        SourceError: it is of another architecture or another number of classes.
    """
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    # torchvision's builders replace batch normalisation by its frozen form, which has no counter.
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    unknown = [key for key in unknown if not key.endswith("num_batches_tracked")]
    if missing or unknown:
        example = f"missing {missing[0]!r}" if missing else f"unknown {unknown[0]!r}"
        raise SourceError(
            f"{path} is of another architecture: {len(missing)} tensors are missing and {len(unknown)} are unknown "
            f"({example})"
        )
    for key, value in state.items():
        if key in own and own[key].shape != value.shape:
            hint = "; give the right --num-classes" if "predictor" in key else ""
            raise SourceError(
                f"{path} does not fit the model: {key} has the shape {tuple(value.shape)}, "
                f"expected {tuple(own[key].shape)}{hint}"
            )
    model.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)
