import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from maskrt.calibration.cli import main
from maskrt.calibration.converters import CONVERTERS, find_converter
from maskrt.calibration.qdq import NumberFormat
from maskrt.contract.precision import PRECISIONS, SOURCE_PRECISION, Precision
from maskrt.errors import ArgumentError
from maskrt.runtime import Segmenter


def test_every_precision_but_that_of_the_export_has_its_converter():
    assert [*CONVERTERS] == [name for name in PRECISIONS if name != SOURCE_PRECISION]
    for name, converter in CONVERTERS.items():
        assert isinstance(converter, NumberFormat) == PRECISIONS[name].calibrated


@pytest.mark.parametrize(
    ("name", "message"), [("fp32", "Nothing converts to fp32: it is what"), ("int4", "There is no precision 'int4'")]
)
def test_no_converter(name, message):
    with pytest.raises(ArgumentError, match=message):
        find_converter(name)


def test_a_new_precision_is_a_row_and_a_converter(
    shapes_onnx, scene_folder, int8_onnx, photographs, tmp_path, monkeypatch
):
    """INT8 with numbers from -63 to 63, by the command."""
    monkeypatch.setitem(PRECISIONS, "int7", Precision("int7", True, "7.2", PRECISIONS["int8"].budget))
    monkeypatch.setitem(CONVERTERS, "int7", NumberFormat(np.dtype(np.int8), largest=63, whole=True))
    cache, output = tmp_path / "cache.json", tmp_path / "shapes.int7.onnx"
    shutil.copy(int8_onnx.with_name("shapes.percentile.calibration.json"), cache)
    options = ["--precision", "int7", "--images", str(scene_folder), "--cache", str(cache), "-o", str(output)]
    assert main([str(shapes_onnx), *options]) == 0
    stored = {tensor.name: tensor for tensor in onnx.load(output).graph.initializer}
    largest = [
        np.abs(numpy_helper.to_array(tensor).astype(np.int32)).max()
        for name, tensor in stored.items()
        if name.endswith("_quantized")
    ]
    assert max(largest) == 63
    segmenter = Segmenter(output)
    assert segmenter.metadata.precision == "int7"
    assert segmenter.predict(photographs["coffee"]).boxes.shape[1] == 4
