"""Reference models of detectron2 and mmdetection with their golden outputs: `tests/references` and its README."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "references"

STORE = "tensors.safetensors"
"""Every tensor of the models that are not stored as files of their own; none is there twice."""

ORIGINALS = {
    "d2_mask_rcnn_R_101_FPN": "model_final.pkl",
    "mm_mask-rcnn_r50_fpn": "epoch_12.pth",
    "d2_cascade_mask_rcnn_R_50_FPN": "model_final.pth",
    "mm_cascade-mask-rcnn_r50_fpn": "model.pth",
}
"""Models whose checkpoint is there as the framework wrote it; others share tensors with them."""

FULL_SET = Path(os.environ["MASKRT_REFERENCES"]) if "MASKRT_REFERENCES" in os.environ else None
"""A folder with more models, of which each has its checkpoint, and with their pictures."""


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[:3] in ("d2_", "mm_")))


NAMES = _names(FOLDER)

ALL_NAMES = NAMES if FULL_SET is None else _names(FULL_SET)
"""Those of the full set, where there is one."""


@dataclass(frozen=True)
class ReferenceModel:
    """A model that its framework has run.

    Attributes:
        name: of its folder.
        folder: with its config and golden outputs.
    """

    name: str
    folder: Path

    @property
    def framework(self) -> str:
        """The name of its family."""
        return "mmdet" if self.name.startswith("mm_") else "detectron2"

    @property
    def config(self) -> Path:
        """Its config: YAML, or Python for mmdetection."""
        return next(self.folder.glob("config.*"))

    @property
    def _own_checkpoint(self) -> Path | None:
        return next((path for path in self.folder.iterdir() if path.suffix in (".pth", ".pkl")), None)

    def state(self) -> dict[str, np.ndarray]:
        """Its state dict."""
        if self._own_checkpoint is not None:
            return read_state(self._own_checkpoint)
        script = self.folder / "make_checkpoint.py"
        if script.exists():
            return {key: value.numpy() for key, value in _shapes_state(script, self.framework).items()}
        places = json.loads((self.folder / "tensors.json").read_text(encoding="utf-8"))
        return {key: _tensors()[place] for key, place in places.items()}

    def write_checkpoint(self, folder: Path) -> Path:
        """A checkpoint as the framework writes it: the original where it is there, else made in `folder`."""
        import torch

        if self._own_checkpoint is not None:
            return self._own_checkpoint
        path = folder / f"{self.name}.pth"
        state = {key: torch.from_numpy(value.copy()) for key, value in self.state().items()}
        if self.framework == "detectron2":
            torch.save({"model": state, "iteration": 89999}, path)
        else:
            meta = {"cfg": self.config.read_text(encoding="utf-8"), "epoch": 12, "mmdet_version": "3.3.0"}
            torch.save({"meta": meta, "state_dict": state}, path)
        return path

    def pictures(self) -> tuple[str, ...]:
        """The pictures of which there are golden outputs."""
        return tuple(dict.fromkeys(key.split("/")[0] for key in _arrays(self.folder / "golden.npz")))

    def golden(self, picture: str) -> dict[str, np.ndarray]:
        """The framework's outputs for a picture, by the names of the README."""
        arrays = _arrays(self.folder / "golden.npz")
        return {key.split("/")[1]: value for key, value in arrays.items() if key.startswith(f"{picture}/")}

    def features(self) -> dict[str, np.ndarray]:
        """Feature maps of the picture astronaut, where they are there: `[C, H, W]` by name."""
        path = self.folder / "features_astronaut.npz"
        if not path.exists():
            return {}
        return {key.removeprefix("feature_"): value for key, value in _arrays(path).items()}


def reference_model(name: str) -> ReferenceModel:
    """The model of this name, one of `NAMES`."""
    return ReferenceModel(name, FOLDER / name)


def full_reference_model(name: str) -> ReferenceModel:
    """The model of this name, one of `ALL_NAMES`."""
    return ReferenceModel(name, (FULL_SET or FOLDER) / name)


def picture(name: str) -> np.ndarray:
    """A picture `[H, W, 3]` uint8 RGB: a photograph of scikit-image, a held-out scene of the demo, or a file."""
    if FULL_SET is not None and (file := FULL_SET / "pictures" / f"{name}.png").exists():
        import cv2

        return cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    from maskrt.shapes.backgrounds import photograph
    from maskrt.shapes.scenes import generate_scene

    if name.startswith("scene"):
        return generate_scene(int(name.removeprefix("scene") or 3), "test").image
    return np.ascontiguousarray(photograph(name))


def read_state(path: Path) -> dict[str, np.ndarray]:
    """The state dict of a checkpoint that one of the frameworks wrote; of all its objects, only tensors are made."""
    import torch

    if path.suffix == ".pkl":
        with path.open("rb") as file:
            return {key: np.asarray(value) for key, value in pickle.load(file, encoding="latin1")["model"].items()}
    unpickling = types.ModuleType("pickle")
    unpickling.Unpickler = _TensorUnpickler  # type: ignore[attr-defined]
    unpickling.load = lambda file, **options: _TensorUnpickler(file, **options).load()  # type: ignore[attr-defined]
    content = torch.load(path, weights_only=False, pickle_module=unpickling)
    state = content["state_dict" if "state_dict" in content else "model"]
    return {key: value.numpy() for key, value in state.items()}


class _Nothing:
    """Stands for an object of any class."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> _Nothing:
        return self

    def __setstate__(self, state: Any) -> None:
        pass


class _TensorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch._utils", "collections") or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        return _Nothing


@cache
def _tensors() -> Mapping[str, np.ndarray]:
    from safetensors.numpy import load_file

    tensors = dict(load_file(FOLDER / STORE))
    for name, file in ORIGINALS.items():
        tensors |= {f"{name}/{key}": value for key, value in read_state(FOLDER / name / file).items()}
    return tensors


@cache
def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    with np.load(path) as arrays:
        return {key: arrays[key] for key in arrays.files}


def _shapes_state(script: Path, framework: str) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("make_checkpoint", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.convert(framework, str(script.parents[1] / "trained_shapes.safetensors"))
