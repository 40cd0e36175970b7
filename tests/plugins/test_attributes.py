"""The checks of MultilevelRoIAlign's attributes."""

from __future__ import annotations

from typing import Any

import pytest

from maskrt.plugins.attributes import RoiAlignAttributes

GOOD: dict[str, Any] = {
    "output_height": 7,
    "output_width": 5,
    "sampling_ratio": 2,
    "scales": (0.25, 0.125),
    "level_thresholds": (112.0,),
    "coordinate_transformation_mode": "half_pixel",
    "mode": "max",
}


def test_struct_has_the_values() -> None:
    struct = RoiAlignAttributes(**GOOD).to_struct()
    assert (struct.output_height, struct.output_width, struct.sampling_ratio, struct.level_count) == (
        7,
        5,
        2,
        2,
    )
    assert (struct.half_pixel, struct.max_mode) == (1, 1)
    assert list(struct.scales) == [0.25, 0.125, 0, 0, 0, 0, 0, 0]
    assert list(struct.level_thresholds) == [112, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_height": 0}, "at least 1 x 1, but is 0 x 5"),
        ({"sampling_ratio": -1}, "sampling_ratio must be 0 .* but is -1"),
        ({"scales": (1.0,) * 9}, "1 to 8 scales, but there are 9"),
        ({"scales": (0.25, float("nan"))}, "scales must be positive"),
        ({"level_thresholds": ()}, "2 scales need 1 level_thresholds, but there are 0"),
        ({"scales": (1, 0.5, 0.25), "level_thresholds": (2.0, 1.0)}, "must not descend"),
        ({"level_thresholds": (float("nan"),), "mode": "median"}, "mode must be one of"),
        ({"coordinate_transformation_mode": "asymmetric"}, "one of .*'output_half_pixel', 'half_pixel'"),
        ({"sampling_ratio": 0}, "mode 'max' needs a sampling_ratio of at least 1"),
    ],
)
def test_unfit_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RoiAlignAttributes(**{**GOOD, **change})


def test_levels_that_no_roi_reaches_may_share_infinity() -> None:
    RoiAlignAttributes(7, 7, 2, (1, 0.5, 0.25), (float("inf"), float("inf")))
