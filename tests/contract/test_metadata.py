import json
from typing import Any

import pytest

from maskrt.contract.metadata import parse_metadata
from maskrt.runtime import ModelError

VALUES: dict[str, Any] = {
    "format": 1,
    "version": "0.1.0",
    "model_family": "torchvision.MaskRCNN",
    "class_names": ["__background__", "disk"],
    "min_size": 800,
    "max_size": 1333,
    "size_divisor": 32,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.2, 0.2, 0.2],
    "score_threshold": 0.05,
    "nms_threshold": 0.5,
    "detections_per_image": 100,
    "weights_sha256": "ab",
    "precision": "fp32",
}


def properties(**changes: Any) -> dict[str, str]:
    return {f"maskrt.{key}": json.dumps(value) for key, value in {**VALUES, **changes}.items()}


def test_values_arrive() -> None:
    metadata = parse_metadata({**properties(), "author": "not JSON"}, "m.onnx")
    assert metadata.class_names == ("__background__", "disk")
    assert (metadata.min_size, metadata.max_size, metadata.size_divisor) == (800, 1333, 32)
    assert (metadata.score_threshold, metadata.nms_threshold) == (0.05, 0.5)
    assert metadata.precision == "fp32"


def test_whole_numbers_are_thresholds_too() -> None:
    assert parse_metadata(properties(score_threshold=0), "m.onnx").score_threshold == 0.0


def test_a_model_that_is_not_ours() -> None:
    with pytest.raises(ModelError, match=r"m.onnx is not a maskrt model.*maskrt-export"):
        parse_metadata({"author": "somebody"}, "m.onnx")


def test_a_model_from_a_newer_maskrt() -> None:
    with pytest.raises(ModelError, match=r"format 2, written by maskrt 3.1; .*up to format 1.*pip install"):
        parse_metadata({"maskrt.format": "2", "maskrt.version": '"3.1"', "maskrt.new": "{}"}, "m.onnx")


@pytest.mark.parametrize("key", [key for key in VALUES if key not in ("format", "image_mean", "image_std")])
def test_missing_entry(key: str) -> None:
    incomplete = properties()
    del incomplete[f"maskrt.{key}"]
    with pytest.raises(ModelError, match=f"damaged.*{key}"):
        parse_metadata(incomplete, "m.onnx")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "1"),
        ("format", 0),
        ("format", True),
        ("min_size", 0),
        ("min_size", 10**9),
        ("max_size", 1333.5),
        ("size_divisor", -32),
        ("class_names", []),
        ("class_names", [1, 2]),
        ("class_names", "disk"),
        ("score_threshold", "0.5"),
        ("score_threshold", float("nan")),
        ("nms_threshold", 1.5),
        ("nms_threshold", 10**400),
        ("precision", 16),
    ],
)
def test_wrong_value(key: str, value: Any) -> None:
    with pytest.raises(ModelError, match=f"damaged.*{key}"):
        parse_metadata(properties(**{key: value}), "m.onnx")


@pytest.mark.parametrize("text", ["0.1.0", "[" * 100_000, '["\\ud800"]', "9" * 5000])
def test_entry_that_is_not_json(text: str) -> None:
    """The third is half a surrogate pair: Python reads it, but nothing can print it or write it to a file."""
    with pytest.raises(ModelError, match=r"damaged.*maskrt.version is not JSON"):
        parse_metadata({**properties(), "maskrt.version": text}, "m.onnx")
