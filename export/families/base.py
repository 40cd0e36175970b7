"""Where source models come from: a family for each framework, and what the verbs make of the options that name a model.

A family answers the same few questions about its models; everything known of a framework is in its folder. This module
imports no PyTorch until a model is loaded.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from maskrt.export.class_names import fit_class_names, read_class_names
from maskrt.export.errors import SourceError, UnsupportedModelError
from maskrt.options import SourceOptions
from maskrt.terminal import say

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from maskrt.contract.pipeline import Pipeline
    from maskrt.export.rcnn.modules import RcnnModules
    from maskrt.export.rcnn.spec import ModelSpec
    from maskrt.export.reference import Reference


@dataclass(frozen=True)
class LoadedModel:
    """What a family makes of options.

    Attributes:
        model: with its weights, FP32, on the CPU, in evaluation mode; it holds all that the family must know of it.
        class_names: of each label, the background's first, where they are known.
        notes: sentences for the user about how it was read.
    """

    model: nn.Module
    class_names: Sequence[str] | None
    notes: tuple[str, ...] = ()


class Operations(Protocol):
    """What a framework does around the network, in its own code, and without a model: the runtime does it in its place.

    Attributes:
        name: of the framework.
        pipeline: the settings of its own models.
    """

    name: str
    pipeline: Pipeline

    def preprocess(self, picture: np.ndarray) -> object:
        """Make of a picture `[H, W, 3]` uint8 RGB what the network takes."""

    def paste(self, probabilities: Tensor, boxes: Tensor, picture_size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Paste masks one at a time; see `maskrt.export.reference.Reference.paste`."""


class Family(Protocol):
    """The models of one framework.

    Attributes:
        name: of the framework.
        sources: what names a model of it, for messages: "one of maskrcnn_resnet50_fpn, …".
        models: what its models are, for messages: "torchvision's MaskRCNN or FasterRCNN".
    """

    name: str
    sources: str
    models: str

    def claims(self, source: SourceOptions | nn.Module) -> bool:
        """Whether this is one of its own: options that name a model, or a model."""

    def load(self, options: SourceOptions) -> LoadedModel:
        """Build the model that its options name; nothing is unpickled but data.

        Raises:
            SourceError: what was given does not exist, cannot be loaded, does not fit, or means nothing here.
        """

    def spec(self, model: nn.Module) -> ModelSpec:
        """Describe a model of its own in evaluation mode, FP32.

        Raises:
            UnsupportedModelError: the model has a part that cannot be expressed; the message names it.
        """

    def modules(self, model: nn.Module) -> RcnnModules:
        """Name the layers of a model that can be expressed."""

    def reference(
        self, model: nn.Module, spec: ModelSpec, *, device: str | torch.device = "cpu", compiled: bool = False
    ) -> Reference:
        """Run a model's own inference; the model is left as it is.

        Args:
            model: one of its own.
            spec: of it.
            device: where to run it.
            compiled: False: eager, FP32. True: all layers with weights through `torch.compile`, and convolutions and
                matrix products in FP16 (autocast).
        """

    def operations(self) -> Operations | None:
        """Give what this framework does around the network; None where it is not installed to be asked."""


_FAMILIES = (
    "maskrt.export.families.torchvision.family",
    "maskrt.export.families.detectron2.family",
    "maskrt.export.families.mmdet.family",
)
"""Modules with a `FAMILY`, in the order in which they are asked."""


def families() -> Iterator[Family]:
    """All families; each is imported when its turn comes."""
    for module in _FAMILIES:
        yield importlib.import_module(module).FAMILY


def family_of(model: nn.Module) -> Family:
    """Return the family of a model.

    Raises:
        UnsupportedModelError: it has none.
    """
    known = []
    for family in families():
        if family.claims(model):
            return family
        known.append(family.models)
    raise UnsupportedModelError(f"cannot export a {type(model).__name__}: expected {', or '.join(known)}")


@dataclass(frozen=True)
class SourceModel:
    """A model that a user named, checked.

    Attributes:
        source: what the user called it.
        family: that it is of.
        model: in evaluation mode, FP32, on the CPU.
        spec: of the model.
        class_names: of each label; None where the model does not name its classes.
    """

    source: str
    family: Family
    model: nn.Module
    spec: ModelSpec
    class_names: tuple[str, ...] | None

    def reference(self, *, device: str | torch.device = "cpu", compiled: bool = False) -> Reference:
        """Its own inference; see `Family.reference`."""
        return self.family.reference(self.model, self.spec, device=device, compiled=compiled)

    def names_beside(self, file_names: Sequence[str]) -> tuple[str, ...]:
        """Return the name of each label; where the model does not name its classes, as a model file names them.

        A label that neither names is "class <label>".
        """
        if self.class_names is not None:
            return self.class_names
        count = self.spec.detection.num_labels
        nameless = (f"class {label}" for label in range(len(file_names), count))
        return (*file_names, *nameless)[:count]


def describe_model(
    model: nn.Module, class_names: Sequence[str] | None = None, *, source: str = "the model"
) -> SourceModel:
    """Check a model that is already there.

    Args:
        model: in evaluation mode, FP32; wrappers such as `DataParallel` and `torch.compile` are taken off.
        class_names: of each label, with or without the background; by default the model's attribute of this name.
        source: what to call it.

    Raises:
        UnsupportedModelError: it cannot be expressed.
        ArgumentError: the class names do not fit.
    """
    from maskrt.export.prepare import check_evaluation_mode, unwrap_model

    model = unwrap_model(model)
    family = family_of(model)
    spec = family.spec(model)
    check_evaluation_mode(model)
    origin = "got" if class_names else "the model's class_names has"
    names = class_names or getattr(model, "class_names", None)
    fitting = fit_class_names(names, spec.detection.num_labels, origin) if names else None
    return SourceModel(source, family, model, spec, fitting)


def load_source(options: SourceOptions, *, stream: TextIO | None = None) -> SourceModel:
    """Build the model that options name.

    Args:
        options: what the user gave.
        stream: for notes on how it was read; by default, `sys.stderr`.

    Raises:
        MaskrtError: it cannot be built or expressed, or its class names do not fit.
    """
    given = None if options.class_names is None else read_class_names(options.class_names)
    loaded = _load(options)
    say(*(f"note: {note}" for note in loaded.notes), file=sys.stderr if stream is None else stream)
    return describe_model(loaded.model, given or loaded.class_names, source=options.source)


def _load(options: SourceOptions) -> LoadedModel:
    known = []
    for family in families():
        if family.claims(options):
            return family.load(options)
        known.append(family.sources)
    from maskrt.export.families.weights import is_checkpoint_file, refuse_checkpoint

    if is_checkpoint_file(options.source):
        refuse_checkpoint(Path(options.source), options.checkpoint_key)
    if ":" not in options.source:
        raise SourceError(
            f"unknown model {options.source!r}: expected {', or '.join(known)}, or package.module:factory"
        )
    from maskrt.export.families.factory import build_model

    model, notes = build_model(options)
    return LoadedModel(model, None, notes)
