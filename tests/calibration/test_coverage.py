"""Nothing with weights is left out of the total, whatever the operator."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from maskrt.calibration.coverage import find_coverage
from maskrt.calibration.fp16 import convert_to_fp16

MATRIX, KERNEL = np.ones((4, 4), np.float32), np.ones((4, 4, 1, 1), np.float32)
MakeGraph = Callable[..., onnx.ModelProto]


@pytest.mark.parametrize(
    ("node", "weights", "kept"),
    [
        ("y = Conv (x, w)", {"w": KERNEL}, None),
        ("y = ConvTranspose (x, w)", {"w": KERNEL}, None),
        ("y = MatMul (x, w)", {"w": MATRIX}, None),
        ("y = MatMul (w, x)", {"w": MATRIX}, "MatMul"),
        ("y = MatMul (x, w)", {"w": np.ones((1, 1, 4, 4), np.float32)}, "MatMul"),
        ('y = Einsum <equation = "bchw,wk->bchk"> (x, w)', {"w": MATRIX}, "Einsum"),
        ("v = Transpose <perm = [1, 0]> (w) y = MatMul (x, v)", {"w": MATRIX}, "MatMul"),
        ("v = Transpose <perm = [1, 0, 2, 3]> (w) y = Conv (x, v)", {"w": KERNEL}, "Conv"),
        ("y = SomethingNew (x, w)", {"w": MATRIX}, "SomethingNew"),
    ],
)
def test_each_operator_with_weights(
    make_graph: MakeGraph, node: str, weights: dict[str, np.ndarray], kept: str | None
) -> None:
    """What FP16 converts, and what it does not: then the report names it."""
    model = make_graph(f"test (float[1,4,4,4] x) => (float[1,4,4,4] y) {{ {node} }}", **weights)
    before, after = find_coverage(model), find_coverage(convert_to_fp16(model))
    (size,) = (value.size for value in weights.values())
    assert (before.weights, before.converted) == (size, 0)
    assert after.weights == size
    if kept is None:
        assert (after.converted, after.kept) == (size, {})
        assert after.sentence("fp16") == "100.0% of the weights are fp16."
    else:
        assert (after.converted, after.kept) == (0, {kept: 1})
        assert after.sentence("fp16") == f"0.0% of the weights are fp16; in FP32 stay 1 {kept}."


@pytest.mark.parametrize("operator", ["Add", "Mul", "Sub", "Max", "Where"])
def test_constants_that_are_no_weights(make_graph: MakeGraph, operator: str) -> None:
    arguments = "(c, x, w)" if operator == "Where" else "(x, w)"
    text = f"test (float[1,4,4,4] x, bool[1] c) => (float[1,4,4,4] y) {{ y = {operator} {arguments} }}"
    assert find_coverage(make_graph(text, w=KERNEL)).weights == 0


def test_shared_weights_count_once(make_graph: MakeGraph) -> None:
    text = "test (float[1,4,4,4] x) => (float[1,4,4,4] y) { a = MatMul (x, w) y = MatMul (a, w) }"
    assert find_coverage(make_graph(text, w=MATRIX)).weights == 16
