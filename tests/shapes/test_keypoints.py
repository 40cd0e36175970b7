import json
import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import load_file

from maskrt.shapes import keypoints
from maskrt.shapes.dataset import write_dataset
from maskrt.shapes.extreme_points import KEYPOINT_NAMES, SIGMAS, extreme_points
from maskrt.shapes.heads import Trunk
from maskrt.shapes.scenes import generate_scene
from maskrt.shapes.train import sample


def test_the_model_is_the_demo_model_with_a_head_more(shapes_model):
    model = keypoints.keypoint_model()
    state, demo = model.state_dict(), shapes_model.state_dict()
    assert {key.split(".")[1] for key in state.keys() - demo.keys()} == {"keypoint_head", "keypoint_predictor"}
    assert all(torch.equal(state[key], demo[key]) for key in demo)
    assert keypoints.WEIGHTS.stat().st_size < 1e6
    assert not model.training


def test_samples_and_annotations_have_the_extreme_points(tmp_path):
    scene = generate_scene(3, "train")
    _, target = sample(scene)
    np.testing.assert_array_equal(target["keypoints"], extreme_points(scene.masks))
    annotations = json.loads(write_dataset(tmp_path, 1, keypoints=True).read_text())
    found = [record["keypoints"] for record in annotations["annotations"]]
    np.testing.assert_allclose(np.reshape(found, (-1, 4, 3)), extreme_points(generate_scene(0, "test").masks))
    assert annotations["categories"][0]["keypoints"] == list(KEYPOINT_NAMES)
    assert annotations["categories"][0]["sigmas"] == list(SIGMAS)


def test_training_changes_the_head_alone(tmp_path):
    """In a process of its own, whose worker is forked before there are threads."""
    output = tmp_path / "weights.safetensors"
    options = ["--steps", "2", "--batch-size", "1", "--output", str(output)]
    command = [sys.executable, "-m", "maskrt.shapes.keypoints", *options]
    assert "step 2/2" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = load_file(output)
    assert {key.partition(".")[0] for key in after} == {"keypoint_head", "keypoint_predictor"}
    torch.manual_seed(0)
    before = keypoints.add_keypoints(Trunk().model).roi_heads.state_dict()
    assert all(torch.isfinite(value.float()).all() for value in after.values())
    assert all(not torch.equal(before[key].half(), value) for key, value in after.items())
