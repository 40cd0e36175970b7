"""`quantize`: an exported FP32 file becomes one of lower precision, with what it costs measured."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import onnx

from maskrt.calibration.accuracy import Accuracy, Measure
from maskrt.calibration.cache import read_cache, write_cache
from maskrt.calibration.calibrate import Calibration, calibrate
from maskrt.calibration.choice import LayerChoice, read_kept_groups
from maskrt.calibration.converters import Cast, find_converter
from maskrt.calibration.coverage import Coverage, find_coverage
from maskrt.calibration.images import ImageSample, choose_images
from maskrt.calibration.model_file import check_same_interface, load_exported, set_metadata, write_file
from maskrt.calibration.options import SENSIBLE_COUNT, CalibrationOptions
from maskrt.calibration.qdq import NumberFormat
from maskrt.calibration.recipe import Recipe
from maskrt.calibration.search import search
from maskrt.contract.manifest import sha256_of
from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.precision import PRECISIONS
from maskrt.contract.seal import sealed
from maskrt.errors import ArgumentError
from maskrt.files import check_writable, remove_stale, temporary_folder
from maskrt.terminal import say


@dataclass(frozen=True)
class QuantizationResult:
    """A file of lower precision and what it costs.

    Attributes:
        path: the file.
        choice: which layers are quantized; None where the precision needs no calibration.
        before, after: AP of the FP32 file and of this one; None where it was not measured.
        budget_met: False where a budget was given and no choice of layers meets it.
        coverage: how much of all weights is in the precision, or in FP16 where a choice of layers was made.
    """

    path: Path
    choice: LayerChoice | None
    before: Accuracy | None
    after: Accuracy | None
    budget_met: bool = True
    coverage: Coverage | None = None


def choice_path(output: Path) -> Path:
    """Where the choice of layers of a quantized file is written."""
    return output.with_name(f"{output.stem}.layers.json")


def quantize(
    model: Path,
    output: Path,
    precision: str,
    calibration: CalibrationOptions | None = None,
    *,
    layers: Path | None = None,
    measure: Measure | None = None,
    max_ap_drop: float | None = None,
    stream: TextIO | None = None,
) -> QuantizationResult:
    """Write `output`, a strongly typed ONNX file of `precision`, from an exported FP32 file.

    Box decoding, RoI coordinates, scores and NMS stay FP32 at every precision; inputs and outputs of the file do not
    change. A calibrated precision (INT8, FP8) quantizes the layers of backbone, FPN and heads; the rest of the network
    is FP16.

    Args:
        model: the FP32 file.
        output: the file to write. For a calibrated precision the choice of layers is written beside it, see
            `choice_path`.
        precision: a name of `contract.precision`.
        calibration: for a calibrated precision, and for no other.
        layers: a choice of layers from an earlier run, to be taken over.
        measure: measures AP, of the FP32 file first.
        max_ap_drop: the loss of box or mask AP allowed, 0–1; layers are kept in FP16 until it is met.
        stream: for progress and remarks; by default, `sys.stderr`.

    Raises:
        ArgumentError: the arguments do not fit each other, the images do not do, or there is no AP to lose.
        ModelError: the file is not a sound FP32 file that maskrt exported.
        MaskrtError: a file cannot be written. No file is left half-written.
    """
    stream = sys.stderr if stream is None else stream
    converter = find_converter(precision)
    inputs = [model, *([] if layers is None else [layers]), *([] if calibration is None else calibration.images)]
    check_writable(output, inputs)
    if output.suffix.lower() != ".onnx":
        raise ArgumentError(f"cannot write {output}: the runtime opens ONNX files by their suffix; name it .onnx")
    remove_stale(output.parent)
    original, metadata = load_exported(model)
    if isinstance(converter, NumberFormat):
        if calibration is None:
            raise ArgumentError(f"{precision} needs images to calibrate with: --images FOLDER, image files or videos.")
        if max_ap_drop is not None and layers is not None:
            raise ArgumentError("A budget (--max-ap-drop) chooses layers, so it does not go with a choice (--layers).")
        if max_ap_drop is not None and measure is None:
            raise ArgumentError("A budget (--max-ap-drop) needs a data set to measure AP with: --dataset JSON.")
    else:
        given = {"--images": calibration, "--layers": layers, "--max-ap-drop": max_ap_drop}
        check_uncalibrated(precision, [name for name, value in given.items() if value is not None])
        return _cast(original, converter, precision, model, output, measure, stream)

    recipe = Recipe(original, precision, converter)
    kept = frozenset[str]() if layers is None else read_kept_groups(layers, recipe.groups)
    cache = calibration.cache or output.with_name(f"{model.stem}.{calibration.method}.calibration.json")
    check_writable(cache, [*inputs, output, choice_path(output)])
    check_writable(choice_path(output), [model, *calibration.images])  # it may take the place of `layers`
    sample = choose_images(
        calibration.images,
        calibration.limit,
        calibration.seed,
        lambda sentence: say(f"left out: {sentence}", file=stream),
    )
    before = None if measure is None else _measure_original(measure, model, stream)
    if max_ap_drop is not None and before is not None and before.box == 0:
        raise ArgumentError(
            f"{model} has a box AP of 0, so there is none to lose. Is it the right data set, and the model trained?"
        )
    found = _calibrate(recipe, metadata, model, sample, calibration, cache, stream)
    gains: Mapping[str, float] = {}
    after, met = None, True
    if measure is not None and before is not None:
        measurement = _Measurement(recipe, found, measure, before, output.parent, stream)
        if max_ap_drop is not None:
            result = search(found.macs, measurement.drop, max_ap_drop)
            kept, gains, met = result.kept, result.gains, result.drop <= max_ap_drop
        after = measurement.accuracy(kept)
    choice = LayerChoice(found.macs, kept, gains)
    context: dict[str, Any] = {"precision": precision, "weights_sha256": metadata.weights_sha256}
    if before is not None and after is not None:
        context |= {"fp32_ap": dataclasses.asdict(before), "ap": dataclasses.asdict(after)}
    built = recipe.build(found.thresholds, kept)
    write_file(output, sealed(built.SerializeToString(deterministic=True)))
    write_file(choice_path(output), choice.to_json(**context).encode())
    return QuantizationResult(output, choice, before, after, met, coverage=find_coverage(built))


def check_uncalibrated(precision: str, given: Sequence[str]) -> None:
    """Check that none of the options was given that a precision without calibration has no use for.

    Raises:
        ArgumentError: `given` names some.
    """
    if given:
        calibrated = ", ".join(row.name for row in PRECISIONS.values() if row.calibrated)
        raise ArgumentError(
            f"{precision} quantizes no layers, so it has no use for {', '.join(given)}: leave that out, or give "
            f"--precision one of {calibrated}."
        )


def _cast(
    original: onnx.ModelProto,
    cast: Cast,
    precision: str,
    model: Path,
    output: Path,
    measure: Measure | None,
    stream: TextIO,
) -> QuantizationResult:
    """Nothing to calibrate, nothing to choose."""
    converted = cast(original)
    set_metadata(converted, precision=precision)
    check_same_interface(original, converted)
    before = after = None
    if measure is not None:
        before = _measure_original(measure, model, stream)
        after = _measure_candidate(measure, converted, output.parent)
    write_file(output, sealed(converted.SerializeToString(deterministic=True)))
    return QuantizationResult(output, None, before, after, coverage=find_coverage(converted))


def _calibrate(
    recipe: Recipe,
    metadata: ModelMetadata,
    model: Path,
    sample: ImageSample,
    options: CalibrationOptions,
    cache: Path,
    stream: TextIO,
) -> Calibration:
    """Return the ranges, from the cache if they were measured before."""
    method = options.method
    if len(sample) < SENSIBLE_COUNT // 2:
        say(f"warning: calibrating with only {len(sample)} images; {SENSIBLE_COUNT} are sensible", file=stream)
    key = {
        "model": sha256_of(model),
        "images": sample.fingerprint(),
        "method": method,
        "percentile": options.percentile if method == "percentile" else None,
    }
    known = read_cache(cache, key)
    # Another version of maskrt may quantize other tensors.
    if known is not None and known.macs.keys() == set(recipe.groups) and known.thresholds.keys() >= set(recipe.tensors):
        say(f"Reusing the calibration {cache}", file=stream)
        return known
    say(f"Calibrating with {len(sample)} images of {sample.source} ({method})", file=stream)
    found = calibrate(recipe.model, metadata, recipe.layers, recipe.tensors, sample, method, options.percentile, stream)
    if found.empty_images:
        say(f"note: the model finds nothing in {found.empty_images} of {found.images} images", file=stream)
    write_cache(cache, key, found)
    return found


def _measure_original(measure: Measure, model: Path, stream: TextIO) -> Accuracy:
    say(f"Measuring AP of {model}", file=stream)
    return measure(model)


def _measure_candidate(measure: Measure, model: onnx.ModelProto, beside: Path) -> Accuracy:
    with temporary_folder(beside) as folder:
        path = folder / "candidate.onnx"
        path.write_bytes(model.SerializeToString())
        return measure(path)


class _Measurement:
    """AP of the quantized model for any choice of layers."""

    def __init__(
        self, recipe: Recipe, calibration: Calibration, measure: Measure, before: Accuracy, folder: Path, stream: TextIO
    ) -> None:
        self._recipe = recipe
        self._calibration = calibration
        self._measure = measure
        self._before = before
        self._folder = folder
        self._stream = stream
        self._known: dict[frozenset[str], Accuracy] = {}

    def accuracy(self, kept: frozenset[str]) -> Accuracy:
        """With the groups `kept` in FP16."""
        if kept not in self._known:
            model = self._recipe.build(self._calibration.thresholds, kept)
            self._known[kept] = _measure_candidate(self._measure, model, self._folder)
            names = ", ".join(group for group in self._recipe.groups if group in kept) or "nothing"
            say(f"{self._known[kept]} with {names} kept in fp16", file=self._stream)
        return self._known[kept]

    def drop(self, kept: frozenset[str]) -> float:
        """Return the loss of AP against the FP32 file."""
        return self._before.drop_to(self.accuracy(kept))
