"""Where the model to export comes from: a torchvision builder, with weights or a checkpoint, or a factory."""

from __future__ import annotations

import argparse
import importlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum, detection, get_model_weights

from maskrt.errors import MaskrtError
from maskrt.export.families.torchvision.support import first_line


class SourceError(MaskrtError):
    """The model to export cannot be built, or its weights cannot be loaded."""


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    name: getattr(detection, name)
    for name in (
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn_v2",
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
    )
}
"""torchvision's own model builders, by name."""

_WITHOUT_EPSILON = ("maskrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn")
"""Builders whose COCO_V1 weights are for batch normalisation with epsilon 0 (torchvision's `overwrite_eps`)."""


def load_model(
    source: str, *, weights: str | None = None, checkpoint: Path | None = None, num_classes: int | None = None
) -> tuple[nn.Module, list[str] | None]:
    """Builds the model, FP32 on the CPU in evaluation mode, and finds its class names where they are known.

    Args:
        source: one of `BUILDERS`, or `package.module:factory`, a function without arguments that returns the model.
        weights: name of torchvision's weights for that builder, for example `COCO_V1`; together with a checkpoint,
            those that it was fine-tuned from, or holds.
        checkpoint: `.pth`/`.pt` (a state dict, alone or under the key `model` or `state_dict`) or `.safetensors`.
        num_classes: classes with the background; by default what the checkpoint has.

    Raises:
        SourceError: what was given does not exist, cannot be loaded, or does not fit the model.
    """
    state = None if checkpoint is None else read_checkpoint(checkpoint)
    if ":" in source:
        if weights is not None or num_classes is not None:
            raise SourceError(
                "--weights and --num-classes go with a torchvision model name; the factory decides itself"
            )
        model, names = _call_factory(source), None
    elif source not in BUILDERS:
        raise SourceError(f"unknown model {source!r}: expected one of {', '.join(BUILDERS)}, or package.module:factory")
    else:
        published = _published_weights(source, weights, checkpoint)
        names = None if published is None else list(published.meta["categories"])
        if state is None:
            model = _download(source, published, num_classes)
        else:
            classes = _classes_of(state) if num_classes is None else num_classes
            model = BUILDERS[source](weights=None, weights_backbone=None, num_classes=classes)
            if names is not None and len(names) != classes:
                names = None
            if published is not None and published.name == "COCO_V1" and source in _WITHOUT_EPSILON:
                for module in model.modules():
                    if isinstance(module, nn.BatchNorm2d):
                        module.eps = 0.0
    if state is not None:
        _load_state(model, state, checkpoint)
    return model.cpu().float().eval(), names


def _published_weights(name: str, weights: str | None, checkpoint: Path | None) -> WeightsEnum | None:
    """torchvision's weights of that name, or else those whose file the checkpoint is, going by the file's name."""
    choices = get_model_weights(name)
    if weights is None:
        return next((each for each in choices if checkpoint and Path(each.url).name == checkpoint.name), None)
    if weights not in choices.__members__:
        raise SourceError(f"{name} has no weights {weights!r}: expected one of {', '.join(choices.__members__)}")
    return choices[weights]


def _download(name: str, weights: WeightsEnum | None, num_classes: int | None) -> nn.Module:
    if weights is None:
        raise SourceError(f"{name} needs weights: give --weights COCO_V1 or --checkpoint FILE")
    if num_classes is not None:
        raise SourceError("--num-classes goes with --checkpoint; --weights has its own classes")
    try:
        return BUILDERS[name](weights=weights, progress=sys.stderr.isatty())
    except (URLError, OSError, RuntimeError) as error:
        raise SourceError(
            f"cannot get the weights {weights.name} of {name}: {error}. Without access to the internet, download "
            f"{weights.url} elsewhere and give the file with --checkpoint as well"
        ) from error


def _classes_of(state: dict[str, Tensor]) -> int:
    key = "roi_heads.box_predictor.cls_score.weight"
    if key not in state:
        raise SourceError(
            f"the checkpoint has no {key!r}: expected the state dict of a torchvision Mask R-CNN or Faster R-CNN"
        )
    return int(state[key].shape[0])


def _call_factory(source: str) -> nn.Module:
    module_name, _, attribute = source.partition(":")
    if not module_name or not attribute:
        raise SourceError(f"cannot read {source!r}: expected package.module:factory, for example mine:make_model")
    if module_name.endswith(".py"):
        raise SourceError(f"{source!r} begins with a file: expected a module, {module_name[:-3]}:{attribute}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SourceError(f"cannot import {module_name!r} of {source!r}: {error}") from error
    except Exception as error:  # the user's own code: whatever it raises is what the user must see
        raise SourceError(f"cannot import {module_name!r} of {source!r}: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        raise SourceError(f"{module_name!r} has no {attribute!r}")
    try:
        model = getattr(module, attribute)()
    except Exception as error:  # as above
        raise SourceError(f"{source} failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise SourceError(f"{source} returned a {type(model).__name__}, expected a torch.nn.Module")
    return model


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint file; never unpickles anything but tensors.

    Raises SourceError where the file is missing, damaged, or holds something else.
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


def _load_state(model: nn.Module, state: dict[str, Tensor], path: Path | None) -> None:
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
