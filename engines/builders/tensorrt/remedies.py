"""What takes the place of ONNX operators that TensorRT does not take.

Those of the operator table of TensorRT's ONNX parser (onnx-tensorrt, docs/operators.md) that a network may have, and
for which there is something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_QUANTIZED = "export the model before it is quantized, and quantize the file: `maskrt quantize`"
_LIMIT = "stay within what its plugin can do"
_SELECTION = "keep all elements and multiply by a mask, or take a fixed number of them with TopK"
_BITS = "compute with integers (Mul, Div, Mod) or with And, Or, Not on booleans"
_RANDOM = "a model in evaluation mode draws no random numbers: leave it out"
_SEQUENCE = "stack tensors of one shape (Concat, Split) instead of lists of tensors"
_SPECTRUM = "multiply by the matrix of the transform (MatMul with a constant)"

REMEDIES: Mapping[str, str] = {
    "AffineGrid": "compute the grid when the model is made, and keep it as a buffer",
    "Bernoulli": _RANDOM,
    "BitShift": _BITS,
    "BitwiseAnd": _BITS,
    "BitwiseNot": _BITS,
    "BitwiseOr": _BITS,
    "BitwiseXor": _BITS,
    "Col2Im": "use a transposed convolution (ConvTranspose) instead of fold",
    "Compress": _SELECTION,
    "ConvInteger": _QUANTIZED,
    "DFT": _SPECTRUM,
    "DeformConv": "replace deformable convolutions by ordinary ones, and train anew; nothing else computes the same",
    "DetectionOutput": _LIMIT,
    "DynamicQuantizeLinear": _QUANTIZED,
    "GenerateProposals": _LIMIT,
    "MatMulInteger": _QUANTIZED,
    "MaxPool": "do without its second output, the indices",
    "MaxRoiPool": "use RoIAlign in the detector's own heads, for which maskrt has a plugin",
    "MaxUnpool": "enlarge by Resize, or by a transposed convolution",
    "MultilevelRoIAlign": _LIMIT,
    "Multinomial": _RANDOM,
    "NonMaxSuppression": "leave NMS to the detector's own RPN and heads, for which maskrt has a plugin",
    "NonZero": _SELECTION,
    "QLinearConv": _QUANTIZED,
    "QLinearMatMul": _QUANTIZED,
    "Resize": "resize without antialias, by nearest, linear or cubic",
    "RoiAlign": "leave RoIAlign to the detector's own heads, for which maskrt has a plugin",
    "STFT": _SPECTRUM,
    "SequenceAt": _SEQUENCE,
    "SequenceConstruct": _SEQUENCE,
    "SplitToSequence": _SEQUENCE,
    "Unique": _SELECTION,
}
"""Operator → what to do instead."""


def remedies(operators: Iterable[str]) -> str:
    """Say what to do about each operator, a sentence for each remedy; a general one for those that have none."""
    instead: dict[str, list[str]] = {}
    for operator in dict.fromkeys(operators):
        general = "replace it by operators that it takes"
        instead.setdefault(REMEDIES.get(operator, general), []).append(operator)
    return " ".join(f"For {' and '.join(names)}, {remedy}." for remedy, names in instead.items())
