"""What goes into an edge package, and whether engine, manifest and ONNX file fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from maskrt.contract.manifest import Manifest, check_engine_files, check_onnx, manifest_path, read_manifest
from maskrt.contract.metadata import ModelMetadata, parse_metadata
from maskrt.contract.seal import read_metadata_properties
from maskrt.engines.errors import EngineError
from maskrt.engines.package.needs import FILTERS, ONNX_NEEDS, ONNX_RUNTIME, RUNTIME, Needs
from maskrt.engines.package.openvino import openvino_needs
from maskrt.engines.package.tensorrt import tensorrt_needs
from maskrt.errors import ArgumentError

NEEDS: Mapping[str, Callable[[Path, Manifest], Needs]] = {
    "tensorrt": tensorrt_needs,
    "tensorrt-rtx": tensorrt_needs,
    "openvino": openvino_needs,
}
"""What an engine needs on its device, by its builder."""


@dataclass(frozen=True)
class Contents:
    """What goes into a package.

    Attributes:
        models: content of the model files by name; the one that `maskrt infer` opens comes first.
        needs: of that one.
        onnx: name of the ONNX file beside an engine, which runs without what the engine needs.
        resizing: lines of requirements.txt for what the model's images are resized with.
    """

    models: dict[str, bytes]
    needs: Needs
    onnx: str | None = None
    resizing: tuple[str, ...] = ()

    @property
    def requirements(self) -> str:
        """The text of requirements.txt."""
        onnx_runtime = ONNX_RUNTIME if self.onnx else ()
        return self.runtime_requirements + "".join(f"{line}\n" for line in (*onnx_runtime, *self.needs.requirements))

    @property
    def runtime_requirements(self) -> str:
        """The same without an inference engine."""
        return "".join(f"{line}\n" for line in (*RUNTIME, *self.resizing))


def engine_contents(engine: Path, onnx: Path | None) -> Contents:
    """Return an engine with its manifest, and the ONNX file that it was built from where that is given.

    Raises:
        ArgumentError: the ONNX file does not end in .onnx.
        ModelError: a file is missing, damaged, or does not belong to the others.
        EngineError: what the engine needs is missing here, or does not fit.
    """
    if onnx is not None and onnx.suffix != ".onnx":
        raise ArgumentError(f"--onnx {onnx}: expected a file that ends in .onnx, by which the runtime knows it.")
    manifest = read_manifest(engine)
    check_engine_files(engine, manifest)
    if onnx is not None:
        check_onnx(engine, manifest, onnx)
    builder = manifest.build.builder
    if builder not in NEEDS:
        raise EngineError(f"{engine} was built by {builder}, and packages are made of engines of {', '.join(NEEDS)}.")
    needs = NEEDS[builder](engine, manifest)
    paths = (*manifest.paths(engine), manifest_path(engine), *([] if onnx is None else [onnx]))
    models = {path.name: path.read_bytes() for path in paths}
    return Contents(models, needs, None if onnx is None else onnx.name, _resizing(manifest.metadata(str(engine))))


def onnx_contents(onnx: Path) -> Contents:
    """Return an ONNX file alone.

    Raises:
        ModelError: it is missing, damaged, or not exported by maskrt.
    """
    metadata = parse_metadata(read_metadata_properties(onnx), str(onnx))
    return Contents({onnx.name: onnx.read_bytes()}, ONNX_NEEDS, resizing=_resizing(metadata))


def _resizing(metadata: ModelMetadata) -> tuple[str, ...]:
    return FILTERS.get(metadata.pipeline.resize.filter, ())
