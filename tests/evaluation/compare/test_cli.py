"""`maskrt compare` on the demo model: whole files pass, and each planted fault is found and its place named."""

from __future__ import annotations

import copy
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from pycocotools import mask as coco_mask
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

from maskrt.calibration import quantize
from maskrt.contract.seal import SEAL, sealed
from maskrt.evaluation.compare import run as compare_run
from maskrt.evaluation.compare.budget import read_budgets
from maskrt.evaluation.compare.cli import choose_images, main
from maskrt.evaluation.compare.run import Request, compare
from maskrt.evaluation.compare.table import table
from maskrt.evaluation.results.compare import CandidateRecord, Comparison
from maskrt.evaluation.results.files import read_result, write_result
from maskrt.export.families.base import SourceModel, describe_model
from maskrt.runtime import ArgumentError, Instances, Segmenter
from maskrt.runtime.structures.masks import GridMasks
from maskrt.shapes.scenes import generate_scene

DEMO = "maskrt.shapes.model:shapes_model"
SOURCE = ("--source", DEMO)


@pytest.fixture(scope="module")
def source(shapes_model: Any) -> SourceModel:
    return describe_model(shapes_model, source=DEMO)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two held-out scenes at twice their size, so that the model's canvas is smaller than the image."""
    folder = tmp_path_factory.mktemp("images")
    for number in (1, 2):
        image = cv2.resize(generate_scene(number, "test").image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return sorted(folder.glob("*.png"))


@pytest.fixture
def plant(shapes_onnx: Path, tmp_path: Path) -> Callable[[Callable[[onnx.ModelProto], None]], Path]:
    """Writes the demo model's file with a fault, sealed anew as a faulty exporter would."""

    def write(fault: Callable[[onnx.ModelProto], None]) -> Path:
        model = onnx.load(shapes_onnx)
        fault(model)
        helper.set_model_props(model, {e.key: e.value for e in model.metadata_props if e.key != SEAL})
        path = tmp_path / "faulty.onnx"
        path.write_bytes(sealed(model.SerializeToString()))
        return path

    return write


def _compare(source: SourceModel, files: list[Path], images: list[Path], stream: TextIO | None = None) -> Comparison:
    return compare(Request(source, files, images, threads=1), stream or io.StringIO())


def _only(result: Comparison) -> CandidateRecord:
    (candidate,) = result.candidates
    return candidate


def _failing(source: SourceModel, file: Path, images: list[Path], stream: TextIO | None = None) -> CandidateRecord:
    candidate = _only(_compare(source, [file], images, stream))
    assert candidate.verdict == "fail"
    return candidate


def test_whole_files_pass(source: SourceModel, shapes_float32_onnx: Path, images: list[Path], tmp_path: Path) -> None:
    fp16 = quantize(shapes_float32_onnx, tmp_path / "half.onnx", "fp16").path
    stream = io.StringIO()
    result = _compare(source, [shapes_float32_onnx, fp16], images, stream)
    assert "weights" not in stream.getvalue()
    candidate, half = result.candidates
    assert (half.precision, half.verdict, half.reasons) == ("fp16", "pass", ())
    noise = [tensor.snr_db for tensor in half.tensors if tensor.name not in ("images", "proposals")]
    assert 45 < min(noise) < max(noise) < 90
    assert (candidate.verdict, candidate.reasons, candidate.first_difference) == ("pass", (), None)
    names = [tensor.name for tensor in candidate.tensors]
    assert names[:2] == ["images", "backbone.fpn.layer_blocks.3.0"]
    assert names[-1] == "roi_heads.mask_predictor.mask_fcn_logits"
    assert names.index("rpn.head.bbox_pred[4]") < names.index("proposals") < names.index("RoIAlign of proposals")
    assert min(tensor.snr_db for tensor in candidate.tensors) > 100
    found = candidate.detections
    assert found.matched == found.reference >= 15
    assert found.box_px_max < 1e-3
    assert candidate.pasting_iou > 0.9999
    assert [entry.name for entry in result.not_compared] == ["TensorRT"]
    ours, theirs = (result.images[1].instances[name] for name in (candidate.name, "PyTorch"))
    assert [i.name for i in ours] == [i.name for i in theirs]
    np.testing.assert_allclose([i.box for i in ours], [i.box for i in theirs], atol=1e-2)
    write_result(tmp_path / "compare.json", result)
    assert read_result(tmp_path / "compare.json") == result
    text = "\n".join(table(result))
    assert "half.onnx" in text
    assert "Not compared: TensorRT. No engine was given." in text
    assert " !" not in text


def _scale(model: onnx.ModelProto, name: str, factor: float) -> None:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))


