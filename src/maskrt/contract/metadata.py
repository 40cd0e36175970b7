"""What a maskrt model file says about itself: the `maskrt.*` entries of its metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskrt.errors import ModelError

# The layout of inputs, outputs and metadata that this runtime understands.
FORMAT = 1
# No sensible size or number is larger; a damaged file must not make the runtime allocate without bound.
_MAX_COUNT = 16384


@dataclass(frozen=True)
class ModelMetadata:
    """How to feed a model and how to read its answer.

    Attributes:
        version: of the maskrt that wrote the file.
        model_family: "torchvision.MaskRCNN" or "torchvision.FasterRCNN".
        class_names: name of each label; label 0 is the background.
        min_size, max_size: the resize policy: the shorter side becomes `min_size` pixels, unless the longer
            one would then exceed `max_size`.
        size_divisor: canvas height and width are multiples of it.
        score_threshold, nms_threshold: the defaults of the source model.
        detections_per_image: the most instances that an image can have.
        weights_sha256: of the source model's weights.
        precision: "fp32", "fp16", "int8" or "fp8".
    """

    version: str
    model_family: str
    class_names: tuple[str, ...]
    min_size: int
    max_size: int
    size_divisor: int
    score_threshold: float
    nms_threshold: float
    detections_per_image: int
    weights_sha256: str
    precision: str


def load_json(text: str | bytes) -> Any:
    """Parse JSON that may be damaged.

    Raises:
        ValueError: not JSON, nested without end, or with text that is half a surrogate pair, which JSON can spell
            but nothing can print or write.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def parse_metadata(properties: Mapping[str, str], source: str) -> ModelMetadata:
    """Check and convert the metadata of a model file.

    Args:
        properties: the file's metadata; the values are JSON text.
        source: the file, for the messages.

    Raises:
        ModelError: not written by maskrt, by a newer one, or damaged.
    """
    if "maskrt.format" not in properties:
        raise ModelError(f"{source} is not a maskrt model: it has no maskrt metadata. Write one with `maskrt-export`.")
    values = {}
    for key, text in properties.items():
        if key.startswith("maskrt."):
            try:
                values[key.removeprefix("maskrt.")] = load_json(text)
            except ValueError:
                raise ModelError(f"{source} is damaged: its metadata entry {key} is not JSON.") from None
    file_format = values["format"]
    if type(file_format) is int and file_format > FORMAT:
        raise ModelError(
            f"{source} is of format {file_format}, written by maskrt {values.get('version', '(unknown)')}; "
            f"this maskrt reads up to format {FORMAT}. Upgrade it: `pip install --upgrade maskrt`."
        )
    if type(file_format) is not int or file_format != FORMAT:
        raise ModelError(f"{source} is damaged: its format is {file_format!r}, expected {FORMAT}.")

    def take(key: str, *types: type) -> Any:
        value = values.get(key)
        if type(value) not in types:
            expected = " or ".join(kind.__name__ for kind in types)
            raise ModelError(
                f"{source} is damaged: its metadata entry maskrt.{key} should be {expected}, "
                f"but is {value!r}. Export it again with `maskrt-export`."
            )
        return value

    def take_count(key: str) -> int:
        value = take(key, int)
        if not 1 <= value <= _MAX_COUNT:
            raise ModelError(f"{source} is damaged: its metadata entry maskrt.{key} is {value}, not 1 to {_MAX_COUNT}.")
        return value

    def take_fraction(key: str) -> float:
        value = take(key, float, int)
        if not 0 <= value <= 1:
            raise ModelError(f"{source} is damaged: its metadata entry maskrt.{key} is {value}, not 0 to 1.")
        return float(value)

    class_names = take("class_names", list)
    if len(class_names) < 2 or not all(isinstance(name, str) for name in class_names):
        raise ModelError(f"{source} is damaged: maskrt.class_names should be the background and class names.")
    return ModelMetadata(
        version=take("version", str),
        model_family=take("model_family", str),
        class_names=tuple(class_names),
        min_size=take_count("min_size"),
        max_size=take_count("max_size"),
        size_divisor=take_count("size_divisor"),
        score_threshold=take_fraction("score_threshold"),
        nms_threshold=take_fraction("nms_threshold"),
        detections_per_image=take_count("detections_per_image"),
        weights_sha256=take("weights_sha256", str),
        precision=take("precision", str),
    )
