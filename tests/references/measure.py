"""Measures the reference models anew, and prints a table: `python -m tests.references.measure WHAT [MODEL...]`.

WHAT is one of

- `detections`: what the model files find in the pictures, beside what the frameworks found;
- `ap`: average precision of the trained models on the demo's held-out scenes: of the framework's own predictions, of
  the model file, and of the same in INT8;
- `engines`: engines of TensorRT-RTX for compute capability 8.9, in FP32 and FP16: their plugin layers, by kind.

Run it in the root of the repository. `MASKRT_REFERENCES` names the folder of the full set, where there is one; else
the models are those of this folder.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.calibration import CalibrationOptions, quantize
from maskrt.evaluation.metrics.coco import average_precision
from maskrt.runtime import Segmenter
from maskrt.shapes.dataset import ground_truth, write_dataset
from maskrt.shapes.score import score

from ..support.golden import HEADER, IDENTICAL_SHARE_OF_ALL, compare_file, golden_records
from ..support.reference_engines import ENGINE_HEADER, build_reference_engine, engine_row
from ..support.reference_models import export_reference, load_reference
from ..support.references import ALL_NAMES, full_reference_model, picture

GOLDEN_SCENES = 8
_KINDS = ("bbox", "segm")


def detections(names: Sequence[str], folder: Path) -> Iterator[str]:
    """Compare what the files find."""
    yield HEADER
    masks = identical = 0
    for name in names:
        source = load_reference(name, folder)
        row = compare_file(full_reference_model(name), source.spec, export_reference(source, folder))
        masks, identical = masks + row.masks, identical + row.identical
        yield str(row)
    if masks:
        share = f"{identical / masks:.2%} (limit {IDENTICAL_SHARE_OF_ALL:.0%})"
        yield f"{identical} of {masks} masks are identical: {share}"


def ap(names: Sequence[str], folder: Path) -> Iterator[str]:
    """Measure the trained models."""
    calibration = write_dataset(folder / "train", 64, "train").parent
    truth = ground_truth(GOLDEN_SCENES)
    yield f"{'model':32s}        {GOLDEN_SCENES} scenes: framework   file    200 scenes: file    INT8"
    for name in names:
        if "trained_shapes" not in name:
            continue
        model, file = full_reference_model(name), export_reference(load_reference(name, folder), folder)
        int8 = folder / "model.int8.onnx"
        quantize(file, int8, "int8", CalibrationOptions([calibration]))
        theirs, ours = [], []
        segmenter = Segmenter(file, providers=["CPUExecutionProvider"])
        for number in range(GOLDEN_SCENES):
            shown = f"scene{number:05d}"
            theirs += golden_records(model.golden(shown), number + 1)
            ours += segmenter.predict(picture(shown)).to_coco(number + 1)
        on_all = [score(_predictor(path)) for path in (file, int8)]
        for kind in _KINDS:
            few = [average_precision(truth, records, kind).overall.AP for records in (theirs, ours)]
            all_ = [statistics[kind].AP for statistics in on_all]
            values = "".join(f"{value:10.5f}" for value in (*few, *all_))
            yield f"{name:32s} {kind}          {values}"


def _predictor(file: Path) -> Callable[[np.ndarray, int], list[dict[str, Any]]]:
    segmenter = Segmenter(file, providers=["CPUExecutionProvider"])
    return lambda image, image_id: segmenter.predict(image).to_coco(image_id)


def engines(names: Sequence[str], folder: Path) -> Iterator[str]:
    """Build engines in FP32 and FP16."""
    yield ENGINE_HEADER
    for name in names:
        file = export_reference(load_reference(name, folder), folder)
        fp16 = folder / "model.fp16.onnx"
        quantize(file, fp16, "fp16")
        for path in (file, fp16):
            yield engine_row(name, build_reference_engine(path, folder / "model.engine"))


_WHAT: dict[str, Callable[[Sequence[str], Path], Iterator[str]]] = {
    "detections": detections,
    "ap": ap,
    "engines": engines,
}


def main(arguments: Sequence[str]) -> int:
    """Print a line as soon as it is there."""
    what, names = arguments[:1], arguments[1:] or ALL_NAMES
    if not what or what[0] not in _WHAT or not set(names) <= set(ALL_NAMES):
        print(f"{__doc__}\nModels: {', '.join(ALL_NAMES)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        for line in _WHAT[what[0]](names, Path(folder)):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
