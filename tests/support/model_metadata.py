"""Metadata of model files that exist only in tests."""

import json
from typing import Any

from maskrt.contract.metadata import FORMAT, PREFIX, ModelMetadata, parse_metadata

_POLICY = ("min_size", "max_size")


def metadata_values(**changes: Any) -> dict[str, Any]:
    """The `maskrt.*` entries of a Mask R-CNN as a JSON object.

    Args:
        changes: other values of entries; `min_size`, `max_size` and `size_divisor` are those of the pipeline. None
            leaves an entry out.
    """
    policy = {"rule": "floor", "filter": "bilinear", "min_size": 64, "max_size": 128}
    policy.update({key: changes.pop(key) for key in _POLICY if key in changes})
    values = {
        "format": FORMAT,
        "version": "0.2.0",
        "model_family": "torchvision.MaskRCNN",
        "class_names": ["__background__", "disk", "star", "größe"],
        "pipeline": {
            "resize": policy,
            "size_divisor": changes.pop("size_divisor", 32),
            "boxes": {"clip": False, "drop_empty": False},
            "paste": {"rule": "integer_box", "threshold": 0.5},
        },
        "outputs": [{"name": "masks", "meaning": "mask_probabilities", "shape": [28, 28]}],
        "image_mean": [0.0, 0.0, 0.0],
        "image_std": [1.0, 1.0, 1.0],
        "score_threshold": 0.5,
        "nms_threshold": 0.5,
        "detections_per_image": 100,
        "weights_sha256": "0" * 64,
        "precision": "fp32",
        **changes,
    }
    return {key: value for key, value in values.items() if value is not None}


def properties(**changes: Any) -> dict[str, str]:
    """The same as entries of `metadata_props`."""
    return {f"{PREFIX}{key}": json.dumps(value) for key, value in metadata_values(**changes).items()}


def make_metadata(**changes: Any) -> ModelMetadata:
    """The same, parsed."""
    return parse_metadata(properties(**changes), "model.onnx")
