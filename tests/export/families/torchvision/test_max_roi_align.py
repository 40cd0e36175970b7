"""RoIAlign with maxima: in training, in the spec, and as a model file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torchvision.ops import MultiScaleRoIAlign

from maskrt.errors import ArgumentError
from maskrt.export import export_onnx
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.torchvision.max_roi_align import MaxRoIAlign
from maskrt.export.families.torchvision.spec import model_spec
from maskrt.plugins import build, host, libraries
from maskrt.plugins.attributes import RoiAlignAttributes
from maskrt.runtime import Segmenter

from ....support.keypoint_model import keypoint_model


@pytest.fixture(scope="module")
def model(photographs: dict[str, np.ndarray]) -> Any:
    """A model with maxima for boxes and means for keypoints."""
    made = keypoint_model([photographs["coffee"]])
    made.roi_heads.box_roi_pool = MaxRoIAlign(["0", "1", "2", "3"], 7, 2)
    return made.eval()


def _inputs(dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], list[torch.Tensor], list[tuple[int, int]]]:
    generator = torch.Generator().manual_seed(0)
    features = {
        name: torch.randn(1, 2, 32 >> level, 40 >> level, generator=generator, dtype=dtype)
        for level, name in enumerate("01")
    }
    corner = torch.rand(5, 2, generator=generator, dtype=dtype) * 60
    boxes = torch.cat((corner, corner + 4 + torch.rand(5, 2, generator=generator, dtype=dtype) * 60), dim=1)
    return features, [boxes], [(128, 160)]


def test_gradients_are_those_of_the_function() -> None:
    features, boxes, shapes = _inputs(torch.float64)
    pool = MaxRoIAlign(["0", "1"], 3, 2)
    first, second = (feature.requires_grad_() for feature in features.values())
    torch.autograd.gradcheck(lambda a, b: pool({"0": a, "1": b}, boxes, shapes), (first, second))


def test_one_sample_is_the_mean_of_one() -> None:
    inputs = _inputs(torch.float32)
    expected = MultiScaleRoIAlign(["0", "1"], (3, 5), 1)(*inputs)
    torch.testing.assert_close(MaxRoIAlign(["0", "1"], (3, 5), 1)(*inputs), expected)
    assert (MaxRoIAlign(["0", "1"], (3, 5), 3)(*inputs) >= MultiScaleRoIAlign(["0", "1"], (3, 5), 3)(*inputs)).all()


def test_the_plugin_of_mode_max_pools_what_the_module_pools(
    tmp_path: Path, once: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = once("host-of-max", lambda folder: build.build(folder, host_only=True))
    monkeypatch.setenv(libraries.DIRECTORY_VARIABLE, str(folder))
    features, boxes, shapes = _inputs(torch.float32)
    pool = MaxRoIAlign(["0", "1"], 7, 2, canonical_scale=40)
    expected = pool(features, boxes, shapes)
    attributes = RoiAlignAttributes(7, 7, 2, (0.25, 0.125), _thresholds(pool), "output_half_pixel", "max")
    arrays = boxes[0][None].numpy(), [feature.numpy() for feature in features.values()]
    np.testing.assert_allclose(host.multilevel_roi_align(*arrays, attributes), expected, atol=1e-5)


def _thresholds(pool: MaxRoIAlign) -> tuple[float, ...]:
    from maskrt.export.rcnn.levels import level_thresholds

    from ....support.level_rules import levels_of, rule_of

    mapper = pool.samples.map_levels
    assert mapper is not None
    return tuple(level_thresholds(rule_of(mapper), levels_of(mapper)))


def test_the_spec_says_maxima(model: Any) -> None:
    spec = model_spec(model)
    assert spec.keypoint_head is not None
    assert (spec.box_heads[0].pooling.mode, spec.keypoint_head.pooling.mode) == ("max", "avg")
    assert spec.box_heads[0].pooling.output_size == (7, 7)
    assert spec.box_heads[0].pooling.sampling_ratio == 2


def test_a_file_with_maxima_and_means_is_equal_to_the_model(
    model: Any, tmp_path: Path, photographs: dict[str, np.ndarray]
) -> None:
    file = export_onnx(model, tmp_path / "model.onnx")  # which compares it
    nodes = [node for node in onnx.load(file).graph.node if node.op_type == "MultilevelRoIAlign"]
    modes = [attribute.s for node in nodes for attribute in node.attribute if attribute.name == "mode"]
    assert sorted(modes) == [b"avg", b"max"]
    assert len(Segmenter(file).predict(photographs["chelsea"]))


def test_what_cannot_be_is_refused(model: Any) -> None:
    with pytest.raises(ArgumentError, match="sampling_ratio should be at least 1 to take maxima, but is 0"):
        MaxRoIAlign(["0"], 7, 0)

    class Own(MaxRoIAlign):
        pass

    changed = copy.deepcopy(model)
    changed.roi_heads.box_roi_pool = Own(["0", "1", "2", "3"], 7, 2)
    with pytest.raises(UnsupportedModelError, match=r"roi_heads\.box_roi_pool is a Own"):
        model_spec(changed)
    changed.roi_heads.box_roi_pool = MaxRoIAlign(["0", "1", "2", "3"], 7, 2)
    changed.roi_heads.box_roi_pool.samples = nn.Identity()
    with pytest.raises(UnsupportedModelError, match=r"box_roi_pool\.samples is a Identity"):
        model_spec(changed)
