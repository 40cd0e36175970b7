"""Models that a function of the user makes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from maskrt.export.checkpoints import Checkpoint, read_checkpoint
from maskrt.export.errors import SourceError
from maskrt.export.families.weights import NO_CHECKPOINT, load_state
from maskrt.export.prepare import check_numbers
from maskrt.options import SourceOptions


def build_model(options: SourceOptions) -> tuple[nn.Module, tuple[str, ...]]:
    """Call `package.module:factory`, a function without arguments that returns a model.

    Returns:
        The model, FP32 on the CPU in evaluation mode, with the weights of the checkpoint where one is given; and
        sentences for the user about how that was read.

    Raises:
        SourceError: there is no such function, it fails, or what was given does not fit.
        UnsupportedModelError: its weights are no numbers of float32.
    """
    for option, value in (
        ("--weights", options.weights),
        ("--num-classes", options.num_classes),
        ("--config", options.config),
    ):
        if value is not None:
            raise SourceError(
                f"{option} goes with a model's name, but {options.source} is a factory, which decides that itself; "
                f"leave out {option}"
            )
    notes: tuple[str, ...] = ()
    if options.checkpoint is None:
        if options.checkpoint_key is not None:
            raise SourceError(NO_CHECKPOINT)
        model = _call(options.source)
    else:
        checkpoint = read_checkpoint(options.checkpoint, options.checkpoint_key)
        model = _call(options.source)
        notes = load_state(model, checkpoint) + _frozen_norms(model, checkpoint)
    check_numbers(model)
    return model.cpu().float().eval(), notes


def _frozen_norms(model: nn.Module, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return a note where the checkpoint cannot say by which epsilon its normalisations were frozen."""
    epsilons = {m.eps for m in model.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)}
    if not checkpoint.has_frozen_norms or epsilons <= {0.0}:
        return ()
    return (
        f"{checkpoint.path} comes from training with frozen batch normalisation (it has no num_batches_tracked). The "
        f"model's has the epsilon {max(epsilons):g}; where training began with torchvision's COCO_V1 weights of "
        "fasterrcnn_resnet50_fpn or maskrcnn_resnet50_fpn, it was 0. No weight says which: build the model as for "
        "training.",
    )


def _call(source: str) -> nn.Module:
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
