import copy
import dataclasses
import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from maskrt.calibration.model_file import remove_seal
from maskrt.export import export_onnx, verify
from maskrt.export.families.torchvision.reference import TorchvisionReference
from maskrt.export.verify import Differences, MismatchError, verify_onnx
from maskrt.runtime import Segmenter

from ..support.torchvision_models import drawn, small_mask_rcnn


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


def test_masks_that_are_not_numbers_are_found(small_model, small_onnx, monkeypatch):
    infer = Segmenter.infer

    def with_nan(*arguments, **options):
        outputs = infer(*arguments, **options)
        outputs.others["masks"][0, 0, 5, 5] = np.nan
        return outputs

    monkeypatch.setattr(Segmenter, "infer", with_nan)
    with pytest.raises(MismatchError, match="masks nan"):
        verify_onnx(small_model, small_onnx)


def test_pictures_of_less_contrast_decide_where_the_order_of_scores_is_chance(small_model, small_onnx, monkeypatch):
    compare, calls = verify._compare, []

    def of_chance(expected, candidate):
        calls.append(candidate)
        differences = compare(expected, candidate)
        return dataclasses.replace(differences, unmatched=differences.detections) if len(calls) < 3 else differences

    monkeypatch.setattr(verify, "_compare", of_chance)
    assert verify_onnx(small_model, small_onnx).within_tolerance()
    assert len(calls) == 3


@pytest.fixture(scope="module")
def small_model():
    return drawn(small_mask_rcnn())


@pytest.fixture(scope="module")
def small_onnx(small_model, tmp_path_factory):
    return export_onnx(small_model, tmp_path_factory.mktemp("small") / "small.onnx", verify=False)


def _with_metadata(path, target, change):
    """The same file with another pipeline in its metadata."""
    proto = onnx.load(path)
    remove_seal(proto)
    for entry in proto.metadata_props:
        if entry.key == "maskrt.pipeline":
            pipeline = json.loads(entry.value)
            change(pipeline)
            entry.value = json.dumps(pipeline)
    onnx.save(proto, target)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["resize"].update(min_size=100), r"does not match .*: pictures become .* but the model makes"),
        (lambda p: p["resize"].update(max_size=110), "pictures become"),
        (lambda p: p.update(size_divisor=64), "on a canvas of"),
        (lambda p: p["paste"].update(rule="pixel_centers"), "elsewhere in the picture"),
        (lambda p: p["paste"].update(threshold=0.7), "elsewhere in the picture"),
    ],
)
def test_what_happens_around_the_network_is_compared_too(small_model, small_onnx, tmp_path, change, message):
    with pytest.raises(MismatchError, match=message):
        verify_onnx(small_model, _with_metadata(small_onnx, tmp_path / "other.onnx", change))


def test_the_whole_model_is_called(small_model, small_onnx, monkeypatch):
    """Something that is not torchvision's and that nobody has thought of."""
    forward = TorchvisionReference.forward

    def without_the_first(*arguments):
        return [
            dataclasses.replace(each, boxes=each.boxes[1:], scores=each.scores[1:], labels=each.labels[1:])
            for each in forward(*arguments)
        ]

    monkeypatch.setattr(TorchvisionReference, "forward", without_the_first)
    with pytest.raises(MismatchError, match=r"called as a whole, model\(images\), it finds \d+ objects"):
        verify_onnx(small_model, small_onnx)


def test_saturated_scores_are_never_called_equal(small_model, small_onnx, monkeypatch):
    monkeypatch.setattr(verify, "_SATURATED", 0.3)
    with pytest.raises(MismatchError, match=r"\d+ of \d+ detections have the score 1, so that .* --skip-verification"):
        verify_onnx(small_model, small_onnx)


def test_where_nothing_is_found_nothing_is_called_equal(small_model, small_onnx, monkeypatch):
    monkeypatch.setattr(verify, "_differences", lambda *arguments: Differences(0, 0, 0.0, 0.0, None))
    with pytest.raises(MismatchError, match=r"finds nothing, even at the score threshold 0, .* --skip-verification"):
        verify_onnx(small_model, small_onnx)


def test_a_model_that_finds_nothing_at_its_threshold_is_compared_below_it(small_model, small_onnx):
    model = copy.deepcopy(small_model)
    model.roi_heads.score_thresh = 0.999
    assert verify_onnx(model, small_onnx).detections > 20


def test_a_file_that_was_not_compared_says_so(small_onnx, shapes_onnx):
    segmenter = Segmenter(small_onnx)
    assert not segmenter.metadata.verified
    assert "not compared with its source model" in repr(segmenter)
    compared = Segmenter(shapes_onnx)
    assert compared.metadata.verified
    assert "not compared" not in repr(compared)
