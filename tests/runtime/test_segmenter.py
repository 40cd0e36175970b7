"""Segmenter on a tiny model with known answers; the exporter's tests run it on real ones."""

import copy
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import PIL.Image
import pytest
import torch
from onnx import TensorProto, numpy_helper

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.pipeline import Paste
from maskrt.contract.tensors import INPUTS
from maskrt.runtime import ArgumentError, DependencyError, ImageError, Instances, ModelError, Segmenter, predict_tiled
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.structures.masks import GridMasks
from maskrt.runtime.transforms.canvas import Batch

from ..support.pipelines import pipeline_of

WriteModel = Callable[..., Path]
BOX_FRACTIONS = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0]])  # of the model


def image_of(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, dtype=np.uint8)


def test_one_image_gives_instances_in_its_own_pixels(write_model: WriteModel) -> None:
    instances = Segmenter(write_model()).predict(image_of(300, 400))
    assert instances.image_size == (300, 400)
    assert instances.names == ["disk", "star"]
    np.testing.assert_allclose(instances.boxes, BOX_FRACTIONS[:2] * (400, 300, 400, 300), rtol=1e-5)
    np.testing.assert_allclose(instances.scores, [0.9, 0.6])
    assert instances.mask_probabilities is not None
    assert instances.mask_probabilities.shape == (2, 28, 28)
    ellipse = instances.masks()[0]
    assert ellipse[105, 120]  # the middle of the box
    assert not ellipse[32, 42]  # its corner


@pytest.mark.parametrize("input_type", [TensorProto.UINT8, TensorProto.FLOAT])
def test_batch_of_mixed_sizes_and_kinds_equals_one_by_one(
    write_model: WriteModel, tmp_path: Path, input_type: int
) -> None:
    segmenter = Segmenter(write_model(input_type=input_type))
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image_of(50, 20))
    images: list[np.ndarray | str | Path] = [
        image_of(300, 400),
        path,
        str(path),
        image_of(1, 1),
        image_of(10, 20000),
    ]
    batch = segmenter.predict(images)
    assert [instances.image_size for instances in batch] == [
        (300, 400),
        (50, 20),
        (50, 20),
        (1, 1),
        (10, 20000),
    ]
    for image, instances in zip(images, batch, strict=True):
        alone = segmenter.predict(image)
        np.testing.assert_array_equal(alone.boxes, instances.boxes)
        assert alone.rle() == instances.rle()


def test_a_sequence_of_one_gives_a_list(write_model: WriteModel) -> None:
    segmenter = Segmenter(write_model())
    assert len(segmenter.predict([image_of(40, 40)])) == 1
    assert len(segmenter.predict((image_of(40, 40),))) == 1
    assert segmenter.predict([]) == []


def test_score_threshold_is_set_per_call(write_model: WriteModel) -> None:
    segmenter = Segmenter(write_model())
    image = image_of(64, 64)
    assert len(segmenter.predict(image)) == 2  # the model's own 0.5
    assert len(segmenter.predict(image, score_threshold=0.0)) == 3
    assert len(segmenter.predict(image, score_threshold=0.7)) == 1
    nothing = segmenter.predict(image, score_threshold=1.0)
    assert len(nothing) == 0
    assert nothing.masks().shape == (0, 64, 64)
    assert nothing.rle() == []


class RecordingBackend:
    """Stands in for a model, to see what it is given."""

    resizes = False
    runs_at_once = 1
    paste_counts = None

    def __init__(self, metadata: ModelMetadata) -> None:
        self.metadata = metadata
        self.input_dtype = np.dtype(np.uint8)
        self.providers = ("Recorder",)
        self.calls: list[tuple[np.ndarray, ...]] = []
        self.detections = Detections(
            num_detections=np.array([1], np.int32),
            boxes=np.zeros((1, 1, 4), np.float32),
            scores=np.ones((1, 1), np.float32),
            labels=np.ones((1, 1), np.int32),
            others={},
        )

    def run(self, feed: Mapping[str, np.ndarray]) -> Detections:
        self.calls.append(feed)
        return self.detections


