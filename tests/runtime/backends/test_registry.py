"""Which inference engine opens which file, and what it is given."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.tensors import NUM_DETECTIONS
from maskrt.runtime import ArgumentError, ModelError, Segmenter
from maskrt.runtime.backends.base import Detections, is_maskrt_model, output_names
from maskrt.runtime.backends.registry import BACKENDS, BackendEntry, find_backend, open_backend

from ...support.model_metadata import make_metadata


class Toy:
    """An inference engine that finds nothing, slowly."""

    input_dtype = np.dtype(np.uint8)
    providers = ("the toy box",)
    resizes = False
    runs_at_once = 1
    paste_counts = None

    def __init__(self, path: Path, *, threads: int = 7) -> None:
        self.metadata: ModelMetadata = make_metadata(outputs=[])
        self.given = path, threads

    def run(self, feed: dict[str, Any]) -> Detections:
        rows = np.zeros((len(feed["images"]), 0), np.float32)
        return Detections(np.zeros(len(rows), np.int32), rows[..., None].repeat(4, 2), rows, rows.astype(np.int32), {})


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry with one more line."""
    module = ModuleType("toy_backend")
    module.Toy = Toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_backend", module)
    monkeypatch.setitem(BACKENDS, ".toy.zip", BackendEntry("Toy", "toy_backend:Toy", ("threads",)))


@pytest.mark.usefixtures("toys")
def test_one_more_engine_is_one_line() -> None:
    segmenter = Segmenter("Model.TOY.zip", threads=2)
    assert len(segmenter.predict(np.zeros((30, 40, 3), np.uint8))) == 0
    assert segmenter.providers == ("the toy box",)
    assert find_backend(segmenter.path).title == "Toy"


@pytest.mark.usefixtures("toys")
def test_what_is_not_given_is_the_engines_own_choice() -> None:
    opened = open_backend(Path("a.toy.zip"), threads=None, providers=None)
    assert isinstance(opened, Toy)
    assert opened.given == (Path("a.toy.zip"), 7)


@pytest.mark.usefixtures("toys")
def test_an_option_of_another_engine_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"providers is an option of ONNX Runtime, .*a.toy.zip runs in Toy\."):
        open_backend(Path("a.toy.zip"), providers=["CPUExecutionProvider"])


def test_a_file_that_nobody_runs() -> None:
    with pytest.raises(ModelError, match=r"expected a model file that ends in \.onnx.* or .*, got 'model.pt'"):
        find_backend(Path("folder.onnx/model.pt"))


@pytest.mark.parametrize("suffix", BACKENDS)
def test_every_factory_exists(suffix: str) -> None:
    module, _, name = BACKENDS[suffix].factory.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_tensors_of_a_model() -> None:
    types = {name: np.dtype(np.float32) for name in ("images", "image_sizes", "score_threshold", "nms_threshold")}
    types["image_sizes"] = np.dtype(np.int32)
    metadata = make_metadata()
    outputs = {name: np.dtype(np.float32) for name in output_names(metadata)}
    outputs |= {name: np.dtype(np.int32) for name in (NUM_DETECTIONS, "labels")}
    assert list(outputs) == ["num_detections", "boxes", "scores", "labels", "masks"]
    assert is_maskrt_model(metadata, types, outputs)
    assert is_maskrt_model(metadata, {**types, "images": np.dtype(np.uint8)}, outputs)
    assert not is_maskrt_model(metadata, {**types, "images": np.dtype(np.int8)}, outputs)
    assert not is_maskrt_model(metadata, types, {**outputs, "labels": np.dtype(np.int64)})
    assert not is_maskrt_model(metadata, {**types, "extra": np.dtype(np.int32)}, outputs)
    assert not is_maskrt_model(make_metadata(outputs=[]), types, outputs)
