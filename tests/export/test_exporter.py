import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from maskrt import __version__
from maskrt.contract.metadata import parse_metadata
from maskrt.contract.seal import SEAL, read_metadata_properties
from maskrt.errors import DependencyError
from maskrt.export import export_onnx
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.exporter import weights_hash
from maskrt.runtime import ArgumentError, ModelError, Segmenter
from maskrt.shapes.model import build_model
from maskrt.shapes.outlines import CLASS_NAMES

from ..support.torchvision_models import small_mask_rcnn


@pytest.fixture(scope="module")
def proto(shapes_onnx):
    return onnx.load(shapes_onnx)


def _shapes(values):
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def test_inputs_and_outputs_are_the_contract(proto):
    inputs, outputs = _shapes(proto.graph.input), _shapes(proto.graph.output)
    kind = onnx.TensorProto
    batch = inputs["images"][1][0]
    assert isinstance(batch, str)
    assert inputs["images"][0] == kind.UINT8
    assert inputs["images"][1][3] == 3
    assert all(isinstance(side, str) for side in inputs["images"][1][1:3])
    assert inputs["image_sizes"] == (kind.INT32, [batch, 2])
    assert inputs["score_threshold"] == inputs["nms_threshold"] == (kind.FLOAT, ["batch", 1])
    assert list(outputs) == ["num_detections", "boxes", "scores", "labels", "masks"]
    assert outputs["num_detections"] == (kind.INT32, [batch])
    assert outputs["boxes"] == (kind.FLOAT, [batch, 40, 4])
    assert outputs["scores"] == (kind.FLOAT, [batch, 40])
    assert outputs["labels"] == (kind.INT32, [batch, 40])
    assert outputs["masks"] == (kind.FLOAT, [batch, 40, 28, 28])


def test_plugins_functions_and_no_batch_norm(proto):
    custom = [node.op_type for node in proto.graph.node if node.domain == "maskrt"]
    assert sorted(custom) == ["DetectionOutput", "GenerateProposals", "MultilevelRoIAlign", "MultilevelRoIAlign"]
    assert sorted(function.name for function in proto.functions) == [
        "BatchedNMS",  # which GenerateProposals calls
        "DetectionOutput",
        "GenerateProposals",
        "MultilevelRoIAlign",
    ]
    for node in proto.graph.node:
        if node.domain == "maskrt":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            assert attributes["plugin_version"] == b"1"
            assert attributes["plugin_namespace"] == b""
    # TensorRT evaluates TopK over a long axis nearly serially; what is below the threshold is never decoded.
    assert not {"TopK", "Softmax", "Exp"} & {node.op_type for node in proto.graph.node}
    # Folded: what is left of a normalisation would be a multiplication by 64 or more constants after a convolution.
    convolved = {node.output[0] for node in proto.graph.node if node.op_type == "Conv"}
    followers = {node.op_type for node in proto.graph.node if convolved & set(node.input)}
    assert not followers & {"BatchNormalization", "Mul", "Sub"}


def test_metadata_says_what_the_runtime_needs(proto, shapes_model):
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    metadata = parse_metadata(properties, "model.onnx")
    assert metadata.version == __version__
    assert metadata.class_names == tuple(CLASS_NAMES)
    resize = metadata.pipeline.resize
    assert (resize.min_size, resize.max_size, metadata.pipeline.size_divisor) == (320, 560, 32)
    assert metadata.model_family == "torchvision.MaskRCNN"
    assert metadata.detections_per_image == 40
    assert metadata.precision == "fp32"
    assert json.loads(properties["maskrt.image_mean"]) == shapes_model.transform.image_mean


