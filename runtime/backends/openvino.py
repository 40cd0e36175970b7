"""The OpenVINO backend: engines that `maskrt engine --target openvino` builds, on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from maskrt.contract.manifest import Manifest, check_engine_files, damaged_manifest, read_manifest
from maskrt.contract.tensors import IMAGES, INPUTS
from maskrt.errors import DependencyError, ModelError
from maskrt.runtime.backends.base import Detections, is_maskrt_model, output_names
from maskrt.runtime.backends.signal_stack import kept_signal_stack

TITLE = "OpenVINO"
SUFFIX = ".openvino.xml"
"""Of the file that names an engine."""
FILES = (".xml", ".bin")
"""The files of an engine: the network, and its weights."""

DEVICE = "CPU"
CONFIG: dict[str, Any] = {
    # Of what is not quantized, whatever the file's precision. On a CPU with instructions for bfloat16 OpenVINO would
    # take these, and box arithmetic with eight bits.
    "INFERENCE_PRECISION_HINT": "f32",
    "PERFORMANCE_HINT": "LATENCY",  # all threads work on one batch; calls that overlap take turns
}


class OpenVinoBackend:
    """An engine on the CPU; see `base.Backend`.

    Args:
        path: the engine, with its weights and its manifest beside it.
        threads: CPU threads. None: one per core.

    Raises:
        ModelError: the engine or its manifest is missing, damaged, or from a newer OpenVINO than the one here.
        DependencyError: OpenVINO is not installed.
    """

    resizes = False
    runs_at_once = 1
    paste_counts = None

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self._path = path
        manifest = read_manifest(path)
        if manifest.build.builder != "openvino":
            raise damaged_manifest(path, f"{manifest.build.builder!r} built the engine, which builds no {SUFFIX} files")
        self.metadata = manifest.metadata(str(path))
        self._outputs = output_names(self.metadata)
        try:
            import openvino
        except ImportError as error:
            raise DependencyError(
                f"{path.name} runs in {TITLE}, which cannot be imported ({error}). Install it: "
                "`pip install maskrt[openvino]`."
            ) from None
        check_version(path, manifest, version_of(openvino))
        check_engine_files(path, manifest)
        config = CONFIG if threads is None else {**CONFIG, "INFERENCE_NUM_THREADS": threads}
        try:
            core = openvino.Core()
            with kept_signal_stack():
                self._model = core.compile_model(core.read_model(*manifest.paths(path)), DEVICE, config)
            inputs, outputs = _types(self._model.inputs, INPUTS), _types(self._model.outputs, self._outputs)
            device = core.get_property(DEVICE, "FULL_DEVICE_NAME")
        except RuntimeError as error:
            raise ModelError(f"{TITLE} {version_of(openvino)} cannot load {path}: {_reason(error)}") from None
        if not is_maskrt_model(self.metadata, inputs, outputs):
            raise ModelError(
                f"{path} is not the engine of a maskrt model: its inputs are {', '.join(inputs)}, its outputs "
                f"{', '.join(outputs)}. Build it again: `{manifest.command}`."
            )
        self.providers: tuple[str, ...] = (f"{TITLE} {version_of(openvino)} on {device}",)
        self.input_dtype = inputs[IMAGES]
        self._idle: list[Any] = []

    def run(self, feed: Mapping[str, np.ndarray]) -> Detections:
        """Run one batch; see `base.Backend.run`."""
        with self._request() as request:
            try:
                request.infer(feed, share_inputs=True)
            except RuntimeError as error:
                raise ModelError(
                    f"{TITLE} failed on a batch of shape {list(feed[IMAGES].shape)}: {_reason(error)}"
                ) from None
            # Copied, since the next run of this request writes there.
            return Detections.of({name: request.get_tensor(name).data.copy() for name in self._outputs})

    @contextlib.contextmanager
    def _request(self) -> Iterator[Any]:
        """Return what holds the tensors of a call; there are as many as calls have ever overlapped."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        try:
            yield request
        finally:
            self._idle.append(request)


def version_of(openvino: ModuleType) -> str:
    """For example "2026.4.1"; what follows in `openvino.__version__` names a commit."""
    return str(openvino.__version__).partition("-")[0]


def check_version(engine: Path, manifest: Manifest, version: str) -> None:
    """Check that an engine was not built by a newer release of OpenVINO than the one here, of `version`.

    The IR is no machine code: it has a version of its own, and a newer OpenVINO reads an older one's. An older one does
    not know the operations of a newer one.

    Raises:
        ModelError: it was.
    """
    built = manifest.build.builder_version
    try:
        newer = _release(built) > _release(version)
    except ValueError:
        raise damaged_manifest(engine, f"{built!r} is no version of {TITLE}") from None
    if newer:
        raise ModelError(
            f"{engine} was built by {TITLE} {built}, but {version} is installed here. Install that or a newer one "
            f'(`pip install "openvino>={built}"`), or build the engine again with this one: `{manifest.command}`.'
        )


def _release(version: str) -> tuple[int, int]:
    """Year and release."""
    year, release = version.split(".")[:2]
    return int(year), int(release)


def _types(ports: Sequence[Any], known: Sequence[str]) -> dict[str, np.dtype]:
    """Return the type of each input or output by name. A tensor that several nodes hand on has all of their names."""
    types = {}
    for port in ports:
        name = next((name for name in known if name in port.names), port.any_name)
        types[name] = np.dtype(port.element_type.to_dtype())
    return types


def _reason(error: RuntimeError) -> str:
    """Return the last line: those before it name OpenVINO's own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
