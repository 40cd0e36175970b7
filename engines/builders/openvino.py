"""OpenVINO as a builder: the ONNX file with its functions inlined, as OpenVINO's IR; see `engines.builders.base`.

The IR runs on any CPU that OpenVINO runs on: kernels are chosen on the device, when the file is opened.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from maskrt import __version__
from maskrt.contract.manifest import BuildInputs, Manifest, Tensor
from maskrt.engines.builders.base import Built
from maskrt.engines.errors import EngineError
from maskrt.engines.gpu import Gpu
from maskrt.engines.onnx_model import OnnxModel, inlined
from maskrt.engines.request import BuildOptions
from maskrt.engines.targets import GpuTarget, Target
from maskrt.errors import ArgumentError, DependencyError
from maskrt.files import temporary_folder
from maskrt.runtime.backends.openvino import CONFIG, DEVICE, FILES, SUFFIX, TITLE, version_of
from maskrt.terminal import printable

if TYPE_CHECKING:
    import onnx

_ANY_CANVAS = "builds for every canvas"
_INSTALL = "`pip install maskrt[openvino]`"
_BIASED = ("Conv", "ConvTranspose", "Gemm")


@dataclass(frozen=True)
class OpenVinoBuilder:
    """OpenVINO; see `base.Builder`."""

    name: str = "openvino"
    title: str = TITLE
    suffix: str = SUFFIX
    module: str = "openvino"
    install: str = _INSTALL
    refusals: Mapping[str, str] = field(
        default_factory=lambda: {
            "min": _ANY_CANVAS,
            "opt": _ANY_CANVAS,
            "max": _ANY_CANVAS,
            "workspace": "chooses its kernels on the device",
            "timing_cache": "chooses its kernels on the device",
            "version_compatible": "has no lean runtime",
        }
    )

    def precisions(self, target: Target) -> tuple[str, ...]:
        """See `base.Builder`."""
        return () if isinstance(target, GpuTarget) else target.precisions

    def obstacle(self, target: Target, precision: str, gpu: Gpu | None) -> ArgumentError | None:
        """See `base.Builder`."""
        return None

    def inputs(self, model: OnnxModel, target: Target, options: BuildOptions, stream: TextIO) -> BuildInputs:
        """See `base.Builder`."""
        return BuildInputs(
            maskrt_version=__version__,
            onnx_file=printable(model.path.name),
            onnx_sha256=model.sha256,
            target=target.name,
            builder=self.name,
            builder_version=version_of(_import_openvino()),
            precision=model.metadata.precision,
            settings={},
        )

    def build(
        self, model: OnnxModel, inputs: BuildInputs, engine: Path, options: BuildOptions, stream: TextIO
    ) -> Built:
        """See `base.Builder`. The engine is opened once, so that what OpenVINO refuses is refused here."""
        openvino = _import_openvino()
        graph = inlined(model.path)
        add_missing_biases(graph)
        try:
            core = openvino.Core()
            network = core.read_model(graph.SerializeToString())
            core.compile_model(network, DEVICE, CONFIG)
            files = _serialized(openvino, network, engine.parent)
        except OSError as error:
            raise EngineError(f"Cannot write in {engine.parent}: {error.strerror or error}.") from error
        except RuntimeError as error:  # what OpenVINO raises
            words = " ".join(str(error).split())
            raise EngineError(f"{self.title} {inputs.builder_version} cannot build {model.path}: {words}") from error
        layers = Counter(operation.get_type_name() for operation in network.get_ops())
        return Built(files, _tensors(network.inputs), _tensors(network.outputs), plugin_layers={}, layers=layers)

    def describe(self, manifest: Manifest) -> dict[str, str]:
        """See `base.Builder`."""
        return {"canvas": "every one"}


OPENVINO = OpenVinoBuilder()


def add_missing_biases(graph: onnx.ModelProto) -> None:
    """Give each quantized layer without a bias one that changes nothing: the smallest number above zero.

    OpenVINO moves the scales of a quantized layer's channels behind what follows, unless a bias comes first. A Reshape
    that splits the batch, as `[B*R, 4C]` to `[B, R, C, 4]` does behind the box predictor, it takes for one that splits
    the channels where the batch is dynamic (`ReshapeTransformation`): it fails, or where R is a multiple of 4C, scales
    the regions instead of the channels.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    sources = {output: node for node in graph.graph.node for output in node.output}
    for node in graph.graph.node:
        weights = sources.get(node.input[1]) if node.op_type in _BIASED and len(node.input) == 2 else None
        if weights is not None and weights.op_type == "DequantizeLinear":
            scale = numpy_helper.to_array(constants[weights.input[1]])
            bias = np.full(scale.shape, np.finfo(scale.dtype).smallest_subnormal)
            node.input.append(f"{node.name}_bias")
            graph.graph.initializer.append(numpy_helper.from_array(bias, node.input[2]))


def _import_openvino() -> ModuleType:
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise DependencyError(f"{TITLE} cannot be imported: {error}. Install it: {_INSTALL}.") from error


def _serialized(openvino: ModuleType, network: Any, folder: Path) -> dict[str, bytes]:
    """Return the IR's files, by suffix."""
    with temporary_folder(folder) as inside:
        paths = {suffix: (inside / "model").with_suffix(suffix) for suffix in FILES}
        openvino.serialize(network, *map(str, paths.values()))
        return {suffix: path.read_bytes() for suffix, path in paths.items()}


def _tensors(ports: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            port.any_name,
            np.dtype(port.element_type.to_dtype()).name,
            tuple(size.get_length() if size.is_static else -1 for size in port.partial_shape),
        )
        for port in ports
    )
