import io

import cv2
import numpy as np
import onnx
import pytest

from maskrt.calibration.calibrate import calibrate
from maskrt.calibration.images import choose_images
from maskrt.calibration.layers import find_layers, groups_of
from maskrt.calibration.model_file import load_exported
from maskrt.runtime import ArgumentError, ModelError


@pytest.fixture(scope="module")
def exported(shapes_onnx):
    return load_exported(shapes_onnx)


def run(exported, folder, tensors, method="max"):
    model, metadata = exported
    layers = find_layers(model.graph)
    sample = choose_images([folder], 64, 0)
    stream = io.StringIO()
    tensors = [*(layer.input for layer in layers), *tensors]
    return calibrate(model, metadata, layers, tensors, sample, method, 99.99, stream), stream.getvalue()


def test_ranges_and_macs_of_the_whole_pipeline(exported, scene_folder):
    found, shown = run(exported, scene_folder, [])
    layers = find_layers(exported[0].graph)
    assert set(found.thresholds) == {layer.input for layer in layers}
    # The first layer sees normalised pixels: (255 / 255 - mean) / std is 2.64 at the most.
    assert 1.5 < found.thresholds[layers[0].input] < 2.65
    assert all(value > 0 for value in found.thresholds.values())
    assert set(found.macs) == set(groups_of(layers))
    # fc6 and fc7 for 256 proposals an image.
    assert found.macs["roi_heads.box_head"] == 256 * 256 * (128 * 49 + 256)
    assert (found.images, found.empty_images) == (10, 0)
    assert "[10/10]" in shown


@pytest.mark.slow
def test_the_same_images_give_the_same_ranges(exported, scene_folder):
    assert run(exported, scene_folder, [], "percentile") == run(exported, scene_folder, [], "percentile")


def test_images_without_anything_in_them(exported, tmp_path):
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((256, 256, 3), 90, np.uint8))
    with pytest.raises(ArgumentError, match=r"finds nothing in any of the 8 images .* Give images that show .*disk"):
        run(exported, tmp_path, [])


def test_rows_without_a_roi_do_not_count(exported, scene_folder, tmp_path):
    """Where nothing else is found, the ranges of the mask head are those of the scenes with shapes."""
    for file in scene_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((256, 256, 3), 90, np.uint8))
    head = next(layer.input for layer in find_layers(exported[0].graph) if layer.group == "roi_heads.mask_head.0")
    (without, _), (with_empty, _) = run(exported, scene_folder, []), run(exported, tmp_path, [])
    assert with_empty.empty_images == 1
    assert with_empty.thresholds[head] == without.thresholds[head]


def test_an_image_that_cannot_be_read_is_named_and_counted(exported, scene_folder, tmp_path):
    for number, file in enumerate(sorted(scene_folder.iterdir())):
        (tmp_path / file.name).write_bytes(file.read_bytes() if number < 8 else b"broken")
    found, shown = run(exported, tmp_path, [])
    assert found.images == 8
    assert shown.count("left out: ") == 2
    assert "[10/10]" in shown


def test_too_many_unreadable_images(exported, scene_folder, tmp_path):
    for number, file in enumerate(sorted(scene_folder.iterdir())):
        (tmp_path / file.name).write_bytes(file.read_bytes() if number < 7 else b"broken")
    with pytest.raises(ArgumentError, match=r"Only 7 of the 10 images .* can be read: too few"):
        run(exported, tmp_path, [])


def test_weights_that_are_not_numbers(exported, scene_folder):
    model = onnx.ModelProto()
    model.CopyFrom(exported[0])
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "backbone.body.conv1.weight")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    with pytest.raises(ModelError, match="not finite numbers"):
        run((model, exported[1]), scene_folder, [])


def test_left_out_images_are_counted(exported, scene_folder, tmp_path):
    for file in scene_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "x.png").write_bytes(b"no picture")
    found, shown = run(exported, tmp_path, [])
    assert found.images == 10
    assert "left out: " in shown
    assert "1 of the 11 images were left out, since they cannot be read" in shown


def test_nothing_can_be_read(exported, tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(ArgumentError, match=r"None of the 9 images of .* can be read. The first of them: .*\.png"):
        run(exported, tmp_path, [])
