"""Small checkpoints and configs of every kind that is read, and copies of them with damage inside of an archive."""

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from ..support.references import reference_model

MMDET_CONFIG = "mm_mask-rcnn_r50_fpn"
DETECTRON2_CONFIG = "d2_mask_rcnn_R_50_FPN"


def checkpoint_files() -> dict[str, bytes]:
    """Name of a kind → a file of it."""
    rng = np.random.default_rng(0)
    detectron2 = _detectron2(rng)
    tensors = {name: torch.from_numpy(array) for name, array in detectron2.items()}
    config = reference_model(MMDET_CONFIG).config.read_text(encoding="utf-8")
    mmdet = {"meta": {"cfg": config, "epoch": 12, "CLASSES": ("a", "b")}, "state_dict": _mmdet(rng)}
    beside = {"optimizer": {"state": {0: {"momentum_buffer": torch.ones(4)}}, "param_groups": [{"lr": 0.1}]}}
    zoo = {"model": detectron2, "__author__": "Detectron2 Model Zoo"}
    return {
        "archive": _saved({"model": tensors, "iteration": 1, **beside}),
        "archive of mmdetection": _saved({**mmdet, **beside}),
        "stream": _saved({"model": tensors, **beside}, _use_new_zipfile_serialization=False),
        "zoo, protocol 2": pickle.dumps(zoo, 2),
        "zoo, protocol 4": pickle.dumps(zoo, 4),
        "zoo, protocol 5": pickle.dumps(zoo, 5),
        "tensors by pickle": pickle.dumps(tensors, 4),
        "safetensors": save(tensors),
    }


def config_files() -> dict[str, bytes]:
    """Name of a framework → a config of it."""
    return {name: reference_model(name).config.read_bytes() for name in (DETECTRON2_CONFIG, MMDET_CONFIG)}


def pickle_of(archive: bytes) -> bytes:
    """The pickle in a file of PyTorch."""
    with zipfile.ZipFile(io.BytesIO(archive)) as records:
        return records.read(_pickle_name(records))


def with_pickle(archive: bytes, pickled: bytes) -> bytes:
    """The archive with another pickle and the right checksum, so that damage gets past it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name == _pickle_name(old) else old.read(name))
    return made.getvalue()


def _pickle_name(records: zipfile.ZipFile) -> str:
    return next(name for name in records.namelist() if name.endswith("/data.pkl"))


def _saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _detectron2(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {
        "backbone.bottom_up.stem.conv1.weight": (4, 3, 7, 7),
        "backbone.bottom_up.stem.conv1.norm.running_mean": (4,),
        "backbone.bottom_up.res2.0.conv1.weight": (2, 4, 1, 1),
        "backbone.bottom_up.res2.0.conv2.weight": (2, 2, 3, 3),
        "backbone.bottom_up.res2.0.conv3.weight": (8, 2, 1, 1),
        "backbone.fpn_output5.weight": (4, 4, 3, 3),
        "proposal_generator.rpn_head.conv.weight": (4, 4, 3, 3),
        "proposal_generator.rpn_head.objectness_logits.weight": (3, 4, 1, 1),
        "roi_heads.box_head.fc1.weight": (6, 36),
        "roi_heads.box_predictor.cls_score.weight": (4, 6),
        "roi_heads.box_predictor.bbox_pred.weight": (12, 6),
    }
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


def _mmdet(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    names = ("backbone.conv1.weight", "neck.fpn_convs.0.conv.weight", "rpn_head.rpn_conv.weight")
    state = {name: torch.from_numpy(rng.random((4, 4, 3, 3), np.float32)) for name in names}
    return {**state, "roi_head.bbox_head.fc_cls.weight": torch.ones(4, 6)}
