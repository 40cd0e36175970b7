"""torchvision's own models by name, with its weights or those of a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

from torch import nn
from torchvision.models import WeightsEnum, detection, get_model_weights

from maskrt.export.checkpoints import Checkpoint, CheckpointError, read_checkpoint
from maskrt.export.checkpoints.architecture import require_supported
from maskrt.export.errors import SourceError
from maskrt.export.families.base import LoadedModel
from maskrt.export.families.weights import NO_CHECKPOINT, load_state
from maskrt.options import SourceOptions

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    name: getattr(detection, name)
    for name in (
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn_v2",
        "keypointrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
    )
}
"""torchvision's own model builders, by name."""

_WITHOUT_EPSILON = ("maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn")
"""Builders whose COCO_V1 weights are for batch normalisation with epsilon 0 (torchvision's `overwrite_eps`)."""


def load_model(options: SourceOptions) -> LoadedModel:
    """Build one of `BUILDERS`, FP32 on the CPU in evaluation mode, and find its class names where they are known.

    Args:
        options: `weights`, the name of torchvision's weights for that builder, for example `COCO_V1`; together with a
            `checkpoint`, those that it was fine-tuned from, or holds. `num_classes`, by default what the checkpoint
            has, which always tells the number of keypoints.

    Raises:
        SourceError: what was given does not exist, cannot be loaded, or does not fit the model.
    """
    name, path = options.source, options.checkpoint
    if options.config is not None:
        raise SourceError(
            f"--config names a file of settings, but {name} is a torchvision model, which has none; leave out --config"
        )
    published = _published_weights(name, options.weights, path)
    names = None if published is None else list(published.meta["categories"])
    notes: tuple[str, ...] = ()
    if path is None:
        if options.checkpoint_key is not None:
            raise SourceError(NO_CHECKPOINT)
        model = _download(name, published, options.num_classes)
    else:
        checkpoint = read_checkpoint(path, options.checkpoint_key)
        require_supported(checkpoint, "torchvision")
        classes = _classes_of(checkpoint) if options.num_classes is None else options.num_classes
        sizes = {"num_classes": classes, **_keypoints_of(name, checkpoint)}
        model = BUILDERS[name](weights=None, weights_backbone=None, **sizes)
        if names is not None and len(names) != classes:
            names = None
        notes = load_state(model, checkpoint)
        if name in _WITHOUT_EPSILON:
            notes += _set_epsilon(model, checkpoint, published)
    if published is not None and "keypoint_names" in published.meta:
        model.keypoint_names = list(published.meta["keypoint_names"])  # type: ignore[assignment]  # no submodule
    return LoadedModel(model.cpu().float().eval(), names, notes)


def _set_epsilon(model: nn.Module, checkpoint: Checkpoint, published: WeightsEnum | None) -> tuple[str, ...]:
    """Give batch normalisation the epsilon of training, which no weight says; return notes on it."""
    if published is not None and published.name == "COCO_V1":
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
        return ()
    if not checkpoint.has_frozen_norms:
        return ()
    return (
        f"{checkpoint.path} comes from training with frozen batch normalisation (it has no num_batches_tracked), whose "
        "epsilon is taken to be 1e-05. Where training began with torchvision's COCO_V1 weights, it was 0: give "
        "--weights COCO_V1 as well.",
    )


def _published_weights(name: str, weights: str | None, checkpoint: Path | None) -> WeightsEnum | None:
    """Torchvision's weights of that name, or else those whose file the checkpoint is, going by the file's name."""
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


def _keypoints_of(name: str, checkpoint: Checkpoint) -> dict[str, int]:
    """Return the number of keypoints, for a builder that asks for it."""
    if not name.startswith("keypointrcnn"):
        return {}
    key = "roi_heads.keypoint_predictor.kps_score_lowres.weight"
    shape = checkpoint.shapes.get(key)
    if shape is None or len(shape) != 4:
        raise CheckpointError(
            f"{checkpoint.path} has no tensor {key!r} of four axes; expected the state dict of a torchvision Keypoint "
            "R-CNN."
        )
    return {"num_keypoints": shape[1]}


def _classes_of(checkpoint: Checkpoint) -> int:
    key = "roi_heads.box_predictor.cls_score.weight"
    shape = checkpoint.shapes.get(key)
    if shape is None or len(shape) != 2:
        raise CheckpointError(
            f"{checkpoint.path} has no matrix {key!r}; expected the state dict of a torchvision Faster, Mask or "
            "Keypoint R-CNN."
        )
    return shape[0]