def test_the_file_is_sealed(shapes_onnx, tmp_path):
    content = bytearray(shapes_onnx.read_bytes())
    assert SEAL.encode() in content
    content[len(content) // 2] ^= 1  # in a weight
    (tmp_path / "damaged.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="was changed after maskrt wrote it"):
        read_metadata_properties(tmp_path / "damaged.onnx")


def test_names_nothing_of_the_exporting_machine(shapes_onnx):
    content = shapes_onnx.read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content


@pytest.mark.slow
def test_same_model_gives_the_same_bytes_in_another_process(shapes_onnx, tmp_path):
    code = (
        "import sys; from maskrt.export import export_onnx; from maskrt.shapes.model import shapes_model; "
        "export_onnx(shapes_model(), sys.argv[1])"
    )
    again = tmp_path / "again.onnx"
    subprocess.run([sys.executable, "-c", code, str(again)], check=True)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(shapes_onnx.read_bytes()).digest()


def test_weights_hash_follows_the_weights_and_the_source_model_is_left_as_it_was(tmp_path, proto):
    torch.manual_seed(1)
    model = build_model().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = onnx.load(export_onnx(model, tmp_path / "other.onnx", class_names=["a"] * 8, verify=False))
    properties, other_properties = (
        {entry.key: entry.value for entry in each.metadata_props} for each in (proto, other)
    )
    assert properties["maskrt.weights_sha256"] != other_properties["maskrt.weights_sha256"]
    assert parse_metadata(other_properties, "other").class_names == ("__background__", *"aaaaaaaa")
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_class_names_that_do_not_fit(shapes_model, tmp_path):
    """Given with or without the background, or as the model's own attribute."""
    for names in (["__background__", "cat", "dog"], ["cat", "dog"]):
        with pytest.raises(ArgumentError, match="8 classes besides the background, but got 2 class names"):
            export_onnx(shapes_model, tmp_path / "model.onnx", class_names=names)
    with pytest.raises(ArgumentError, match="class names must be text, but got 1"):
        export_onnx(shapes_model, tmp_path / "model.onnx", class_names=[1, 2])
    model = build_model().eval()
    model.class_names = ["__background__", "cat", "dog"]
    with pytest.raises(ArgumentError, match="but the model's class_names has 2 class names"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_hash_of_any_type():
    layer = torch.nn.BatchNorm1d(2)
    assert weights_hash(layer) == "811e80fb63a87304c06afd4257242edfc9ad9935f4dc75b000660a6b5f91f961"
    assert weights_hash(layer.bfloat16()) != weights_hash(torch.nn.BatchNorm1d(2))


def test_unknown_input_type(shapes_model, tmp_path):
    with pytest.raises(ArgumentError, match="input_type must be one of uint8, float32, but got 'float16'"):
        export_onnx(shapes_model, tmp_path / "model.onnx", input_type="float16")


def test_what_the_runtime_opens_by_its_suffix(shapes_model, tmp_path):
    with pytest.raises(ArgumentError, match=r"cannot write .*model.pb: the runtime opens ONNX files by their suffix"):
        export_onnx(shapes_model, tmp_path / "model.pb")


def _set(path, value):
    def change(model):
        part = model
        *words, last = path.split(".")
        for word in words:
            part = getattr(part, word)
        setattr(part, last, value)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("roi_heads.score_thresh", -1.0), "its score_threshold is -1.0; expected 0 to 1"),
        (_set("roi_heads.score_thresh", 1.5), "its score_threshold is 1.5; expected 0 to 1"),
        (_set("roi_heads.nms_thresh", 1.1), "its nms_threshold is 1.1; expected 0 to 1"),
        (_set("roi_heads.nms_thresh", -0.1), "its nms_threshold is -0.1; expected 0 to 1"),
        (_set("roi_heads.nms_thresh", float("nan")), "nms_thresh is nan; expected a finite number"),
        (_set("roi_heads.detections_per_img", 0), "its detections_per_image is 0; expected 1 to 16384"),
        (_set("roi_heads.detections_per_img", 10**6), "its detections_per_image is 1000000; expected 1 to 16384"),
        (_set("transform.min_size", (0,)), "its min_size is 0; expected 1 to 16384"),
        (_set("transform.max_size", 100_000), "its max_size is 100000; expected 1 to 16384"),
        (
            _set("roi_heads.mask_roi_pool.output_size", (14, 10)),
            "gives masks of 28 x 20 pixels; expected as many rows",
        ),
    ],
)
def test_what_the_runtime_would_not_take_is_refused_before_it_is_written(change, message, tmp_path):
    """One validation for both ends: the file's metadata as they are read."""
    model = small_mask_rcnn()
    change(model)
    with pytest.raises(UnsupportedModelError, match=message):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_limits_themselves_are_taken(tmp_path):
    model = small_mask_rcnn(box_score_thresh=0.0, box_nms_thresh=1.0, max_size=16384)
    segmenter = Segmenter(export_onnx(model, tmp_path / "model.onnx", verify=False))
    found = segmenter.predict(np.zeros((50, 70, 3), np.uint8))
    assert found.masks().shape == (len(found), 50, 70)
    assert len(found) == 20


def test_without_onnx_runtime_nothing_is_exported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DependencyError, match="verifying the exported file needs ONNX Runtime"):
        export_onnx(small_mask_rcnn(), tmp_path / "model.onnx")
