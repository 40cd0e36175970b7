import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import load_file

from maskrt.shapes.model import WEIGHTS, build_model, save_weights
from maskrt.shapes.scenes import generate_scene
from maskrt.shapes.train import Scenes


def test_a_training_sample_is_the_scene():
    image, target = Scenes(10)[4]
    scene = generate_scene(4, "train")
    np.testing.assert_array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), scene.image)
    np.testing.assert_array_equal(target["masks"].numpy().astype(bool), scene.masks)
    for box, mask in zip(target["boxes"].tolist(), scene.masks, strict=True):
        rows, columns = np.nonzero(mask)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_two_steps_of_training_change_the_weights(tmp_path):
    output = tmp_path / "weights.safetensors"
    command = [
        sys.executable,
        "-m",
        "maskrt.shapes.train",
        "--steps",
        "2",
        "--batch-size",
        "1",
        "--output",
        str(output),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "step 2/2" in result.stdout
    trained = load_file(output)
    torch.manual_seed(0)
    untrained = build_model().state_dict()
    assert trained.keys() == untrained.keys()
    changed = [key for key in trained if not torch.equal(trained[key], untrained[key].to(trained[key].dtype))]
    assert len(changed) > 50
    assert all(torch.isfinite(tensor.float()).all() for tensor in trained.values())


def test_saved_weights_come_back(tmp_path):
    torch.manual_seed(0)
    model = build_model()
    save_weights(model, tmp_path / "weights.safetensors")
    for key, tensor in load_file(tmp_path / "weights.safetensors").items():
        torch.testing.assert_close(tensor.float(), model.state_dict()[key].float(), rtol=1e-3, atol=1e-6)


def test_shipped_weights_fit_the_model_and_the_repository(shapes_model):
    assert WEIGHTS.stat().st_size <= 30e6
    assert not shapes_model.training
    assert all(p.dtype == torch.float32 for p in shapes_model.parameters())