@pytest.fixture
def recorder(write_model: WriteModel, monkeypatch: pytest.MonkeyPatch) -> tuple[Segmenter, RecordingBackend]:
    segmenter = Segmenter(write_model(score_threshold=0.3, nms_threshold=0.7))
    backend = RecordingBackend(segmenter.metadata)
    monkeypatch.setattr(segmenter, "_backend", backend)
    return segmenter, backend


def test_what_the_model_is_given(recorder: tuple[Segmenter, RecordingBackend]) -> None:
    segmenter, backend = recorder
    segmenter.predict(image_of(50, 100))
    segmenter.predict(image_of(50, 100), score_threshold=0.123, nms_threshold=0.4)
    for score, nms, feed in zip((0.3, 0.123), (0.7, 0.4), backend.calls, strict=True):
        images, image_sizes, score_threshold, nms_threshold = (feed[name] for name in INPUTS)
        assert images.shape == (1, 64, 128, 3)
        assert images.dtype == np.uint8
        assert (images == 100).all()
        np.testing.assert_array_equal(image_sizes, np.array([[64, 128]], dtype=np.int32))
        assert score_threshold.dtype == nms_threshold.dtype == np.float32
        assert score_threshold == np.float32(score)
        # The comparison `iou > threshold` of a float32 IoU with the float64 threshold, in float32.
        assert score_threshold.shape == nms_threshold.shape == (1, 1)
        assert float(nms_threshold[0, 0]) <= nms < float(np.nextafter(nms_threshold[0, 0], np.float32(1)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", 4, "it gave label 4, but its metadata names labels 1 to 3"),
        ("labels", 0, "it gave label 0, "),
        ("labels", -1, "it gave label -1, "),
        ("boxes", np.nan, "not finite"),
        ("scores", np.nan, "not finite"),
        ("scores", np.inf, "not finite"),
        ("num_detections", 2, "it counted 2 detections in rows for 1"),
        ("num_detections", -1, "it counted -1 detections"),
    ],
)
def test_detections_that_no_sound_model_gives(
    recorder: tuple[Segmenter, RecordingBackend], field: str, value: float, message: str
) -> None:
    segmenter, backend = recorder
    getattr(backend.detections, field).flat[0] = value
    with pytest.raises(ModelError, match=message):
        segmenter.predict(image_of(50, 100))


def test_masks_that_no_sound_model_gives(recorder: tuple[Segmenter, RecordingBackend]) -> None:
    segmenter, backend = recorder
    for shape in ((1, 1, 28, 14), (1, 1, 28)):
        masks = {"masks": np.zeros(shape, np.float32)}
        backend.detections = backend.detections._replace(others=masks)
        with pytest.raises(ModelError, match=r"masks are not square but of shape \[1, 1, 28"):
            segmenter.predict(image_of(50, 100))


