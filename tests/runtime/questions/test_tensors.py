"""Questions and answers as tensors; no Triton needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskrt.contract.serving import outputs_of
from maskrt.errors import ArgumentError
from maskrt.runtime import Segmenter
from maskrt.runtime.questions.tensors import lay_out, masks_of, read_questions


@pytest.fixture
def segmenter(write_model: Callable[..., Path]) -> Segmenter:
    return Segmenter(write_model(keypoints=True))


def test_tensors_of_a_request(segmenter: Segmenter) -> None:
    metadata = segmenter.metadata
    images = np.array([[b"a"], [b"b"]], np.object_)
    thresholds = {"score_threshold": np.array([[0.1], [1.0]])}
    defaults = metadata.nms_threshold
    assert read_questions({"image": images, **thresholds}, metadata) == [(b"a", 0.1, defaults), (b"b", 1.0, defaults)]
    for tensors, sentence in (
        ({**thresholds}, "got none"),
        ({"image": images[:0]}, "The request has no picture"),
        ({"image": images, "pixels": np.zeros((2, 8, 8, 3), np.uint8)}, "got image, pixels"),
        ({"pixels": np.zeros((2, 8, 8, 4), np.uint8)}, r"pixels should have the shape \[-1, -1, -1, 3\]"),
        ({"image": images[:1], **thresholds}, "score_threshold has 2 values for 1 pictures"),
        ({"image": images, "nms_threshold": np.array([[0.1], [-0.1]])}, "nms_threshold should be a number from 0 to 1"),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            read_questions(tensors, metadata)


def test_tensors_of_a_response(segmenter: Segmenter) -> None:
    blank = np.zeros((48, 64, 3), np.uint8)
    found = [segmenter.predict(blank, score_threshold=threshold) for threshold in (0.5, 0.95, 0.1)]
    values = lay_out(found, [masks_of(instances) for instances in found], outputs_of(segmenter.metadata))
    assert values["num_detections"].tolist() == [[2], [0], [3]]
    assert values["image_sizes"].tolist() == [[48, 64]] * 3
    assert {name: value.shape for name, value in values.items() if name not in ("num_detections", "image_sizes")} == {
        "boxes": (3, 3, 4),
        "scores": (3, 3),
        "labels": (3, 3),
        "masks": (3, 3),
        "keypoints": (3, 3, 3, 3),
    }
    assert (values["keypoints"][2] == found[2].keypoints).all() and not values["keypoints"][1].any()
    assert values["masks"][0].tolist() == [*(rle["counts"].encode() for rle in found[0].rle()), b""]
