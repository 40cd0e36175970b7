from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from polygraphy.comparator import Comparator, CompareFunc

from maskrt.evaluation.polygraphy_runners import PICTURE, FileRunner, SourceRunner
from maskrt.export.families.base import describe_model
from maskrt.shapes.scenes import generate_scene

from ..support.installed import installed_frameworks
from ..support.references import picture, reference_model

NAME, SCENE = "mm_trained_shapes_r18_fpn", "scene00002"


def test_polygraphy_compares_a_file_with_its_source_model(shapes_model: Any, shapes_float32_onnx: Path) -> None:
    runners = [SourceRunner(describe_model(shapes_model)), FileRunner(shapes_float32_onnx, threads=1)]
    pictures = [{PICTURE: generate_scene(number, "test").image} for number in (2, 3)]
    results = Comparator.run(runners, data_loader=pictures)
    (_, theirs), (_, ours) = results
    assert [list(iteration) for iteration in theirs] == [["boxes", "scores", "labels", "masks"]] * 2
    assert all(len(iteration["boxes"]) for iteration in theirs)
    assert theirs[0]["masks"].shape[1:] == pictures[0][PICTURE].shape[:2]
    assert Comparator.compare_accuracy(results, compare_func=CompareFunc.simple(atol={"": 0.05, "masks": 1}))
    for name in ("boxes", "scores"):
        np.testing.assert_allclose(theirs[0][name], ours[0][name], atol=0.05)


def test_the_framework_itself_is_a_runner(reference_source: Callable[[str], Any]) -> None:
    model = reference_model(NAME)
    with installed_frameworks() as install:
        install(model, (SCENE,))
        with SourceRunner(reference_source(NAME)) as runner:
            found = runner.infer({PICTURE: picture(SCENE)})
            assert runner.remark == "What the source model finds is computed by mmdet 3.3.0."
            assert runner.last_inference_time() > 0
    np.testing.assert_array_equal(found["boxes"], model.golden(SCENE)["boxes"])
    with SourceRunner(reference_source(NAME)) as runner:
        runner.infer({PICTURE: picture(SCENE)})
        assert runner.remark.endswith("mmdet is not installed.")


def test_other_inputs_are_refused_by_polygraphy(reference_source: Callable[[str], Any]) -> None:
    with SourceRunner(reference_source(NAME)) as runner, pytest.raises(Exception, match="picture"):
        runner.infer({"image": np.zeros((8, 8, 3), np.uint8)})