def test_fault_roi_align_aligned(source: SourceModel, plant: Any, images: list[Path]) -> None:
    """A tensor earlier in the graph differs, too, but not what is made from it: it is not to blame."""

    def flip(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for attribute in node.attribute:
                if (node.op_type, attribute.name) == ("MultilevelRoIAlign", "coordinate_transformation_mode"):
                    assert attribute.s == b"output_half_pixel"
                    attribute.s = b"half_pixel"
        for part, factor in (("conv1.weight", 2), ("conv1.bias", 2), ("conv2.weight", 0.5)):
            _scale(model, f"backbone.body.layer2.1.{part}", factor)

    candidate = _failing(source, plant(flip), images[:1])
    assert candidate.first_difference == "RoIAlign of proposals"
    assert "RoIAlign of proposals (ONNX tensor _symbolic): signal to noise" in candidate.reasons[0]
    within = {tensor.name: tensor.within_budget for tensor in candidate.tensors}
    assert within["proposals"]
    assert within["rpn.head.cls_logits[0]"]
    assert not within["RoIAlign of detections"]


@pytest.mark.parametrize(
    "layer",
    ["backbone.body.layer2.1.conv1", "backbone.fpn.inner_blocks.0.0", "roi_heads.mask_head.2.0"],
)
def test_fault_one_mis_scaled_convolution(source: SourceModel, plant: Any, images: list[Path], layer: str) -> None:
    def scale(model: onnx.ModelProto) -> None:
        _scale(model, f"{layer}.weight", 1.05)

    candidate = _failing(source, plant(scale), images[:1])
    assert candidate.first_difference.partition("[")[0] == layer
    assert candidate.reasons[0].startswith(layer)


def test_fault_anchors(source: SourceModel, plant: Any, images: list[Path]) -> None:
    """What the RPN predicts is right, and no proposal comes of it."""

    def enlarge(model: onnx.ModelProto) -> None:
        (node,) = (node for node in model.graph.node if node.op_type == "GenerateProposals")
        (anchors,) = (attribute for attribute in node.attribute if attribute.name == "anchors")
        anchors.floats[:] = [9 * side for side in anchors.floats]

    candidate = _failing(source, plant(enlarge), images[:1])
    assert candidate.first_difference == "proposals"
    assert all(tensor.within_budget for tensor in candidate.tensors if tensor.name != "proposals")


def test_fault_class_names_shifted_by_one(source: SourceModel, plant: Any, images: list[Path]) -> None:
    def shift(model: onnx.ModelProto) -> None:
        (entry,) = (entry for entry in model.metadata_props if entry.key == "maskrt.class_names")
        background, *names = json.loads(entry.value)
        entry.value = json.dumps([background, *names[1:], names[0]])

    stream = io.StringIO()
    candidate = _failing(source, plant(shift), images[:1], stream)
    assert candidate.first_difference == "class names"
    assert stream.getvalue().startswith("faulty.onnx: class names: label 1 is ")  # before the first image
    first, second = source.class_names[1:3]
    assert f"label 1 is '{first}' in the source model and '{second}' in the file; 8 of 9" in candidate.reasons[0]
    assert candidate.detections.missing > 0


class _ResizedTwice(Instances):
    """Pastes as NVIDIA's sample does: a binary mask at the network's size, which is then resized to the image."""

    def rle(self) -> list[Any]:
        assert isinstance(self.segmentations, GridMasks)
        half = (self.image_size[0] // 2, self.image_size[1] // 2)
        masks = replace(self.segmentations, boxes=self.boxes / 2, image_size=half)
        small = replace(self, boxes=masks.boxes, segmentations=masks, image_size=half)
        size = self.image_size[::-1]
        resized = [cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for mask in small.masks()]
        encoded = [coco_mask.encode(np.asfortranarray(mask)) for mask in resized]
        return [{"size": list(self.image_size), "counts": rle["counts"].decode()} for rle in encoded]

    def __getitem__(self, index: Any) -> Instances:
        return _ResizedTwice(**vars(super().__getitem__(index)))


def test_fault_masks_pasted_twice_resized(
    source: SourceModel, shapes_onnx: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Segmenter.postprocess
    monkeypatch.setattr(
        Segmenter,
        "postprocess",
        lambda self, *arguments: [_ResizedTwice(**vars(found)) for found in right(self, *arguments)],
    )
    candidate = _failing(source, shapes_onnx, images)
    assert candidate.first_difference == "pasted masks"
    assert all(tensor.within_budget for tensor in candidate.tensors)
    assert candidate.pasting_iou < 0.99


def _of_thirty_classes(source: SourceModel) -> SourceModel:
    """A model of 29 classes, which it does not name, that keeps more RoIs than the demo's file has room for."""
    model = copy.deepcopy(source.model)
    heads, classes = model.roi_heads, 30
    heads.box_predictor = FastRCNNPredictor(heads.box_predictor.cls_score.in_features, classes)
    convolution = heads.mask_predictor.conv5_mask
    heads.mask_predictor = MaskRCNNPredictor(convolution.in_channels, convolution.out_channels, classes)
    heads.score_thresh, heads.detections_per_img = 0.0, 100
    del model.class_names
    model.rpn._post_nms_top_n = {"training": 1000, "testing": 1000}
    return describe_model(model.eval(), source="other")


def _claim(model: onnx.ModelProto, **claims: Any) -> None:
    """Has the metadata of a file say something else."""
    entries = {entry.key: entry for entry in model.metadata_props}
    for name, value in claims.items():
        entries[f"maskrt.{name}"].value = json.dumps(value)


def test_another_network(source: SourceModel, plant: Any, images: list[Path]) -> None:
    """The file says that it is of a model that has more classes and RoIs than its network."""
    other = _of_thirty_classes(source)
    weights, names = compare_run.weights_hash(other.model), ["background", *map(str, range(29))]
    file = plant(lambda model: _claim(model, weights_sha256=weights, class_names=names))
    candidate = _failing(other, file, images[:1])
    assert candidate.first_difference == "proposals"
    assert "cls_score (ONNX tensor linear_2): of another shape than in the source model" in candidate.reasons[1]
    within = {tensor.name: tensor.within_budget for tensor in candidate.tensors}
    assert within["RoIAlign of proposals"]


def test_another_model_is_refused_at_once(
    source: SourceModel, shapes_onnx: Path, plant: Any, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before an image is read; the first of classes and weights that differs is what the sentence is about."""
    monkeypatch.setattr(compare_run, "read_image", lambda path: pytest.fail("an image was read"))
    other = _of_thirty_classes(source)
    of_another = r"it is of another model. Give the --source, --weights, --checkpoint and --config that it was"
    with pytest.raises(ArgumentError, match=rf"other has 29 classes, but .*shapes.onnx 8: {of_another}"):
        _compare(other, [shapes_onnx], images)
    file = plant(lambda model: _claim(model, weights_sha256="0" * 64))
    with pytest.raises(ArgumentError, match=rf"faulty.onnx was exported from other weights .*0….* {of_another}"):
        _compare(source, [shapes_onnx, file], images)


def test_rounding_is_named(
    source: SourceModel, shapes_onnx: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the source model, given the rounded picture, finds what the file finds, and only there."""
    budgets = read_budgets(["box_px=0.002", "score=0.00005", "mask_iou=0.9999"])

    def reasons(file: Path) -> str:
        (candidate,) = compare(Request(source, [file], images, budgets, threads=1), io.StringIO()).candidates
        return " ".join(candidate.reasons)

    right = Segmenter.postprocess
    assert "That is the rounding of resized pictures to uint8, not the network" in reasons(shapes_onnx)
    monkeypatch.setattr(
        Segmenter,
        "postprocess",
        lambda self, *arguments: [replace(found, scores=0.9 * found.scores) for found in right(self, *arguments)],
    )
    assert reasons(shapes_onnx).startswith("detections: ")
    assert "rounding" not in reasons(shapes_onnx)


def test_a_layer_that_the_model_lacks(source: SourceModel, plant: Any, images: list[Path]) -> None:
    def rename(model: onnx.ModelProto) -> None:
        layer = next(
            node for node in model.graph.node if node.op_type == "Conv" and "fpn.layer_blocks" in node.input[1]
        )
        (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == layer.input[1])
        layer.input[1] = weight.name = "backbone.fpn.other.weight"

    with pytest.raises(ArgumentError, match=r"not exported from this PyTorch model: it has backbone.fpn.other"):
        _compare(source, [plant(rename)], images[:1])


def test_command(
    shapes_onnx: Path,
    images: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A missed budget, a file given twice, images named from here and from the root, and two engines of one name on a
    machine without a GPU."""
    monkeypatch.setattr(compare_run, "local_gpu", lambda: None)
    engines = [str(tmp_path / "model.engine"), str(tmp_path / "other" / "model.engine")]
    files = [str(shapes_onnx), str(shapes_onnx), *engines]
    monkeypatch.chdir(images[1].parent)
    command = [*files, "--source", DEMO, "--images", str(images[0]), images[1].name, "--threads", "1"]
    assert main([*command, "--output", str(tmp_path), "--budget", "fp32:box_px=0"]) == 1
    output = capsys.readouterr().out
    assert "detections: boxes differ by" in output
    for engine in engines:
        assert f"Not compared: {engine}. There is no NVIDIA GPU here to run it on." in output
    result = read_result(tmp_path / "compare.json")
    assert isinstance(result, Comparison)
    assert _only(result).first_difference == "detections"
    assert _only(result).budget.box_px == 0
    assert [Path(result.image_folder) / image.file for image in result.images] == images


def test_images_are_evenly_spread(demo_scenes: Path) -> None:
    def chosen(limit: int) -> list[str]:
        return [path.name for path in choose_images([str(demo_scenes.parent)], limit)]

    assert chosen(3) == ["00000.png", "00002.png", "00004.png"]
    assert chosen(99) == [f"0000{number}.png" for number in range(6)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL", "--images", "IMAGES"], "name the PyTorch model that the files were exported from with --source"),
        (["MODEL", "--images", "IMAGES", "--weights", "COCO_V1"], "but none is named: give --source"),
        (["MODEL", *SOURCE], "There is nothing to compare on: give --images"),
        (["missing.onnx", *SOURCE, "--images", "IMAGES"], "there is no such file"),
        (["MODEL", *SOURCE, "--images", "IMAGES", "--budget", "mask_iou=2"], "makes no sense"),
        (["MODEL", *SOURCE, "--images", "nowhere.png"], "nowhere.png"),
        (["MODEL", *SOURCE, "--images", "EMPTY"], "there is no image in this folder"),
        (["MODEL", *SOURCE, "--images", "IMAGES", "--checkpoint", "none.pth"], "There is no checkpoint none.pth"),
        (["model.engine", *SOURCE, "--images", "IMAGES"], "Nothing can be compared here: There is no NVIDIA GPU here"),
    ],
)
def test_what_does_not_work(
    arguments: list[str],
    message: str,
    shapes_onnx: Path,
    images: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(compare_run, "local_gpu", lambda: None)
    (tmp_path / "empty").mkdir()
    places = {"MODEL": str(shapes_onnx), "EMPTY": str(tmp_path / "empty"), "IMAGES": str(images[0])}
    command = [places.get(argument, argument) for argument in arguments]
    assert main([*command, "--output", str(tmp_path / "out"), "--limit", "1"]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("**/compare.json"))


def test_a_package_that_is_not_installed(
    shapes_onnx: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(sys.modules):
        if name.startswith("maskrt.evaluation.compare.") and not name.endswith(".cli"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "polygraphy", None)
    assert main([str(shapes_onnx), *SOURCE, "--images", str(images[0])]) == 2
    assert "this needs polygraphy: `pip install maskrt[evaluate,cpu]`" in capsys.readouterr().err
