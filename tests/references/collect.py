"""Packs reference models into this folder, each tensor once: `python collect.py FOLDER`, the folder of the full set.

Run it where torch and safetensors are installed. What it writes is described in README.md.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from references import ORIGINALS, STORE, read_state

MODELS = (
    *ORIGINALS,
    "d2_mask_rcnn_R_50_FPN",
    "d2_cls_agnostic_bbox",
    "d2_faster_rcnn_R_50_FPN",
    "d2_mask_rcnn_R_50_C4",
    "d2_mask_rcnn_R_50_FPN_syncbn",
    "d2_roialign_v1_sampling2",
    "d2_rpn_retrained",
    "d2_trained_shapes_R_18_FPN",
    "mm_faster-rcnn_r50_fpn",
    "mm_mask-rcnn_r50-caffe_fpn",
    "mm_mask-rcnn_r50_fpn_gn",
    "mm_mask-rcnn_x101-32x4d_fpn",
    "mm_trained_shapes_r18_fpn",
    "d2_keypoint_rcnn_R_50_FPN",
)

PICTURES = ("chelsea", "scene")
"""Whose golden outputs are kept of each model; of the trained ones also those of the scenes."""

WITH_PROBABILITIES = ("d2_mask_rcnn_R_50_C4", "d2_mask_rcnn_R_50_FPN", "mm_mask-rcnn_r50_fpn")
"""Models of which the mask probabilities of the first picture are kept, and features."""


def _golden(source: Path, name: str) -> dict[str, np.ndarray]:
    kept = {}
    with np.load(source / "golden.npz") as golden:
        for key in golden.files:
            picture, what = key.split("/")
            if picture not in PICTURES and not picture.startswith("scene0"):
                continue
            if what == "keypoints_network":
                continue
            if what == "mask_probs" and (name not in WITH_PROBABILITIES or picture != PICTURES[0]):
                continue
            if what.startswith("proposal") and picture != PICTURES[0]:
                continue
            kept[key] = golden[key]
    return kept


def _features(source: Path) -> dict[str, np.ndarray]:
    """Of the picture astronaut; the finest levels of a pyramid would be the largest by far."""
    with np.load(source / "intermediate_astronaut.npz") as values:
        return {key: values[key] for key in values.files if key.startswith("feature") and values[key].shape[1] <= 50}


def main(source: Path) -> None:
    """Write everything anew."""
    here = Path(__file__).parent
    store: dict[str, np.ndarray] = {}
    seen: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    for name in MODELS:
        folder = here / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        config = next((source / name).glob("config.*"))
        shutil.copyfile(config, folder / config.name)
        np.savez_compressed(folder / "golden.npz", **_golden(source / name, name))
        if name in WITH_PROBABILITIES:
            np.savez_compressed(folder / "features_astronaut.npz", **_features(source / name))
        if "trained_shapes" in name:  # its weights are in trained_shapes.safetensors, which stays
            shutil.copyfile(source / name / "make_checkpoint.py", folder / "make_checkpoint.py")
            continue
        (checkpoint,) = (path for path in (source / name).iterdir() if path.suffix in (".pth", ".pkl"))
        places = {}
        for key, value in read_state(checkpoint).items():
            identity = (str(value.dtype), value.shape, value.tobytes())
            if identity not in seen:
                seen[identity] = f"{name}/{key}"
                if name not in ORIGINALS:
                    store[f"{name}/{key}"] = value
            places[key] = seen[identity]
        if name in ORIGINALS:
            shutil.copyfile(checkpoint, folder / ORIGINALS[name])
        else:
            (folder / "tensors.json").write_text(json.dumps(places, indent=0) + "\n", encoding="utf-8")
    save_file(store, here / STORE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
