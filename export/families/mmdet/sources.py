"""Where mmdetection models come from: checkpoints, which hold their config, and the model zoo by name."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from maskrt.export.checkpoints import Checkpoint, CheckpointError
from maskrt.export.checkpoints.architecture import identify, require_supported
from maskrt.export.checkpoints.configs.base import Config
from maskrt.export.checkpoints.configs.fit import check_mmdet
from maskrt.export.checkpoints.configs.mmdet import class_names, mmdet_config, read_mmdet_config
from maskrt.export.checkpoints.facts import FactsError, mmdet_facts
from maskrt.export.checkpoints.published import check_sum, fetch, find_published, shown_on
from maskrt.export.class_names import BACKGROUND
from maskrt.export.errors import SourceError
from maskrt.export.families.base import LoadedModel
from maskrt.export.families.config import Section
from maskrt.export.families.mmdet.network import build_network
from maskrt.export.families.mmdet.support import check_supported
from maskrt.export.families.weights import forget_checkpoint, is_checkpoint_file, load_weights, open_checkpoint
from maskrt.options import SourceOptions

PREFIX = "mmdet:"
"""Of the names of published models."""

_IDLE = r"data_preprocessor\.(mean|std)"
"""The config has these."""


def claims_source(options: SourceOptions) -> bool:
    """Whether options name a published model of mmdetection, or a checkpoint with its names."""
    if options.source.startswith(PREFIX):
        return True
    return is_checkpoint_file(options.source) and (
        identify(open_checkpoint(Path(options.source), options.checkpoint_key)).framework == "mmdetection"
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
    path = _path(options)
    checkpoint = open_checkpoint(path, options.checkpoint_key)
    require_supported(checkpoint, "mmdetection")
    config = _config(options, checkpoint)
    try:
        facts = mmdet_facts(checkpoint.shapes)
    except FactsError as error:
        raise CheckpointError(f"Cannot export {path}: {error}.") from error
    check_mmdet(config, facts, str(path))
    section = Section.of(config)
    check_supported(section)
    with torch.device("meta"):
        network = build_network(section)
    notes = load_weights(network, checkpoint, config.source, _IDLE)
    forget_checkpoint()
    names = class_names(checkpoint.meta)
    if names is not None and len(names) != facts.num_classes:
        names = None
    return LoadedModel(network.eval(), None if names is None else [BACKGROUND, *names], (*config.notes, *notes))


def _path(options: SourceOptions) -> Path:
    if options.source.startswith(PREFIX):
        published = find_published(options.source)
        if options.checkpoint is None:
            return fetch(published, shown_on(sys.stderr, published))
        check_sum(options.checkpoint, published)
        return options.checkpoint
    if options.checkpoint is not None:
        raise SourceError(f"{options.source} is a checkpoint already; leave out --checkpoint {options.checkpoint}.")
    return Path(options.source)


def _config(options: SourceOptions, checkpoint: Checkpoint) -> Config:
    if options.config is not None:
        return read_mmdet_config(options.config)
    config = mmdet_config(checkpoint.meta, str(checkpoint.path))
    if config is None:
        raise SourceError(
            f"{checkpoint.path} is a checkpoint of mmdetection without its config. Give the one that training dumped "
            "into its work_dir: --config config.py."
        )
    return config
