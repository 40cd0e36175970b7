"""Where detectron2 models come from: checkpoints with a config, and the model zoo by name."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from maskrt.export.checkpoints import CheckpointError
from maskrt.export.checkpoints.architecture import identify, require_supported
from maskrt.export.checkpoints.configs.detectron2 import Detectron2Config, read_detectron2_config, zoo_config
from maskrt.export.checkpoints.configs.fit import fit_detectron2
from maskrt.export.checkpoints.datasets import class_names_of
from maskrt.export.checkpoints.facts import FactsError, detectron2_facts
from maskrt.export.checkpoints.published import check_sum, fetch, find_published, shown_on
from maskrt.export.checkpoints.zoo.detectron2 import MODELS
from maskrt.export.class_names import BACKGROUND
from maskrt.export.errors import SourceError
from maskrt.export.families.base import LoadedModel
from maskrt.export.families.config import Section
from maskrt.export.families.detectron2.network import build_network
from maskrt.export.families.detectron2.support import check_supported
from maskrt.export.families.weights import forget_checkpoint, is_checkpoint_file, load_weights, open_checkpoint
from maskrt.options import SourceOptions

PREFIX = "detectron2:"
"""Of the names of published models."""

_IDLE = (
    r"proposal_generator\.anchor_generator\.cell_anchors\.\d+|pixel_mean|pixel_std"
    r"|roi_heads\.box_predictor(\.\d+)?\.fed_loss_cls_weights"
)
"""Anchors are computed anew (old files have rounded ones), the config has the mean, and the last is of a loss."""


def claims_source(options: SourceOptions) -> bool:
    """Whether options name a published model of detectron2, or a checkpoint with its names."""
    if options.source.startswith(PREFIX):
        return True
    return is_checkpoint_file(options.source) and (
        identify(open_checkpoint(Path(options.source), options.checkpoint_key)).framework == "detectron2"
    )


def load_model(options: SourceOptions) -> LoadedModel:
    """Build the model that options name.

    Raises:
        MaskrtError: a file is missing or damaged, the config is not of this model, or it cannot be expressed.
    """
    for option, value in (("--weights", options.weights), ("--num-classes", options.num_classes)):
        if value is not None:
            raise SourceError(
                f"{option} means nothing for {options.source}, whose weights tell it; leave out {option}."
            )
    path, config = _files(options)
    checkpoint = open_checkpoint(path, options.checkpoint_key)
    require_supported(checkpoint, "detectron2")
    try:
        facts = detectron2_facts(checkpoint.shapes)
    except FactsError as error:
        raise CheckpointError(f"Cannot export {path}: {error}.") from error
    config = fit_detectron2(config, facts, str(path))
    section = Section.of(config)
    check_supported(section)
    with torch.device("meta"):
        network = build_network(section)
    notes = load_weights(network, checkpoint, config.source, _IDLE)
    forget_checkpoint()
    names = class_names_of(config.value("DATASETS.TRAIN"))
    if names is not None and len(names) != config.value("MODEL.ROI_HEADS.NUM_CLASSES"):
        names = None
    return LoadedModel(network.eval(), None if names is None else [BACKGROUND, *names], (*config.notes, *notes))


def _files(options: SourceOptions) -> tuple[Path, Detectron2Config]:
    """Return the checkpoint and the config."""
    if options.source.startswith(PREFIX):
        name = options.source.removeprefix(PREFIX).removesuffix(".yaml")
        path = options.checkpoint
        if path is None:
            published = find_published(options.source)
            path = fetch(published, shown_on(sys.stderr, published))
        elif name not in MODELS or MODELS[name].file:  # of some models no weights are published
            check_sum(path, find_published(options.source))
        return path, zoo_config(name) if options.config is None else read_detectron2_config(options.config)
    if options.checkpoint is not None:
        raise SourceError(f"{options.source} is a checkpoint already; leave out --checkpoint {options.checkpoint}.")
    if options.config is None:
        raise SourceError(
            f"{options.source} is a checkpoint of detectron2, which holds no config. Give the config.yaml that "
            "training wrote beside it: --config config.yaml; or name the model of the zoo that it was trained from: "
            f"{PREFIX}COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x --checkpoint {options.source}."
        )
    return Path(options.source), read_detectron2_config(options.config)