@pytest.mark.parametrize("name", ["score_threshold", "nms_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_thresholds_outside_of_their_range(write_model: WriteModel, name: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=f"{name} should be between 0 and 1"):
        Segmenter(write_model()).predict(image_of(8, 8), **{name: value})


def test_inputs_that_are_no_images(write_model: WriteModel, tmp_path: Path) -> None:
    segmenter = Segmenter(write_model())
    with pytest.raises(ArgumentError, match="uint8 array"):
        segmenter.predict(image_of(8, 8).astype(np.float32))
    with pytest.raises(ArgumentError, match="got int"):
        segmenter.predict(3)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match="got NoneType"):
        segmenter.predict([image_of(8, 8), None])  # type: ignore[list-item]
    with pytest.raises(ImageError, match="no such file"):
        segmenter.predict(tmp_path / "nowhere.jpg")


def test_arrays_that_are_not_contiguous(write_model: WriteModel, rng: np.random.Generator) -> None:
    segmenter = Segmenter(write_model())
    image = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
    mirrored = image[:, ::-1]
    np.testing.assert_array_equal(
        segmenter.preprocess([mirrored]).canvas, segmenter.preprocess([mirrored.copy()]).canvas
    )


def test_attributes(write_model: WriteModel) -> None:
    segmenter = Segmenter(write_model(), threads=1)
    assert segmenter.class_names == ("__background__", "disk", "star", "größe")
    assert segmenter.metadata.pipeline.resize.max_size == 128
    assert segmenter.input_dtype == np.uint8
    assert segmenter.providers == ("CPUExecutionProvider",)
    assert repr(segmenter) == (
        "Segmenter(model.onnx: torchvision.MaskRCNN, 3 classes, fp32, uint8 input, CPUExecutionProvider)"
    )


def test_model_without_masks(write_model: WriteModel) -> None:
    instances = Segmenter(write_model(masks=False)).predict(image_of(30, 30))
    assert len(instances) == 2
    assert instances.mask_probabilities is None


def test_the_file_says_how_images_and_results_are_transformed(write_model: WriteModel) -> None:
    """As in detectron2: sides rounded to nearest, no padding, boxes cut, empty ones dropped, its own pasting."""
    pipeline = pipeline_of("detectron2", min_size=60, max_size=100, size_divisor=1)
    segmenter = Segmenter(write_model(pipeline=asdict(pipeline)))
    image = np.random.default_rng(0).integers(0, 256, (90, 121, 3), dtype=np.uint8)
    batch = segmenter.preprocess([image])
    assert batch.canvas.shape == (1, 60, 81, 3)
    np.testing.assert_array_equal(batch.canvas[0], PIL.Image.fromarray(image).resize((81, 60), PIL.Image.BILINEAR))
    detections = segmenter.infer(batch, score_threshold=0)
    detections.boxes[0] = [[-5, 10, 30, 50], [85, 10, 95, 20], [0, 0, 81, 60]]
    (found,) = segmenter.postprocess(detections, batch)
    scale = np.array([121, 90, 121, 90], np.float32) / np.array([81, 60, 81, 60], np.float32)
    np.testing.assert_allclose(found.boxes, [[0, *np.float32([10, 30, 50]) * scale[1:]], [0, 0, 121, 90]], rtol=1e-6)
    assert found.names == ["disk", "größe"]
    masks = GridMasks(detections.others["masks"][0, [0, 2]], found.boxes, (90, 121), Paste("pixel_centers", 0.5))
    assert found.rle() == masks.rle()


def test_a_model_whose_images_are_resized_with_a_package_that_is_missing(
    write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused when it is opened, not at the first image."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DependencyError, match=r"resized with Pillow.*pip install maskrt\[pillow\]"):
        Segmenter(write_model(pipeline=asdict(pipeline_of("detectron2"))))


def test_stages_give_what_predict_gives(write_model: WriteModel) -> None:
    segmenter = Segmenter(write_model())
    batch = segmenter.preprocess([image_of(30, 30), image_of(90, 20)])
    assert isinstance(batch, Batch)
    results = segmenter.postprocess(segmenter.infer(batch, score_threshold=0.1), batch)
    expected = segmenter.predict([image_of(30, 30), image_of(90, 20)], score_threshold=0.1)
    assert [one.to_coco(1) for one in results] == [one.to_coco(1) for one in expected]


def test_files_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="maskrt engine"):
        Segmenter(tmp_path / "model.engine")
    with pytest.raises(ModelError, match=r"ends in .onnx"):
        Segmenter(tmp_path / "model.pt")
    with pytest.raises(ModelError, match="no such file"):
        Segmenter(tmp_path / "model.onnx")


def test_arguments_of_the_constructor(write_model: WriteModel) -> None:
    with pytest.raises(ArgumentError, match="at least 1"):
        Segmenter(write_model(), threads=0)
    with pytest.raises(ArgumentError, match="has no MagicExecutionProvider; it has"):
        Segmenter(write_model(), providers=["MagicExecutionProvider"])
    assert Segmenter(write_model(), providers=["CPUExecutionProvider"]).providers == ("CPUExecutionProvider",)


def test_cut_off_models(write_model: WriteModel) -> None:
    path = write_model()
    content = path.read_bytes()
    for fraction in (0.0, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * fraction)])
        with pytest.raises(ModelError):
            Segmenter(path)


