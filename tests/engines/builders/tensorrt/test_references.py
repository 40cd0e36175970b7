"""Engines of detectron2's and mmdetection's models: each kind of graph builds, with plugin layers only.

All of them: `python -m tests.references.measure engines`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from maskrt.calibration import CalibrationOptions, quantize
from maskrt.contract.manifest import read_manifest

from ....support.reference_engines import TARGET, engine_options

pytest.importorskip("tensorrt_rtx")

MASKS = {"DetectionOutput": 1, "GenerateProposals": 1, "MultilevelRoIAlign": 2}
KEYPOINTS = {**MASKS, "DecodeKeypoints": 1}
CASCADE = {**MASKS, "MultilevelRoIAlign": 4}

KINDS = {
    "d2_mask_rcnn_R_50_C4": MASKS,  # a last stage as head, 6,000 anchors of a level, canvases of any size
    "d2_cls_agnostic_bbox": MASKS,
    "d2_roialign_v1_sampling2": MASKS,
    "d2_cascade_mask_rcnn_R_50_FPN": CASCADE,
    "d2_keypoint_rcnn_R_50_FPN": KEYPOINTS,
    "mm_cascade-mask-rcnn_r50_fpn": CASCADE,
    "mm_faster-rcnn_r50_fpn": {"DetectionOutput": 1, "GenerateProposals": 1, "MultilevelRoIAlign": 1},
    "mm_mask-rcnn_r50_fpn_gn": MASKS,
    "mm_mask-rcnn_x101-32x4d_fpn": MASKS,
}
"""A model of each kind of graph → its plugin layers; the others of `tests/references` differ from these in numbers."""


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model_builds(
    maskrt_engine: Callable[..., subprocess.CompletedProcess[str]],
    reference_onnx: Callable[[str], Path],
    name: str,
    precision: str,
    tmp_path: Path,
) -> None:
    onnx = reference_onnx(name)
    if precision != "fp32":
        onnx = quantize(onnx, tmp_path / "model.onnx", precision).path
    check_engine(maskrt_engine, onnx, tmp_path, KINDS[name], precision)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "fp8"])
@pytest.mark.parametrize("name", [name for name, layers in KINDS.items() if layers in (KEYPOINTS, CASCADE)])
def test_cascades_and_keypoints_build_quantized(
    maskrt_engine: Callable[..., subprocess.CompletedProcess[str]],
    reference_onnx: Callable[[str], Path],
    scene_folder: Path,
    name: str,
    precision: str,
    tmp_path: Path,
) -> None:
    calibration = CalibrationOptions([scene_folder])
    onnx = quantize(reference_onnx(name), tmp_path / "model.onnx", precision, calibration).path
    check_engine(maskrt_engine, onnx, tmp_path, KINDS[name], precision)


def check_engine(
    maskrt_engine: Callable[..., subprocess.CompletedProcess[str]],
    onnx: Path,
    folder: Path,
    plugin_layers: dict[str, int],
    precision: str,
) -> None:
    """Build an engine and see which plugin layers it has."""
    engine = folder / "model.engine"
    result = maskrt_engine(onnx, "--target", TARGET, "--output", engine, *engine_options())
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(engine)
    assert manifest.plugin_layers == plugin_layers
    assert manifest.build.precision == precision
