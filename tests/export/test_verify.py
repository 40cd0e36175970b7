import dataclasses

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from maskrt.calibration.model_file import remove_seal
from maskrt.export import verify
from maskrt.export.verify import MismatchError, verify_onnx


def test_the_exported_file_equals_the_model(shapes_model, shapes_onnx, shapes_float32_onnx):
    for path in (shapes_onnx, shapes_float32_onnx):
        differences = verify_onnx(shapes_model, path)
        assert differences.detections > 0
        assert differences.unmatched == 0
        assert differences.box < 0.05
        assert differences.score < 1e-4


def _largest_weight(proto: onnx.ModelProto, op_type: str) -> onnx.TensorProto:
    inputs = {node.input[1] for node in proto.graph.node if node.op_type == op_type}
    return max((t for t in proto.graph.initializer if t.name in inputs), key=lambda t: np.prod(t.dims))


@pytest.mark.parametrize("op_type", ["Conv", "Gemm"])
def test_one_wrong_weight_tensor_is_found(shapes_model, shapes_onnx, tmp_path, op_type):
    proto = onnx.load(shapes_onnx)
    remove_seal(proto)
    tensor = _largest_weight(proto, op_type)
    values = numpy_helper.to_array(tensor) * np.float32(1.05)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(proto, tmp_path / "wrong.onnx")
    with pytest.raises(MismatchError, match="does not match the PyTorch model"):
        verify_onnx(shapes_model, tmp_path / "wrong.onnx")


def test_a_flipped_alignment_flag_is_found(shapes_model, shapes_onnx, tmp_path):
    proto = onnx.load(shapes_onnx)
    remove_seal(proto)
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name == "coordinate_transformation_mode" and node.domain == "maskrt":
                attribute.s = b"half_pixel"
    onnx.save(proto, tmp_path / "flipped.onnx")
    with pytest.raises(MismatchError, match="does not match"):
        verify_onnx(shapes_model, tmp_path / "flipped.onnx")


def test_masks_that_are_not_numbers_are_found(shapes_model, shapes_float32_onnx, monkeypatch):
    run_onnx = verify._run_onnx

    def with_nan(*arguments):
        sides = run_onnx(*arguments)
        sides[0].masks[0, 5, 5] = np.nan
        return sides

    monkeypatch.setattr(verify, "_run_onnx", with_nan)
    with pytest.raises(MismatchError, match="masks nan"):
        verify_onnx(shapes_model, shapes_float32_onnx)


def test_images_of_less_contrast_decide_where_the_order_of_scores_is_chance(shapes_model, shapes_onnx, monkeypatch):
    compare, calls = verify._compare, []

    def of_chance(expected, candidate):
        calls.append(candidate)
        differences = compare(expected, candidate)
        return dataclasses.replace(differences, unmatched=differences.detections) if len(calls) < 3 else differences

    monkeypatch.setattr(verify, "_compare", of_chance)
    assert verify_onnx(shapes_model, shapes_onnx).within_tolerance()
    assert len(calls) == 3
