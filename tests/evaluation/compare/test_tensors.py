import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from maskrt.contract.seal import SEAL, sealed
from maskrt.evaluation.compare.source_image import trace_canvas
from maskrt.evaluation.compare.tensors import MAX_SNR, ExposedFile, worst_of
from maskrt.evaluation.results.compare import TensorDifference
from maskrt.export.families.base import describe_model
from maskrt.runtime import Segmenter
from maskrt.shapes.scenes import generate_scene


def _difference(**values: object) -> TensorDifference:
    common = {"max_abs": 1.0, "mean_abs": 0.5, "max_rel": 9.0, "mean_rel": 0.1, "snr_db": 40.0, "found": None}
    return TensorDifference(name="a", onnx="t", **{"image": "1.png", **common, **values})  # type: ignore[arg-type]


def test_the_worst_of_all_images_is_kept():
    total = _difference()
    total = worst_of(total, _difference(image="2.png", max_abs=3.0, mean_abs=0.2, snr_db=50.0))
    assert (total.max_abs, total.mean_abs, total.snr_db, total.image) == (3.0, 0.5, 40.0, "1.png")
    total = worst_of(total, _difference(image="3.png", max_abs=None, snr_db=30.0))
    assert (total.max_abs, total.snr_db, total.image) == (None, 30.0, "3.png")


def test_of_proposals_the_share_found_decides():
    total = _difference(found=0.9)
    total = worst_of(total, _difference(image="2.png", found=0.8, snr_db=60.0))
    total = worst_of(total, _difference(image="3.png", found=0.95, snr_db=10.0))
    assert (total.found, total.image) == (0.8, "2.png")


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp8"])
def test_quantized_layers_are_computed_as_in_the_runtime(
    precision: str, shapes_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As they are written, not by kernels for quantized tensors: what is compared is what runs."""
    model = onnx.load(shapes_onnx)
    properties = {entry.key: entry.value for entry in model.metadata_props if entry.key != SEAL}
    onnx.helper.set_model_props(model, {**properties, "maskrt.precision": json.dumps(precision)})
    path = tmp_path / "model.onnx"
    path.write_bytes(sealed(model.SerializeToString()))
    as_written = []
    session = onnxruntime.InferenceSession

    def opened(file: Any, options: onnxruntime.SessionOptions, **others: Any) -> onnxruntime.InferenceSession:
        try:
            as_written.append(options.get_session_config_entry("session.disable_quant_qdq"))
        except RuntimeError:  # not set
            as_written.append("0")
        return session(file, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    ExposedFile(path, Segmenter(path, threads=1).metadata, threads=1)
    of_runtime, of_comparison = as_written
    assert of_comparison == of_runtime


def test_statistics_by_hand(shapes_model, shapes_onnx: Path):
    """The reference's own tensors with known noise in one of them."""
    segmenter = Segmenter(shapes_onnx, threads=1)
    names = {"backbone.fpn.layer_blocks.2.0", "roi_heads.mask_predictor.mask_fcn_logits"}
    file = ExposedFile(shapes_onnx, segmenter.metadata, names=names, threads=1)
    batch = segmenter.preprocess([generate_scene(3, "test").image])
    trace = trace_canvas(describe_model(shapes_model).reference(), batch, file.modules)
    features, proposals, masks = file.compare(trace, batch, "3.png", noise_alone=True)
    assert (features.name, proposals.name, masks.name) == (file.points[0].name, "proposals", file.points[1].name)
    assert min(features.snr_db, masks.snr_db) > 100
    assert (features.max_abs, proposals.found) == (None, 1.0)

    spoilt = trace.outputs[features.name][0].copy()
    spoilt.flat[::2] += 0.01
    outputs = {features.name: [spoilt], masks.name: [trace.outputs[masks.name][0][:, :1]]}
    noisy, _, other_shape = file.compare(replace(trace, outputs=outputs), batch, "3.png")
    power = (spoilt.astype(np.float64) ** 2).mean() / 0.5e-4
    assert noisy.snr_db == pytest.approx(10 * np.log10(power), abs=0.01)
    assert noisy.max_abs == pytest.approx(0.01, abs=1e-4)
    assert noisy.mean_abs == pytest.approx(0.005, abs=1e-4)
    assert (other_shape.snr_db, other_shape.max_abs) == (-MAX_SNR, None)
