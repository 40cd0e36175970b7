"""The exported file in the runtime against torchvision's own inference, pixels in to masks out."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from maskrt.contract.tensors import MASKS, make_feed
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.export import export_onnx
from maskrt.export.families.base import describe_model
from maskrt.runtime import Instances, Segmenter
from maskrt.shapes.scenes import generate_scene
from maskrt.shapes.score import score

BOX, SCORE, MASK_IOU = 0.05, 1e-4, 0.995


@torch.inference_mode()
def run_torch(model, images: list[np.ndarray]) -> list[dict[str, torch.Tensor]]:
    return model([torch.from_numpy(image).permute(2, 0, 1).float() / 255 for image in images])


def count_without_counterpart(instances: Instances, output: dict[str, torch.Tensor]) -> int:
    """How many detections of either side have no counterpart of their label within the bounds above."""
    boxes, scores, labels = (output[key].numpy() for key in ("boxes", "scores", "labels"))
    matching = match_detections(
        Detections(boxes, scores, labels), Detections(instances.boxes, instances.scores, instances.labels)
    )
    masks = instances.masks() if "masks" in output else None
    same = 0
    for i, j in matching.pairs:
        if np.abs(instances.boxes[j] - boxes[i]).max() > BOX or abs(instances.scores[j] - scores[i]) > SCORE:
            continue
        if masks is not None:
            theirs = (output["masks"][i, 0] > 0.5).numpy()
            union = np.count_nonzero(theirs | masks[j])
            if union and np.count_nonzero(theirs & masks[j]) / union < MASK_IOU:
                continue
        same += 1
    return max(len(boxes), len(instances)) - same


def assert_same(instances: Instances, output: dict[str, torch.Tensor]) -> None:
    """Every torchvision detection has its counterpart, and there are no extra ones."""
    assert count_without_counterpart(instances, output) == 0


@pytest.fixture(scope="module")
def shapes_segmenter(shapes_float32_onnx) -> Segmenter:
    return Segmenter(shapes_float32_onnx)


@pytest.mark.slow
def test_demo_model_on_50_held_out_scenes(shapes_model, shapes_segmenter):
    found = 0
    for number in range(50):
        image = generate_scene(number, "test").image
        (output,) = run_torch(shapes_model, [image])
        instances = shapes_segmenter.predict(image)
        assert_same(instances, output)
        found += len(instances)
    assert found > 200


@pytest.mark.slow
def test_uint8_input_costs_less_than_two_thousandths_of_ap(shapes_model, shapes_onnx):
    segmenter, count = Segmenter(shapes_onnx), 60
    reference = describe_model(shapes_model).reference()
    theirs = score(lambda image, image_id: reference.records(image, image_id=image_id), count)
    ours = score(lambda image, image_id: segmenter.predict(image).to_coco(image_id), count)
    for kind in ("bbox", "segm"):
        assert abs(ours[kind].AP - theirs[kind].AP) <= 0.002
        assert ours[kind].AP >= 0.5


@pytest.mark.parametrize(
    "sizes", [[(320, 320)], [(320, 1344), (1344, 320)], [(480, 640), (256, 256), (700, 500), (90, 333)]]
)
def test_batches_of_any_size_equal_torchvision(shapes_model, shapes_segmenter, sizes):
    scenes = [generate_scene(100 + number, "test").image for number in range(len(sizes))]
    images = [np.ascontiguousarray(np.resize(scene, (*size, 3))) for scene, size in zip(scenes, sizes, strict=True)]
    model = copy.deepcopy(shapes_model)
    for instances, output in zip(shapes_segmenter.predict(images), run_torch(model, images), strict=True):
        assert_same(instances, output)


def _run(segmenter: Segmenter, canvas: np.ndarray, sizes: np.ndarray):
    return segmenter._backend.run(make_feed(canvas, sizes, 0.05, 0.5))


_LARGE = [pytest.param(height, width, marks=pytest.mark.slow) for height, width in ((800, 1088), (1344, 1344))]


@pytest.mark.parametrize(("height", "width"), [(320, 320), (320, 1344), (1344, 320), *_LARGE])
def test_a_batch_gives_what_its_images_give_alone(shapes_segmenter, height, width):
    """On the same canvas; an image without a single detection alone, first, and in the middle of a batch."""
    rng = np.random.default_rng()
    canvases = np.zeros((4, height, width, 3), np.float32)
    sizes = np.array([(height, width), (height, width // 2), (1, 1), (height // 2, width)], np.int32)
    for number in (0, 1, 3):
        h, w = sizes[number]
        found = 0
        while not found:  # a part of a scene may show nothing
            scene = generate_scene(int(rng.integers(10_000, 20_000)), "test").image
            canvases[number, :h, :w] = np.tile(scene, (-(-h // scene.shape[0]), -(-w // scene.shape[1]), 1))[:h, :w]
            one = slice(number, number + 1)
            found = int(_run(shapes_segmenter, canvases[one], sizes[one]).num_detections[0])
    alone = [_run(shapes_segmenter, canvases[i : i + 1], sizes[i : i + 1]) for i in range(4)]
    assert [int(each.num_detections[0]) > 0 for each in alone] == [True, True, False, True]
    for order in ([0, 2], [2, 1, 0, 3]):
        together = _run(shapes_segmenter, canvases[order], sizes[order])
        for row, i in enumerate(order):
            num = int(alone[i].num_detections[0])
            assert together.num_detections[row] == num
            np.testing.assert_allclose(together.boxes[row], alone[i].boxes[0], atol=BOX)
            np.testing.assert_allclose(together.scores[row], alone[i].scores[0], atol=SCORE)
            np.testing.assert_array_equal(together.labels[row], alone[i].labels[0])
            np.testing.assert_allclose(together.others[MASKS][row], alone[i].others[MASKS][0], atol=1e-3)
            assert not together.boxes[row, num:].any()
            assert not together.others[MASKS][row, num:].any()


@pytest.mark.parametrize(("score_threshold", "nms_threshold"), [(0.0, 0.5), (0.3, 0.1), (0.7, 0.9), (0.05, 0.7)])
def test_thresholds_of_a_call_equal_a_model_built_with_them(
    shapes_model, shapes_segmenter, score_threshold, nms_threshold
):
    model = copy.deepcopy(shapes_model)
    model.roi_heads.score_thresh, model.roi_heads.nms_thresh = score_threshold, nms_threshold
    for number in range(60, 66):
        image = generate_scene(number, "test").image
        (output,) = run_torch(model, [image])
        instances = shapes_segmenter.predict(image, score_threshold=score_threshold, nms_threshold=nms_threshold)
        if score_threshold == 0.0:
            # 40 detections of hundreds that nearly tie: the last of them are whichever comes first.
            assert len(instances) == len(output["scores"]) == 40
            np.testing.assert_allclose(np.sort(instances.scores), np.sort(output["scores"].numpy()), atol=SCORE)
        else:
            assert_same(instances, output)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"])
def test_resnet50_on_photographs(name, drawn_model, drawn_float32_onnx, photographs):
    model = drawn_model(name)
    segmenter = Segmenter(drawn_float32_onnx(name))
    images = list(photographs.values())
    labels: set[int] = set()
    lost = []
    for batch in ([images[0]], [images[1]], [images[2], images[3]]):
        for instances, output in zip(segmenter.predict(batch), run_torch(model, batch), strict=True):
            lost.append(count_without_counterpart(instances, output))
            assert len(instances) == 100
            assert np.ptp(instances.scores) > 0.05
            labels |= set(instances.labels.tolist())
    assert len(labels) > 40
    assert lost == [0] * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"],
)
def test_faster_rcnn_gives_boxes_and_no_masks(name, drawn_model, photographs, tmp_path):
    model = drawn_model(name, min_size=320, max_size=640)
    segmenter = Segmenter(export_onnx(model, tmp_path / "model.onnx", input_type="float32", verify=False))
    batch = [photographs["chelsea"], photographs["coffee"]]
    for instances, output in zip(segmenter.predict(batch), run_torch(model, batch), strict=True):
        assert instances.mask_probabilities is None
        assert len(instances) > 50
        assert_same(instances, output)
