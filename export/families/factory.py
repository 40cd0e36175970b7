"""Models that a function of the user makes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from torch import nn

from maskrt.export.errors import SourceError
from maskrt.export.families.checkpoint import load_state, read_checkpoint
from maskrt.options import SourceOptions


def build_model(options: SourceOptions) -> nn.Module:
    """Call `package.module:factory`, a function without arguments that returns a model.

    Returns:
        The model, FP32 on the CPU in evaluation mode, with the weights of the checkpoint where one is given.

    Raises:
        SourceError: there is no such function, it fails, or what was given does not fit.
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
    if options.checkpoint is None:
        model = _call(options.source)
    else:
        state = read_checkpoint(options.checkpoint)
        model = _call(options.source)
        load_state(model, state, options.checkpoint)
    return model.cpu().float().eval()


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
