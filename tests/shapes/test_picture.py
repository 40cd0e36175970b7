from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.export.families.base import describe_model
from maskrt.runtime import Segmenter
from maskrt.shapes import picture
from maskrt.shapes.scenes import generate_scene


def test_both_sides_are_drawn_alike(shapes_model, shapes_float32_onnx: Path, tmp_path: Path) -> None:
    image, reference = generate_scene(5, "test").image, describe_model(shapes_model).reference()
    drawn = picture.draw_beside_pytorch(reference, Segmenter(shapes_float32_onnx), [image, image])
    above, below = np.split(drawn, 2)
    caption = picture._CAPTION
    assert (above[:caption] != below[:caption]).any()
    differs = (above[caption:] != below[caption:]).any(axis=-1)
    assert differs.mean() < 0.002  # a pixel of an outline, where rounding decides
    assert (above[caption:, : above.shape[1] // 3] != 255).any()
    picture.write_picture(tmp_path / "a.jpg", drawn)
    assert cv2.imread(str(tmp_path / "a.jpg")).shape == drawn.shape


def test_picture_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert picture.main([str(tmp_path / "none.onnx"), "-o", str(tmp_path / "a.jpg")]) == 2
    assert "none.onnx" in capsys.readouterr().err
