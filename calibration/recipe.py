"""Everything needed to write a quantized file for any choice of layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from maskrt.calibration.fp16 import convert_to_fp16
from maskrt.calibration.layers import Layer, find_layers, groups_of
from maskrt.calibration.model_file import check_same_interface, set_metadata
from maskrt.calibration.placement import calibrated_tensors, find_addends
from maskrt.calibration.qdq import NumberFormat, insert_qdq


class Recipe:
    """An exported FP32 model, taken apart.

    Args:
        model: the exported FP32 model.
        precision: name of the precision, for the metadata.
        number_format: of its quantized values.

    Raises:
        ModelError: a weight is too large for FP16.
    """

    def __init__(self, model: onnx.ModelProto, precision: str, number_format: NumberFormat) -> None:
        self.model = model
        self.precision = precision
        self._number_format = number_format
        self.layers: list[Layer] = find_layers(model.graph)
        self.groups = groups_of(self.layers)
        self._addends = find_addends(model.graph, self.layers)
        self._half = convert_to_fp16(model)
        wanted = {layer.weight for layer in self.layers}
        self._weights: dict[str, np.ndarray] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name in wanted
        }

    @property
    def tensors(self) -> list[str]:
        """The tensors whose range has to be known."""
        return calibrated_tensors(self.layers, self._addends)

    def build(self, thresholds: Mapping[str, float], kept: Collection[str]) -> onnx.ModelProto:
        """Build the model with every layer quantized except those of the groups `kept`, which are FP16.

        `thresholds` gives for each of `tensors` the absolute value that the largest quantized number stands for.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self._half)
        chosen = [layer for layer in self.layers if layer.group not in kept]
        insert_qdq(model, self._weights, chosen, self._addends, thresholds, self._number_format)
        set_metadata(model, precision=self.precision)
        check_same_interface(self.model, model)
        return model
