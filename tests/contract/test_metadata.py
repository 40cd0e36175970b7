from typing import Any

import pytest

from maskrt.contract.metadata import Output, parse_metadata
from maskrt.contract.pipeline import Boxes, Paste, Pipeline, Resize
from maskrt.errors import ModelError

from ..support.model_metadata import metadata_values, properties


def test_values_arrive() -> None:
    given = properties(class_names=["__background__", "disk"], score_threshold=0.05, min_size=800, max_size=1333)
    metadata = parse_metadata({**given, "author": "not JSON"}, "m.onnx")
    assert metadata.class_names == ("__background__", "disk")
    assert metadata.pipeline == Pipeline(
        Resize("floor", "bilinear", 800, 1333), 32, Boxes(clip=False, drop_empty=False), Paste("integer_box", 0.5)
    )
    assert metadata.outputs == (Output("masks", "mask_probabilities", (28, 28)),)
    assert (metadata.score_threshold, metadata.nms_threshold) == (0.05, 0.5)
    assert metadata.precision == "fp32"
    assert metadata.to_properties() == {**given, "maskrt.verified": "true"}


def test_whole_numbers_are_thresholds_too() -> None:
    assert parse_metadata(properties(score_threshold=0), "m.onnx").score_threshold == 0.0


def test_a_model_that_is_not_ours() -> None:
    with pytest.raises(ModelError, match=r"m.onnx is not a maskrt model.*maskrt export"):
        parse_metadata({"author": "somebody"}, "m.onnx")


def test_a_model_from_a_newer_maskrt() -> None:
    with pytest.raises(ModelError, match=r"format 3, written by maskrt 3.1; .*reads format 2.*pip install"):
        parse_metadata({"maskrt.format": "3", "maskrt.version": '"3.1"', "maskrt.new": "{}"}, "m.onnx")


def test_a_model_of_the_first_format() -> None:
    with pytest.raises(ModelError, match=r"of format 1, written by maskrt 0.1.0; .*reads format 2.*`maskrt export "):
        parse_metadata({"maskrt.format": "1", "maskrt.version": '"0.1.0"', "maskrt.min_size": "800"}, "m.onnx")


@pytest.mark.parametrize("key", [key for key in metadata_values() if key != "format"])
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
        ("pipeline", []),
        ("pipeline", {}),
        ("image_mean", [None]),
        ("outputs", ["masks"]),
        ("outputs", [{"name": "masks", "meaning": "mask_probabilities", "shape": [28, -1]}]),
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


@pytest.mark.parametrize(
    ("group", "key", "known"),
    [("resize", "rule", "floor"), ("resize", "filter", "bilinear"), ("paste", "rule", "integer_box")],
)
def test_arithmetic_that_this_maskrt_does_not_know(group: str, key: str, known: str) -> None:
    """A file may come from a newer maskrt that knows more frameworks."""
    pipeline = metadata_values()["pipeline"]
    pipeline[group][key] = "somebody's"
    with pytest.raises(ModelError, match=rf"needs the pipeline {group} {key} \"somebody's\".*{known}.*Upgrade"):
        parse_metadata(properties(pipeline=pipeline), "m.onnx")


def test_an_output_that_this_maskrt_does_not_know() -> None:
    outputs = [{"name": "depth", "meaning": "depth", "shape": [28, 28]}]
    with pytest.raises(ModelError, match=r"'depth'.*mask_probabilities.*Upgrade"):
        parse_metadata(properties(outputs=outputs), "m.onnx")


def test_pictures_that_are_not_resized() -> None:
    """`min_size` 0 has that meaning in detectron2 alone."""
    pipeline = metadata_values(min_size=0)["pipeline"]
    with pytest.raises(ModelError, match=r"pipeline.resize.min_size is 0, not 1 to"):
        parse_metadata(properties(pipeline=pipeline), "m.onnx")
    pipeline["resize"]["rule"] = "shortest_edge"
    assert parse_metadata(properties(pipeline=pipeline), "m.onnx").pipeline.resize.min_size == 0
