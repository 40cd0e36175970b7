"""`maskrt compare` of models with keypoints, and of cascades: their points, what is found again, and planted faults."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper, numpy_helper

from maskrt.calibration import CalibrationOptions, quantize
from maskrt.contract.precision import PRECISIONS
from maskrt.contract.seal import SEAL, sealed
from maskrt.errors import ArgumentError
from maskrt.evaluation.compare.run import Request, compare
from maskrt.evaluation.compare.table import table
from maskrt.evaluation.results.compare import CandidateRecord, Comparison
from maskrt.evaluation.results.files import read_result, write_result
from maskrt.export import export_onnx
from maskrt.export.families.base import SourceModel, describe_model
from maskrt.shapes.keypoints import keypoint_model

from ...support.torchvision_models import drawn, small_faster_rcnn

PREDICTOR = "roi_heads.keypoint_predictor.kps_score_lowres"


@pytest.fixture
def picture(scene_folder: Path) -> Path:
    return scene_folder / "01.png"


def _compare(source: SourceModel, files: list[Path], picture: Path) -> Comparison:
    return compare(Request(source, files, [picture], threads=1), io.StringIO())


def _plant(file: Path, folder: Path, fault: Callable[[onnx.ModelProto], None]) -> Path:
    """Writes the file with a fault, sealed anew as a faulty exporter would."""
    model = onnx.load(file)
    fault(model)
    helper.set_model_props(model, {e.key: e.value for e in model.metadata_props if e.key != SEAL})
    path = folder / "faulty.onnx"
    path.write_bytes(sealed(model.SerializeToString()))
    return path


def _failing(source: SourceModel, file: Path, picture: Path) -> CandidateRecord:
    (candidate,) = _compare(source, [file], picture).candidates
    assert candidate.verdict == "fail"
    return candidate


def test_whole_files_and_their_keypoints(
    keypoint_source: SourceModel, small_keypoint_onnx: Path, picture: Path, tmp_path: Path
) -> None:
    half = quantize(small_keypoint_onnx, tmp_path / "half.onnx", "fp16").path
    result = _compare(keypoint_source, [small_keypoint_onnx, half], picture)
    single, fp16 = result.candidates
    assert (single.verdict, single.reasons) == ("pass", ())
    names = [tensor.name for tensor in single.tensors]
    assert names.count("RoIAlign of detections") == 1  # masks and keypoints read the same RoIs
    assert names[-2:] == ["roi_heads.mask_predictor.mask_fcn_logits", PREDICTOR]
    assert single.detections.matched == single.detections.reference > 5
    assert single.detections.keypoint_size is not None and single.detections.keypoint_size < 1e-3
    assert all(tensor.within_budget for tensor in fp16.tensors)
    assert fp16.detections.keypoint_size is not None
    assert fp16.detections.keypoint_size <= PRECISIONS["fp16"].budget.keypoint_size
    assert result.keypoint_names == ("nose", "neck", "tail")
    ours = result.images[0].instances[single.name]
    assert all(instance.keypoints is not None and len(instance.keypoints) == 9 for instance in ours)
    write_result(tmp_path / "compare.json", result)
    assert read_result(tmp_path / "compare.json") == result
    assert "keypoints  least signal to noise" in table(result)[0]


def test_a_fault_in_the_head_is_found_in_the_head(
    keypoint_source: SourceModel, small_keypoint_onnx: Path, picture: Path, tmp_path: Path
) -> None:
    def scale(model: onnx.ModelProto) -> None:
        (tensor,) = (t for t in model.graph.initializer if t.name == "roi_heads.keypoint_head.2.weight")
        tensor.CopyFrom(numpy_helper.from_array(1.1 * numpy_helper.to_array(tensor), tensor.name))

    candidate = _failing(keypoint_source, _plant(small_keypoint_onnx, tmp_path, scale), picture)
    assert candidate.first_difference == "roi_heads.keypoint_head.2"
    assert f"and on from there at {PREDICTOR}" in candidate.reasons[0]


def test_a_fault_in_decoding_is_seen_in_the_keypoints(
    keypoint_source: SourceModel, small_keypoint_onnx: Path, picture: Path, tmp_path: Path
) -> None:
    """Rows and columns of the heatmaps changed places: each tensor of the network is right."""

    def transpose(model: onnx.ModelProto) -> None:
        index, node = next((i, n) for i, n in enumerate(model.graph.node) if n.op_type == "DecodeKeypoints")
        swapped = helper.make_node("Transpose", [node.input[1]], ["swapped"], perm=[0, 1, 3, 2])
        node.input[1] = "swapped"
        model.graph.node.insert(index, swapped)

    candidate = _failing(keypoint_source, _plant(small_keypoint_onnx, tmp_path, transpose), picture)
    assert candidate.first_difference == "detections"
    assert all(tensor.within_budget for tensor in candidate.tensors)
    (reason,) = candidate.reasons
    assert reason.startswith("detections: keypoints lie ")
    assert reason.endswith("of their box's size apart (budget 0.02)")


def test_models_of_other_outputs_are_refused_either_way(
    keypoint_source: SourceModel, small_keypoint_onnx: Path, shapes_onnx: Path, picture: Path
) -> None:
    boxes = describe_model(drawn(small_faster_rcnn()), source="boxes")
    with pytest.raises(ArgumentError, match=r"boxes gives no masks and no keypoints, but .* masks and 3 keypoints"):
        _compare(boxes, [small_keypoint_onnx], picture)
    with pytest.raises(
        ArgumentError, match=r"gives masks and 3 keypoints, but .* masks and no keypoints: it is of another model"
    ):
        _compare(keypoint_source, [shapes_onnx], picture)


@pytest.mark.slow
def test_a_trained_model_keeps_to_the_budgets(scene_folder: Path, tmp_path: Path) -> None:
    """The demo model with its keypoint head, in FP16 and in INT8."""
    source = describe_model(keypoint_model(), source="maskrt.shapes.keypoints:keypoint_model")
    single = export_onnx(source.model, tmp_path / "single.onnx", verify=False)
    half = quantize(single, tmp_path / "half.onnx", "fp16").path
    int8 = quantize(single, tmp_path / "int8.onnx", "int8", CalibrationOptions([scene_folder])).path
    files = [single, half, int8]
    result = compare(Request(source, files, sorted(scene_folder.glob("*.png"))[:3], threads=1), io.StringIO())
    assert [candidate.reasons for candidate in result.candidates] == [()] * 3
    assert all(candidate.detections.keypoint_size is not None for candidate in result.candidates)


CASCADES = {
    "d2_cascade_mask_rcnn_R_50_FPN": (
        *(f"roi_heads.box_predictor.{stage}.{part}" for stage in range(3) for part in ("cls_score", "bbox_pred")),
        "roi_heads.mask_head.predictor",
    ),
    "mm_cascade-mask-rcnn_r50_fpn": (
        *(f"roi_head.bbox_head.{stage}.{part}" for stage in range(3) for part in ("fc_cls", "fc_reg")),
        *(f"roi_head.mask_head.{stage}.conv_logits" for stage in range(3)),
    ),
}
"""What the heads of each predict."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASCADES)[: None if os.environ.get("MASKRT_LONG_TESTS") == "1" else 1])
def test_every_stage_of_a_cascade_is_quantized_and_compared(
    reference_source: Callable[[str], Any],
    reference_onnx: Callable[[str], Path],
    scene_folder: Path,
    picture: Path,
    tmp_path: Path,
    name: str,
) -> None:
    """The weights are drawn, so that nothing is asked of INT8's and FP8's noise."""
    files = [reference_onnx(name)]
    for precision in ("fp16", "int8", "fp8"):
        calibration = CalibrationOptions([scene_folder]) if PRECISIONS[precision].calibrated else None
        result = quantize(files[0], tmp_path / f"{precision}.onnx", precision, calibration, stream=io.StringIO())
        assert result.coverage is not None and result.coverage.converted == result.coverage.weights
        files.append(result.path)
    single, half, *quantized = _compare(reference_source(name), files, picture).candidates
    for candidate in (single, half, *quantized):
        tensors = {tensor.name: tensor for tensor in candidate.tensors}
        assert {f"RoIAlign of proposals[{stage}]" for stage in range(3)} | {*CASCADES[name]} <= tensors.keys()
        assert all(tensors[point].snr_db > -200 for point in CASCADES[name])
    assert all(tensor.within_budget for tensor in single.tensors if tensor.name in CASCADES[name]), single.reasons
