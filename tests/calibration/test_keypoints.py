"""Quantizing a model with keypoints: its head, its file, and the loss of OKS AP as a budget."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from maskrt.calibration import CalibrationOptions, quantize
from maskrt.calibration.accuracy import Accuracy
from maskrt.calibration.cli import accuracy_on
from maskrt.calibration.model_file import custom_operators
from maskrt.contract.precision import PRECISIONS
from maskrt.runtime import Segmenter, read_image

from ..support.keypoint_dataset import write_keypoint_dataset


@pytest.mark.parametrize("precision", ["fp16", "int8", "fp8"])
def test_the_keypoint_head_is_of_the_precision_and_keypoints_are_fp32(
    small_keypoint_onnx: Path, scene_folder: Path, tmp_path: Path, precision: str
) -> None:
    calibrated = PRECISIONS[precision].calibrated
    output = tmp_path / "model.onnx"
    options = CalibrationOptions([scene_folder]) if calibrated else None
    result = quantize(small_keypoint_onnx, output, precision, options, stream=io.StringIO())
    assert result.coverage is not None and result.coverage.converted == result.coverage.weights
    original, model = onnx.load(small_keypoint_onnx), onnx.load(output)
    assert custom_operators(model) == custom_operators(original)
    assert custom_operators(model)["DecodeKeypoints"] == 1
    assert list(model.functions) == list(original.functions)
    assert list(model.graph.output) == list(original.graph.output)
    writers = {name: node for node in model.graph.node for name in node.output}
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    half = {onnx.TensorProto.FLOAT16}
    (decode,) = (node for node in model.graph.node if node.op_type == "DecodeKeypoints")
    cast = writers[decode.input[1]]
    assert (cast.op_type, cast.attribute[0].i) == ("Cast", onnx.TensorProto.FLOAT)
    of_head = [node for node in model.graph.node if any("keypoint" in name for name in node.input[1:2])]
    layers = [node for node in of_head if node.op_type in ("Conv", "ConvTranspose")]
    assert [node.op_type for node in layers] == ["Conv", "Conv", "ConvTranspose"]
    for node in layers:
        if calibrated:
            assert [writers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
        else:
            assert {types[name] for name in node.input[1:]} == half
    found = Segmenter(output, providers=["CPUExecutionProvider"]).predict(read_image(scene_folder / "00.png"))
    assert found.keypoint_names == ("nose", "neck", "tail")
    assert len(found) and np.isfinite(found.keypoints).all()


def test_accuracy_counts_keypoints(write_model: Callable[..., Path], tmp_path: Path) -> None:
    measure = accuracy_on(write_keypoint_dataset(tmp_path))
    found = measure(write_model(masks=False, keypoints=True, score_threshold=0.05))
    assert found.mask is None
    assert found.keypoints is not None and 0.9 < found.keypoints <= 1
    assert f"keypoint AP {found.keypoints:.4f}" in str(found)
    assert Accuracy(0.5, 0.4, 0.6).drop_to(Accuracy(0.5, 0.39, 0.55)) == pytest.approx(0.05)


@pytest.mark.parametrize("with_keypoints", [True, False])
def test_what_is_not_measured_is_told_once(
    write_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], with_keypoints: bool
) -> None:
    path = write_keypoint_dataset(tmp_path)
    if with_keypoints:
        content = json.loads(path.read_text())
        for annotation in content["annotations"]:
            del annotation["keypoints"]
        path.write_text(json.dumps(content))
    measure, model = accuracy_on(path), write_model(masks=True, keypoints=with_keypoints)
    assert measure(model).keypoints is measure(model).mask is None
    finds = "finds keypoints, but no annotation has any" if with_keypoints else "finds no keypoints, which annotations"
    lines = capsys.readouterr().err.splitlines()
    assert sum(finds in line for line in lines) == 1
    assert sum(line == "6 of 6 annotations have no mask: no mask AP is measured." for line in lines) == 1


def _write_what_is_found(model: Path, pictures: list[Path], folder: Path) -> Path:
    """Write a data set whose objects are what a file finds in pictures."""
    segmenter = Segmenter(model, providers=["CPUExecutionProvider"])
    images, annotations = [], []
    for number, picture in enumerate(pictures, start=1):
        image = read_image(picture)
        cv2.imwrite(str(folder / picture.name), image[:, :, ::-1])
        height, width = image.shape[:2]
        images.append({"id": number, "file_name": picture.name, "height": height, "width": width})
        for record in segmenter.predict(image).to_coco(number):
            keypoints = [2 if i % 3 == 2 else value for i, value in enumerate(record["keypoints"])]
            annotations.append({**record, "keypoints": keypoints})
    names = segmenter.class_names
    categories: list[dict[str, Any]] = [
        {"id": label, "name": names[label], "sigmas": [0.05] * 3} for label in range(1, len(names))
    ]
    path = folder / "found.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


@pytest.mark.slow
def test_layers_are_kept_in_fp16_until_the_keypoints_are_good_enough(
    small_keypoint_onnx: Path, scene_folder: Path, tmp_path: Path
) -> None:
    """Measured on keypoints alone: the FP32 file's own are the truth."""
    on_all = accuracy_on(_write_what_is_found(small_keypoint_onnx, sorted(scene_folder.glob("*.png"))[:1], tmp_path))

    def measure(file: Path) -> Accuracy:
        return dataclasses.replace(on_all(file), box=1.0, mask=None)

    result = quantize(
        small_keypoint_onnx,
        tmp_path / "int8.onnx",
        "int8",
        CalibrationOptions([scene_folder]),
        measure=measure,
        max_ap_drop=0.2,
        stream=io.StringIO(),
    )
    assert result.before is not None and result.after is not None and result.choice is not None
    assert result.before.keypoints == 1
    assert result.budget_met and result.after.keypoints is not None and result.after.keypoints >= 0.8
    assert result.choice.kept  # of drawn weights, INT8 leaves little
    written = json.loads((tmp_path / "int8.layers.json").read_text())
    assert written["ap"]["keypoints"] == result.after.keypoints