def test_models_that_are_not_ours(write_model: WriteModel) -> None:
    path = write_model()
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(ModelError, match="not a maskrt model"):
        Segmenter(path)
    with pytest.raises(ModelError, match="format 3"):
        Segmenter(write_model(format=3))


def test_model_with_other_inputs(write_model: WriteModel) -> None:
    path = write_model()
    model = onnx.load(path)
    model.graph.input[3].name = "iou_threshold"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="not those of a maskrt model"):
        Segmenter(path)


def test_model_that_onnx_runtime_cannot_load(write_model: WriteModel) -> None:
    path = write_model()
    model = onnx.load(path)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="cannot load"):
        Segmenter(path)


def test_model_that_fails_on_a_batch(write_model: WriteModel) -> None:
    path = write_model()
    model = onnx.load(path)
    (corners,) = (value for value in model.graph.initializer if value.name == "xyxy")
    corners.CopyFrom(numpy_helper.from_array(np.array([1, 0, 1, 5]), "xyxy"))  # there is no sixth size
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"failed on a batch of shape \[1, 64, 64, 3\]"):
        Segmenter(path).predict(image_of(8, 8))


def test_a_threshold_for_each_image(shapes_float32_onnx: Path, rng: np.random.Generator) -> None:
    """The trained demo model: a low score threshold finds more, a high IoU keeps more of what overlaps."""
    from maskrt.shapes.scenes import generate_scene

    segmenter = Segmenter(shapes_float32_onnx)
    # Of one size: in a batch of several sizes the padding of the smaller ones differs, as in torchvision.
    images = [np.ascontiguousarray(generate_scene(number, "test").image[:200, :200]) for number in range(4)]
    for _ in range(2):
        scores, overlaps = rng.uniform(0, 0.9, 4), rng.uniform(0.1, 0.9, 4)
        together = segmenter.predict(images, score_threshold=scores, nms_threshold=overlaps.tolist())
        for i in range(4):
            one_for_all = segmenter.predict(images, score_threshold=float(scores[i]), nms_threshold=float(overlaps[i]))
            np.testing.assert_array_equal(together[i].boxes, one_for_all[i].boxes)
            np.testing.assert_array_equal(together[i].scores, one_for_all[i].scores)
    # Image by image, sums are rounded in another order, which moves what lies next to a threshold.
    scores, overlaps = [0.1, 0.3, 0.5, 0.7], [0.7, 0.5, 0.3, 0.9]
    counterparts = number = 0
    for found, image, score, overlap in zip(
        segmenter.predict(images, score_threshold=scores, nms_threshold=overlaps), images, scores, overlaps, strict=True
    ):
        alone = segmenter.predict(image, score_threshold=score, nms_threshold=overlap)
        number += max(len(found), len(alone))
        for one in found:
            same = alone[alone.labels == one.labels]
            box = np.abs(same.boxes - one.boxes).max(axis=1, initial=0)
            counterparts += bool(((box < 0.05) & (np.abs(same.scores - one.scores) < 1e-4)).any())
    assert counterparts >= 0.9 * number > 9


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.5, 0.5], [[0.5, 0.5]], "high", [0.5, "low"], [0.5, 1.5]])
def test_thresholds_that_are_not_one_per_image(write_model: WriteModel, thresholds: Any) -> None:
    segmenter = Segmenter(write_model())
    if thresholds == [0.5]:  # one for all images
        segmenter.predict([image_of(8, 8), image_of(8, 8)], score_threshold=thresholds)
        return
    with pytest.raises(ArgumentError, match="score_threshold should be"):
        segmenter.predict([image_of(8, 8), image_of(8, 8)], score_threshold=thresholds)
    with pytest.raises(ArgumentError, match="score_threshold should be"):
        list(segmenter.stream([image_of(8, 8)], score_threshold=thresholds))


