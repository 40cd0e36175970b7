"""Profiles: defaults, what is filled in, and what the model cannot take."""

from typing import Any

import pytest

from maskrt.contract.metadata import ModelMetadata
from maskrt.engines.builders.tensorrt.profile import format_canvas, make_profile, parse_canvas
from maskrt.engines.request import Canvas
from maskrt.engines.targets import GpuTarget, find_target
from maskrt.runtime import ArgumentError
from maskrt.runtime.backends.tensorrt.manifest import Profile

from ....support.model_metadata import make_metadata


def metadata(min_size: int, max_size: int) -> ModelMetadata:
    return make_metadata(min_size=min_size, max_size=max_size)


COCO = metadata(800, 1333)


def gpu(name: str) -> GpuTarget:
    target = find_target(name, None)
    assert isinstance(target, GpuTarget)
    return target


RTX4090 = gpu("rtx4090")


def test_default_takes_all_that_the_resize_policy_makes() -> None:
    assert make_profile(COCO, RTX4090) == Profile((1, 32, 32), (1, 800, 1344), (8, 1344, 1344))
    assert make_profile(metadata(256, 448), gpu("jetson-orin")).max == (2, 448, 448)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"maximum": (2, 640, 640)}, Profile((1, 32, 32), (1, 640, 640), (2, 640, 640))),
        ({"minimum": (2, 1024, 1024)}, Profile((2, 1024, 1024), (2, 1024, 1344), (8, 1344, 1344))),
        ({"optimum": (16, 1600, 320)}, Profile((1, 32, 32), (16, 1600, 320), (16, 1600, 1344))),
        (
            {"minimum": (1, 320, 320), "optimum": (1, 800, 1344), "maximum": (8, 1344, 1344)},
            Profile((1, 320, 320), (1, 800, 1344), (8, 1344, 1344)),
        ),
    ],
)
def test_what_is_not_given_is_filled_in(given: dict[str, Canvas], expected: Profile) -> None:
    assert make_profile(COCO, RTX4090, **given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"minimum": (1, 300, 320)}, "height of the profile's min 1x300x320 must be a multiple of 32: 288 or 320"),
        ({"maximum": (1, 320, 1)}, "width of the profile's max 1x320x1 must be a multiple of 32: 32"),
        ({"maximum": (1, 0, 320)}, "height of the profile's max 1x0x320 must be a multiple of 32: 32"),
        ({"optimum": (0, 320, 320)}, "batch of the profile's opt 0x320x320 is 0, but must be at least 1"),
        ({"maximum": (2000, 320, 320)}, "batch of the profile's max 2000x320x320 is beyond .* 1024"),
        ({"maximum": (1, 320, 16416)}, "width of the profile's max 1x320x16416 is beyond .* 16384"),
        ({"minimum": (1, 640, 640), "optimum": (1, 320, 640)}, "height must not fall .* 640, 320, 1344"),
        ({"optimum": (4, 320, 320), "maximum": (2, 320, 320)}, "batch must not fall .* 1, 4, 2"),
    ],
)
def test_what_the_model_cannot_take(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make_profile(COCO, RTX4090, **given)


def test_canvas_as_text() -> None:
    assert parse_canvas(" 8X1344x800 ") == (8, 1344, 800)
    assert format_canvas((8, 1344, 800)) == "8x1344x800"


@pytest.mark.parametrize("text", ["", "320", "1x320", "1x320x320x3", "ax320x320", "-1x320x320", "1,320,320"])
def test_not_a_canvas(text: str) -> None:
    with pytest.raises(ArgumentError, match="BATCHxHEIGHTxWIDTH, for example 8x1344x1344, but got"):
        parse_canvas(text)
