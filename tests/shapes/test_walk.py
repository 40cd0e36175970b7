import numpy as np
import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from maskrt.shapes import walk
from maskrt.shapes.keypoints import keypoint_model
from maskrt.shapes.outlines import CLASS_NAMES
from maskrt.shapes.scenes import generate_scene
from maskrt.shapes.steps import run_steps


@pytest.fixture(scope="module")
def seen():
    return run_steps(keypoint_model(), generate_scene(walk.SCENE, "test").image)


def test_what_is_drawn_is_what_the_model_computes(seen):
    assert [feature.shape[0] for feature in seen.features] == [128] * 5
    assert len(seen.boxes) == len(seen.masks) <= 40 < len(seen.proposals)
    assert seen.masks.shape[1:] == (len(CLASS_NAMES), 28, 28)
    assert seen.scores.max() > 0.9
    np.testing.assert_allclose(seen.heatmaps.sum(axis=(2, 3)), 1, rtol=1e-4)
    best = seen.heatmaps.reshape(*seen.heatmaps.shape[:2], -1).argmax(axis=2)
    cells = np.stack((best % 56, best // 56), axis=2) + 0.5
    sizes = seen.boxes[:, 2:] - seen.boxes[:, :2]
    expected = seen.boxes[:, None, :2] + cells / 56 * sizes[:, None]
    near = (np.abs(seen.keypoints - expected) <= sizes[:, None] / 56 + 1).all(axis=2)
    assert near.mean() > 0.8  # where a heatmap has two peaks, the other one may be the highest of the surface between


def test_the_level_of_a_box_is_torchvisions(seen):
    pooling = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    boxes = torch.from_numpy(seen.boxes)
    features = {str(i): torch.from_numpy(seen.features[i])[None] for i in range(4)}
    height, width, _ = seen.canvas.shape
    pooling(features, [boxes], [(height, width)])
    assert pooling.map_levels([boxes]).tolist() == [seen.level_of(box) for box in seen.boxes]
    assert np.unique([seen.level_of(box) for box in seen.boxes]).size > 1


def test_figures_are_drawn_and_small(tmp_path):
    pytest.importorskip("matplotlib")
    paths = walk.draw(tmp_path)
    assert [path.stem for path in paths] == ["pyramid", "proposals", "roi-align", "class-masks", "pasting", "keypoints"]
    assert all(10_000 < path.stat().st_size < 120_000 for path in paths)


def test_the_mask_head_is_timed(capsys):
    assert walk.main(["--timing"]) == 0
    assert "40 detections" in capsys.readouterr().out
