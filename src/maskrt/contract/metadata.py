"""What a maskrt model file says about itself: the `maskrt.*` entries of its metadata. Format 2."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from maskrt.contract.pipeline import FILTERS, PASTE_RULES, SIZE_RULES, Boxes, Paste, Pipeline, Resize
from maskrt.contract.tensors import FLOAT32, FileTensor, detection_tensors
from maskrt.errors import ModelError

FORMAT = 2
"""The layout of inputs, outputs and metadata that this maskrt writes and reads."""

PREFIX = "maskrt."
"""Of the metadata entries that are ours."""

Meaning = Literal["mask_probabilities", "keypoints"]
"""What an output beside the detections is: `[B, K, *shape]` float32, see `contract.tensors`."""

# No sensible size or number is larger; a damaged file must not make the runtime allocate without bound.
_MAX_COUNT = 16384


@dataclass(frozen=True)
class Output:
    """An output that a file has beside the detections: its name, what it is, and the shape of one row."""

    name: str
    meaning: Meaning
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """How to feed a model and how to read its answer.

    Attributes:
        version: of the maskrt that wrote the file.
        model_family: for example "torchvision.MaskRCNN".
        class_names: name of each label; label 0 is the background.
        pipeline: how a picture becomes a canvas, and how results come back.
        outputs: beside the detections, in the order of the graph.
        image_mean, image_std: of the normalisation inside of the graph, for people.
        score_threshold, nms_threshold: the defaults of the source model.
        detections_per_image: the most instances that an image can have.
        weights_sha256: of the source model's weights.
        precision: a name of `contract.precision.PRECISIONS`.
        verified: whether the file was compared with its source model when it was exported.
        keypoint_names: of each keypoint; none for a model without keypoints.
    """

    version: str
    model_family: str
    class_names: tuple[str, ...]
    pipeline: Pipeline
    outputs: tuple[Output, ...]
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    score_threshold: float
    nms_threshold: float
    detections_per_image: int
    weights_sha256: str
    precision: str
    verified: bool = True
    keypoint_names: tuple[str, ...] = ()

    def to_properties(self) -> dict[str, str]:
        """Return the entries of `metadata_props`: JSON text by name."""
        content = {"format": FORMAT, **asdict(self)}
        if not self.keypoint_names:
            del content["keypoint_names"]
        return {f"{PREFIX}{key}": json.dumps(value) for key, value in content.items()}


def output_tensors(metadata: ModelMetadata) -> tuple[FileTensor, ...]:
    """Return all outputs of a model file, in the order of the graph."""
    most = metadata.detections_per_image
    declared = (FileTensor(output.name, FLOAT32, (most, *output.shape)) for output in metadata.outputs)
    return (*detection_tensors(most), *declared)


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


def read_properties(properties: Mapping[str, str], source: str) -> dict[str, Any]:
    """Return the `maskrt.*` entries as a JSON object, without that prefix; not yet checked.

    Raises:
        ModelError: there are none, or a value is not JSON.
    """
    if f"{PREFIX}format" not in properties:
        raise ModelError(f"{source} is not a maskrt model: it has no maskrt metadata. Write one with `maskrt export`.")
    values = {}
    for key, text in properties.items():
        if key.startswith(PREFIX):
            try:
                values[key.removeprefix(PREFIX)] = load_json(text)
            except ValueError:
                raise ModelError(f"{source} is damaged: its metadata entry {key} is not JSON.") from None
    return values


def parse_metadata(properties: Mapping[str, str], source: str) -> ModelMetadata:
    """Check and convert the metadata of a model file.

    Args:
        properties: the file's metadata; the values are JSON text.
        source: the file, for the messages.

    Raises:
        ModelError: not written by maskrt, of another format, or damaged.
    """
    values = read_properties(properties, source)
    _check_format(values, source)
    top = _Entries(values, source, "")
    class_names = top.take("class_names", list)
    if len(class_names) < 2 or not all(isinstance(name, str) for name in class_names):
        raise ModelError(f"{source} is damaged: maskrt.class_names should be the background and class names.")
    outputs = _outputs(top)
    return ModelMetadata(
        version=top.take("version", str),
        model_family=top.take("model_family", str),
        class_names=tuple(class_names),
        pipeline=_pipeline(top.nested("pipeline")),
        outputs=outputs,
        image_mean=top.take_numbers("image_mean"),
        image_std=top.take_numbers("image_std"),
        score_threshold=top.take_fraction("score_threshold"),
        nms_threshold=top.take_fraction("nms_threshold"),
        detections_per_image=top.take_count("detections_per_image"),
        weights_sha256=top.take("weights_sha256", str),
        precision=top.take("precision", str),
        # Files from before there was a way past the comparison do not say so.
        verified=top.take("verified", bool) if "verified" in values else True,
        keypoint_names=_keypoint_names(top, outputs),
    )


def _check_format(values: Mapping[str, Any], source: str) -> None:
    file_format, version = values["format"], values.get("version", "(unknown)")
    if type(file_format) is not int or file_format < 1:
        raise ModelError(f"{source} is damaged: its format is {file_format!r}, expected {FORMAT}.")
    if file_format > FORMAT:
        raise ModelError(
            f"{source} is of format {file_format}, written by maskrt {version}; this maskrt reads format {FORMAT}. "
            "Upgrade it: `pip install --upgrade maskrt`."
        )
    if file_format < FORMAT:
        raise ModelError(
            f"{source} is of format {file_format}, written by maskrt {version}; this maskrt reads format {FORMAT}. "
            "Export the model again: `maskrt export SOURCE -o model.onnx` (then quantize and build engines from it)."
        )


def _pipeline(entries: "_Entries") -> Pipeline:
    resize, boxes, paste = entries.nested("resize"), entries.nested("boxes"), entries.nested("paste")
    return Pipeline(
        resize=Resize(
            rule=resize.take_name("rule", SIZE_RULES),
            filter=resize.take_name("filter", FILTERS),
            min_size=resize.take_count("min_size", least=0 if resize.values.get("rule") == "shortest_edge" else 1),
            max_size=resize.take_count("max_size"),
        ),
        size_divisor=entries.take_count("size_divisor"),
        boxes=Boxes(clip=boxes.take("clip", bool), drop_empty=boxes.take("drop_empty", bool)),
        paste=Paste(rule=paste.take_name("rule", PASTE_RULES), threshold=paste.take_fraction("threshold")),
    )


def _outputs(top: "_Entries") -> tuple[Output, ...]:
    outputs = []
    for number, value in enumerate(top.take("outputs", list)):
        if not isinstance(value, dict):
            raise ModelError(f"{top.source} is damaged: its metadata entry maskrt.outputs should hold objects.")
        entry = _Entries(value, top.source, f"outputs.{number}.")
        shape = entry.take("shape", list)
        if not all(type(size) is int and 1 <= size <= _MAX_COUNT for size in shape):
            raise ModelError(f"{top.source} is damaged: its metadata entry maskrt.outputs has the shape {shape}.")
        outputs.append(Output(entry.take("name", str), entry.take_name("meaning", get_args(Meaning)), tuple(shape)))
    return tuple(outputs)


def _keypoint_names(top: "_Entries", outputs: tuple[Output, ...]) -> tuple[str, ...]:
    """Of the output that says keypoints, whose shape is [N, 3]; files without keypoints need not have the entry."""
    names = top.take("keypoint_names", list) if "keypoint_names" in top.values else []
    shapes = [output.shape for output in outputs if output.meaning == "keypoints"]
    if not all(isinstance(name, str) for name in names) or shapes != ([(len(names), 3)] if names else []):
        raise ModelError(
            f"{top.source} is damaged: its metadata name {len(names)} keypoints, but its outputs have the shapes "
            f"{[list(shape) for shape in shapes]} for them."
        )
    return tuple(names)


class RangeError(ModelError):
    """A number in the metadata is outside of its range.

    Attributes:
        key: of the entry, without the prefix.
        value: that it has.
        least, most: that it may have.
    """

    def __init__(self, source: str, key: str, value: float, least: int, most: int) -> None:
        super().__init__(f"{source} is damaged: its metadata entry {PREFIX}{key} is {value}, not {least} to {most}.")
        self.key, self.value, self.least, self.most = key, value, least, most


class _Entries:
    """The values of a JSON object in the metadata, each checked as it is taken."""

    def __init__(self, values: Mapping[str, Any], source: str, path: str) -> None:
        self.values, self.source, self._path = values, source, path

    def take(self, key: str, *types: type) -> Any:
        value = self.values.get(key)
        if type(value) not in types:
            expected = " or ".join(kind.__name__ for kind in types)
            raise ModelError(
                f"{self.source} is damaged: its metadata entry {PREFIX}{self._path}{key} should be {expected}, "
                f"but is {value!r}. Export it again with `maskrt export`."
            )
        return value

    def nested(self, key: str) -> "_Entries":
        return _Entries(self.take(key, dict), self.source, f"{self._path}{key}.")

    def take_count(self, key: str, least: int = 1) -> int:
        value = self.take(key, int)
        if not least <= value <= _MAX_COUNT:
            raise RangeError(self.source, f"{self._path}{key}", value, least, _MAX_COUNT)
        return value

    def take_fraction(self, key: str) -> float:
        value = self.take(key, float, int)
        if not 0 <= value <= 1:
            raise RangeError(self.source, f"{self._path}{key}", value, 0, 1)
        return float(value)

    def take_numbers(self, key: str) -> tuple[float, ...]:
        values = self.take(key, list)
        if not all(type(value) in (int, float) for value in values):
            raise ModelError(f"{self.source} is damaged: its metadata entry {PREFIX}{self._path}{key} is {values}.")
        return tuple(map(float, values))

    def take_name(self, key: str, known: tuple[str, ...]) -> Any:
        value = self.take(key, str)
        if value not in known:
            raise ModelError(
                f"{self.source} needs the {self._path.replace('.', ' ')}{key} {value!r}, but this maskrt knows "
                f"{', '.join(known)}. Upgrade it: `pip install --upgrade maskrt`."
            )
        return value
