import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from maskrt.errors import ModelError
from maskrt.shapes.model import WEIGHTS, build_model, load_weights, save_weights
from maskrt.shapes.scenes import generate_scene
from maskrt.shapes.train import sample, sorted_by_aspect, varied


def test_a_training_sample_is_the_scene():
    scene = generate_scene(4, "train")
    image, target = sample(scene)
    np.testing.assert_array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), scene.image)
    np.testing.assert_array_equal(target["masks"].numpy().astype(bool), scene.masks)
    for box, mask in zip(target["boxes"].tolist(), scene.masks, strict=True):
        rows, columns = np.nonzero(mask)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_varied_scene_is_turned_mirrored_and_recoloured_together_with_its_masks():
    scene = generate_scene(4, "train")
    seen = set()
    for seed in range(64):
        other = varied(scene, np.random.default_rng(seed))
        turns = [
            (turn, mirrored)
            for turn in range(4)
            for mirrored in (False, True)
            for masks in [np.rot90(scene.masks, turn, axes=(1, 2))]
            if np.array_equal(masks[:, :, ::-1] if mirrored else masks, other.masks)
        ]
        assert len(turns) == 1
        ((turn, mirrored),) = turns
        image = np.rot90(scene.image, turn)
        image = image[:, ::-1] if mirrored else image
        channels = tuple(
            next(c for c in range(3) if np.array_equal(image[..., c], other.image[..., k])) for k in range(3)
        )
        assert sorted(channels) == [0, 1, 2]
        np.testing.assert_array_equal(other.labels, scene.labels)
        seen.add((turn, mirrored, channels))
    assert len(seen) > 20


def test_batches_are_of_similar_aspect_ratio_and_hold_every_sample_once():
    rng = np.random.default_rng(0)
    drawn = [
        [(torch.zeros(3, *rng.integers(10, 60, 2).tolist()), {"number": torch.tensor(2 * i + k)}) for k in range(2)]
        for i in range(10)
    ]
    found = list(sorted_by_aspect(drawn, 1))
    assert [len(batch) for batch in found] == [2] * 10
    assert sorted(int(target["number"]) for batch in found for _, target in batch) == list(range(20))
    for group in (found[:8], found[8:]):  # sorted within eight batches
        spans = sorted(sorted(image.shape[2] / image.shape[1] for image, _ in batch) for batch in group)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


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


def test_weights_that_cannot_be_loaded_are_refused(tmp_path):
    damaged, other = tmp_path / "damaged.safetensors", tmp_path / "other.safetensors"
    damaged.write_bytes(b"no weights")
    save_file({"weight": torch.zeros(3)}, other)
    for path in (damaged, other):
        with pytest.raises(ModelError, match=rf"{path.name} holds no weights of the demo model"):
            load_weights(build_model(), path)
    with pytest.raises(ModelError, match="missing: `make train-shapes`"):
        load_weights(build_model(), tmp_path / "none.safetensors")


def test_training_begins_with_given_weights(tmp_path):
    output = tmp_path / "weights.safetensors"
    options = [
        "--steps",
        "1",
        "--batch-size",
        "1",
        "--learning-rate",
        "1e-9",
        "--start",
        str(WEIGHTS),
        "-o",
        str(output),
    ]
    subprocess.run(
        [sys.executable, "-m", "maskrt.shapes.train", *options, "-o", str(output)], capture_output=True, check=True
    )
    shipped = load_file(WEIGHTS)
    for key, tensor in load_file(output).items():
        if "running" not in key and "num_batches" not in key:
            torch.testing.assert_close(tensor.float(), shipped[key].float(), rtol=1e-3, atol=1e-6)


def test_shipped_weights_fit_the_model_and_the_repository(shapes_model):
    assert WEIGHTS.stat().st_size <= 30e6
    assert not shapes_model.training
    assert all(p.dtype == torch.float32 for p in shapes_model.parameters())
