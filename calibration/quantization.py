"""`quantize`: an exported FP32 file becomes one of lower precision, with what it costs measured."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import onnx

from maskrt.calibration.accuracy import Accuracy, measure_accuracy
from maskrt.calibration.cache import read_cache, write_cache
from maskrt.calibration.calibrate import Calibration, calibrate
from maskrt.calibration.choice import LayerChoice, read_kept_groups
from maskrt.calibration.fp16 import convert_to_fp16
from maskrt.calibration.images import SENSIBLE_COUNT, choose_images
from maskrt.calibration.model_file import check_same_interface, load_exported, set_metadata, write_file
from maskrt.calibration.recipe import Recipe
from maskrt.calibration.search import search
from maskrt.calibration.thresholds import Method
from maskrt.contract.manifest import sha256_of
from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.seal import sealed
from maskrt.errors import ArgumentError
from maskrt.evaluation.metrics.dataset import CocoDataset, category_ids, read_ground_truth
from maskrt.files import check_writable

Precision = Literal["fp16", "int8", "fp8"]

DEFAULT_METHOD: Method = "percentile"
DEFAULT_PERCENTILE = 99.99
"""What measured best on the demo model: `python -m maskrt.tools.calibration_methods`, and the README."""


@dataclass(frozen=True)
class CalibrationOptions:
    """How ranges are measured.

    Attributes:
        images: a folder, a COCO JSON file, or a video.
        count: how many images are looked at.
        seed: of their choice.
        method: "max", "percentile" or "entropy".
        percentile: for "percentile": how many per cent of the absolute values a range covers.
        cache: where the ranges are kept; None: beside the output.
    """

    images: Path
    count: int = SENSIBLE_COUNT
    seed: int = 0
    method: Method = DEFAULT_METHOD
    percentile: float = DEFAULT_PERCENTILE
    cache: Path | None = None


@dataclass(frozen=True)
class QuantizationResult:
    """A file of lower precision and what it costs.

    Attributes:
        path: the file.
        choice: which layers are quantized; None for FP16.
        before, after: AP of the FP32 file and of this one; None where no data set was given.
        budget_met: False where a budget was given and no choice of layers meets it.
    """

    path: Path
    choice: LayerChoice | None
    before: Accuracy | None
    after: Accuracy | None
    budget_met: bool = True


def choice_path(output: Path) -> Path:
    """Where the choice of layers of a quantized file is written."""
    return output.with_name(f"{output.stem}.layers.json")


def quantize(
    model: Path,
    output: Path,
    precision: Precision,
    calibration: CalibrationOptions | None = None,
    *,
    layers: Path | None = None,
    evaluation: Path | None = None,
    max_ap_drop: float | None = None,
    stream: TextIO | None = None,
) -> QuantizationResult:
    """Writes `output`, a strongly typed ONNX file of `precision`, from an exported FP32 file.

    Box decoding, RoI coordinates, scores and NMS stay FP32 at every precision; inputs and outputs of the file do not
    change. INT8 and FP8 quantize the layers of backbone, FPN and heads; the rest of the network is FP16.

    Args:
        model: the FP32 file.
        output: the file to write. For INT8 and FP8 the choice of layers is written beside it, see `choice_path`.
        precision: "fp16", "int8" or "fp8".
        calibration: for INT8 and FP8.
        layers: a choice of layers from an earlier run, to be taken over.
        evaluation: a COCO JSON file to measure AP with, before and after.
        max_ap_drop: the loss of box or mask AP allowed, 0–1; layers are kept in FP16 until it is met.
        stream: for progress and remarks; by default, `sys.stderr`.

    Raises:
        ArgumentError: the arguments do not fit each other, the images do not do, or there is no AP to lose.
        ModelError: the file is not a sound FP32 file that maskrt exported.
        MaskrtError: a file cannot be written. No file is left half-written.
    """
    stream = sys.stderr if stream is None else stream
    check_writable(output)
    _check_arguments(precision, layers, evaluation, max_ap_drop)
    original, metadata = load_exported(model)
    _check_is_not(model, output)
    dataset = None if evaluation is None else read_ground_truth(evaluation)
    if dataset is not None:
        category_ids(dataset, metadata.class_names)
    if precision == "fp16":
        return _convert(original, model, output, dataset, stream)
    if calibration is None:
        raise ArgumentError(f"{precision} needs images to calibrate with: --images FOLDER, COCO JSON file or video.")

    recipe = Recipe(original, precision)
    kept = frozenset[str]() if layers is None else read_kept_groups(layers, recipe.groups)
    found = _calibrate(recipe, metadata, model, output, calibration, stream)
    gains: Mapping[str, float] = {}
    before = after = None
    met = True
    if dataset is not None:
        before = _measure_original(model, dataset, stream)
        if max_ap_drop is not None and before.box == 0:
            raise ArgumentError(
                f"{model} has a box AP of 0 on {evaluation}, so there is none to lose. Is it the right data set, and "
                "the model trained?"
            )
        measurement = _Measurement(recipe, found, dataset, before, stream)
        if max_ap_drop is not None:
            result = search(found.macs, measurement.drop, max_ap_drop)
            kept, gains, met = result.kept, result.gains, result.drop <= max_ap_drop
        after = measurement.accuracy(kept)
    choice = LayerChoice(found.macs, kept, gains)
    context: dict[str, Any] = {"precision": precision, "weights_sha256": metadata.weights_sha256}
    if before is not None and after is not None:
        context |= {"fp32_ap": dataclasses.asdict(before), "ap": dataclasses.asdict(after)}
    data = recipe.build(found.thresholds, kept).SerializeToString(deterministic=True)
    write_file(output, sealed(data))
    write_file(choice_path(output), choice.to_json(**context).encode())
    return QuantizationResult(output, choice, before, after, met)


def _check_arguments(
    precision: Precision, layers: Path | None, evaluation: Path | None, max_ap_drop: float | None
) -> None:
    if layers is not None and precision == "fp16":
        raise ArgumentError("A choice of layers (--layers) is for int8 and fp8: in fp16 there is none.")
    if max_ap_drop is not None and (layers is not None or precision == "fp16"):
        raise ArgumentError(
            "A budget (--max-ap-drop) chooses layers, so it goes neither with --layers nor with precision fp16."
        )
    if max_ap_drop is not None and evaluation is None:
        raise ArgumentError("A budget (--max-ap-drop) needs a data set to measure AP with: --eval annotations.json.")


def _convert(
    original: onnx.ModelProto, model: Path, output: Path, dataset: CocoDataset | None, stream: TextIO
) -> QuantizationResult:
    """FP16: nothing to calibrate, nothing to choose."""
    half = convert_to_fp16(original)
    set_metadata(half, precision="fp16")
    check_same_interface(original, half)
    before = after = None
    if dataset is not None:
        before = _measure_original(model, dataset, stream)
        after = _measure_candidate(half, dataset, stream)
    write_file(output, sealed(half.SerializeToString(deterministic=True)))
    return QuantizationResult(output, None, before, after)


def _check_is_not(model: Path, written: Path) -> None:
    if written.exists() and written.samefile(model):
        raise ArgumentError(f"{written} is the model itself; give the new file another name.")


def _calibrate(
    recipe: Recipe,
    metadata: ModelMetadata,
    model: Path,
    output: Path,
    options: CalibrationOptions,
    stream: TextIO,
) -> Calibration:
    """The ranges, from the cache if they were measured before."""
    method = options.method
    sample = choose_images(options.images, options.count, options.seed)
    if len(sample) < SENSIBLE_COUNT // 2:
        stream.write(f"warning: calibrating with only {len(sample)} images; {SENSIBLE_COUNT} are sensible\n")
    key = {
        "model": sha256_of(model),
        "images": sample.fingerprint(),
        "method": method,
        "percentile": options.percentile if method == "percentile" else None,
    }
    path = options.cache or output.with_name(f"{model.stem}.{method}.calibration.json")
    check_writable(path)
    _check_is_not(model, path)
    known = read_cache(path, key)
    # Another version of maskrt may quantize other tensors.
    if known is not None and known.macs.keys() == set(recipe.groups) and known.thresholds.keys() >= set(recipe.tensors):
        stream.write(f"Reusing the calibration {path}\n")
        return known
    stream.write(f"Calibrating with {len(sample)} images of {options.images} ({method})\n")
    found = calibrate(recipe.model, metadata, recipe.layers, recipe.tensors, sample, method, options.percentile, stream)
    if found.empty_images:
        stream.write(f"note: the model finds nothing in {found.empty_images} of {found.images} images\n")
    write_cache(path, key, found)
    return found


def _measure_original(model: Path, dataset: CocoDataset, stream: TextIO) -> Accuracy:
    stream.write(f"Measuring AP of {model} on {len(dataset.files)} images\n")
    return measure_accuracy(model, dataset, stream)


def _measure_candidate(model: onnx.ModelProto, dataset: CocoDataset, stream: TextIO) -> Accuracy:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidate.onnx"
        path.write_bytes(model.SerializeToString())
        return measure_accuracy(path, dataset, stream)


class _Measurement:
    """AP of the quantized model for any choice of layers."""

    def __init__(
        self, recipe: Recipe, calibration: Calibration, dataset: CocoDataset, before: Accuracy, stream: TextIO
    ) -> None:
        self._recipe = recipe
        self._calibration = calibration
        self._dataset = dataset
        self._before = before
        self._stream = stream
        self._known: dict[frozenset[str], Accuracy] = {}

    def accuracy(self, kept: frozenset[str]) -> Accuracy:
        """With the groups `kept` in FP16."""
        if kept not in self._known:
            model = self._recipe.build(self._calibration.thresholds, kept)
            self._known[kept] = _measure_candidate(model, self._dataset, self._stream)
            names = ", ".join(group for group in self._recipe.groups if group in kept) or "nothing"
            self._stream.write(f"{self._known[kept]} with {names} kept in fp16\n")
            self._stream.flush()
        return self._known[kept]

    def drop(self, kept: frozenset[str]) -> float:
        """The loss of AP against the FP32 file."""
        return self._before.drop_to(self.accuracy(kept))
