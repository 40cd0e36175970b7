"""Engines of models with keypoints, without a GPU: each custom operator becomes a plugin layer at every precision."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskrt.calibration import CalibrationOptions, quantize
from maskrt.contract.manifest import read_manifest
from maskrt.export import export_onnx

from ....support.keypoint_model import keypoint_model

pytest.importorskip("tensorrt_rtx")


@pytest.fixture(scope="module")
def keypoint_onnx(photographs: dict[str, np.ndarray], once: Callable[..., Path]) -> Path:
    """A model with masks and keypoints as a file."""

    def export(folder: Path) -> None:
        export_onnx(keypoint_model([photographs["coffee"]], masks=True), folder / "model.onnx")

    return once("keypoint-engine", export) / "model.onnx"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_of_masks_and_keypoints(
    maskrt_engine: Callable[..., subprocess.CompletedProcess[str]],
    keypoint_onnx: Path,
    scene_folder: Path,
    precision: str,
    tmp_path: Path,
) -> None:
    onnx, engine = keypoint_onnx, tmp_path / "model.engine"
    if precision == "fp16":
        onnx = quantize(onnx, tmp_path / "model.onnx", precision).path
    elif precision == "int8":
        onnx = quantize(onnx, tmp_path / "model.onnx", precision, CalibrationOptions([scene_folder])).path
    result = maskrt_engine(onnx, "--target", "rtx4090", "--builder", "tensorrt-rtx", "--output", engine)
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(engine)
    assert manifest.plugin_layers == {
        "DetectionOutput": 1,
        "DecodeKeypoints": 1,
        "GenerateProposals": 1,
        "MultilevelRoIAlign": 2,
    }
    assert manifest.build.precision == precision