@pytest.mark.parametrize("shape", [(0, 64, 64), (1, 64), (1, 64, -3)])
def test_shapes_to_warm_up_for_that_are_none(write_model: WriteModel, shape: Any) -> None:
    with pytest.raises(ArgumentError, match=r"warm_up expects \(batch, height, width\) of images, .* but got \("):
        Segmenter(write_model(), warm_up=[shape])


@pytest.mark.parametrize("name", ["score_threshold", "nms_threshold"])
@pytest.mark.parametrize(
    "value",
    ["0.5", b"0.5", True, [True], ["0.5"], {}, {"a": 1}, object(), 1j, [[0.5]], float("nan"), -1, 2, [None]],
    ids=lambda value: "object" if type(value) is object else repr(value),
)
def test_thresholds_that_are_none(write_model: WriteModel, name: str, value: Any) -> None:
    segmenter = Segmenter(write_model())
    image = np.zeros((40, 50, 3), np.uint8)
    for call in (
        lambda: segmenter.predict(image, **{name: value}),
        lambda: list(segmenter.stream([image], **{name: value})),
        lambda: predict_tiled(segmenter, image, tile_size=(64, 64), **{name: value}),
    ):
        with pytest.raises(ArgumentError, match=rf"{name} should be"):
            call()


@pytest.mark.parametrize("value", ["2", 1.5, 0, -3, True, None, [2], np.float32(2)], ids=repr)
def test_counts_that_are_none(write_model: WriteModel, value: Any) -> None:
    segmenter = Segmenter(write_model())
    image = np.zeros((40, 50, 3), np.uint8)
    with pytest.raises(ArgumentError, match=r"batch_size should be"):
        segmenter.stream([image], batch_size=value)
    with pytest.raises(ArgumentError, match=r"batch_size should be"):
        predict_tiled(segmenter, image, tile_size=(64, 64), batch_size=value)
    if value is not None:
        with pytest.raises(ArgumentError, match=r"threads should be"):
            Segmenter(segmenter.path, threads=value)


def test_numbers_of_numpy_are_numbers(write_model: WriteModel) -> None:
    segmenter = Segmenter(write_model(), threads=np.int64(1))  # type: ignore[arg-type]
    image = np.zeros((40, 50, 3), np.uint8)
    (found,) = segmenter.stream([image], batch_size=np.int32(1), score_threshold=np.float32(0.5))  # type: ignore[arg-type]
    assert isinstance(found, Instances)


def test_pil_images_and_tensors(write_model: WriteModel, rng: np.random.Generator) -> None:
    """One, several, and in a stream: as the array of them."""
    segmenter = Segmenter(write_model())
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    expected = segmenter.predict(image).to_coco(0)
    for one in (PIL.Image.fromarray(image), torch.from_numpy(image)):
        found = segmenter.predict(one)  # type: ignore[call-overload]
        assert found.to_coco(0) == expected
        assert found.draw(one).shape == image.shape
        assert [each.to_coco(0) for each in segmenter.predict([one, image])] == [expected] * 2  # type: ignore[list-item]
        assert [each.to_coco(0) for each in segmenter.stream([one])] == [expected]  # type: ignore[list-item, union-attr]
        with pytest.raises(ArgumentError, match=r"stream expects several images"):
            segmenter.stream(one)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_stays_in_its_process(write_model: WriteModel, how: Callable[[Any], Any]) -> None:
    with pytest.raises(
        ArgumentError, match=r"cannot be pickled or copied.* open it in each process: Segmenter\('.*onnx'\)"
    ):
        how(Segmenter(write_model()))
