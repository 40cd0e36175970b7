"""The ONNX Runtime backend."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.contract.metadata import parse_metadata
from maskrt.contract.precision import PRECISIONS
from maskrt.contract.seal import read_metadata_properties
from maskrt.contract.tensors import IMAGES
from maskrt.errors import ArgumentError, DependencyError, ModelError
from maskrt.runtime.backends.base import Detections, is_maskrt_model, output_names

_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int32)": np.int32}
# Tried in this order when the caller does not choose.
_PREFERRED_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxRuntimeBackend:
    """A maskrt ONNX file in ONNX Runtime; see `base.Backend`.

    Args:
        path: the ONNX file.
        providers: ONNX Runtime execution providers, first choice first. None: CUDA if this ONNX Runtime has
            it, then the CPU.
        threads: CPU threads of one run. None: one per core.

    Raises:
        ModelError: the file is not a maskrt model or cannot be loaded.
        DependencyError: ONNX Runtime is not installed, or cannot start any of the providers that were asked for.
        ArgumentError: this ONNX Runtime has no such provider.
    """

    resizes = False
    runs_at_once = 1
    paste_counts = None

    def __init__(self, path: Path, *, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        self.metadata = parse_metadata(read_metadata_properties(path), str(path))
        precision = PRECISIONS.get(self.metadata.precision)
        if precision is None:
            raise ModelError(
                f"{path} is of precision {self.metadata.precision!r}, but this maskrt knows {', '.join(PRECISIONS)}. "
                "Upgrade it: `pip install --upgrade maskrt`."
            )
        try:
            import onnxruntime
        except ImportError as error:
            raise DependencyError(
                f"{path.name} runs in ONNX Runtime, which cannot be imported ({error}). "
                "Install it: `pip install maskrt[cpu]`, or `pip install maskrt[gpu]` for CUDA."
            ) from None

        available = onnxruntime.get_available_providers()
        if providers is None:
            providers = [name for name in _PREFERRED_PROVIDERS if name in available]
        elif unknown := [name for name in providers if name not in available]:
            raise ArgumentError(
                f"This ONNX Runtime has no {', '.join(unknown)}; it has {', '.join(available)}. "
                "`pip install maskrt[gpu]` brings CUDA."
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions, warnings are for the exporter
        if precision.calibrated:
            # The graph as it is written. Rewritten for quantized kernels, FP8 tensors meet operators that have none,
            # and INT8 layers get biases in units of their scales, rounded to FP16, where large ones overflow.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        # Threads that wait for work spin a millisecond or more, which takes the cores from the other stages of a
        # pipeline and from other processes. 50 us took as long on two idle cores (0.99 to 1.01 of the time) and less
        # on busy ones (0.8); no spinning took longer on idle ones (1.15, small images). Older versions ignore it.
        options.add_session_config_entry("session.intra_op.spin_duration_us", "50")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                _loadable(path), options, providers=list(providers), enable_fallback=len(providers) > 1
            )
            inputs = _types(self._session.get_inputs())
            outputs = _types(self._session.get_outputs())
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise ModelError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {_first_line(error)}"
            ) from None
        self.providers = tuple(self._session.get_providers())
        _check_first_choice(providers, self.providers, path)
        if not is_maskrt_model(self.metadata, inputs, outputs):
            raise ModelError(
                f"{path} is damaged: its inputs ({', '.join(inputs)}) and outputs ({', '.join(outputs)}) are not those "
                "of a maskrt model. Export it again with `maskrt export`."
            )
        self._output_names = output_names(self.metadata)
        self.input_dtype = inputs[IMAGES]

    def run(self, feed: Mapping[str, np.ndarray]) -> Detections:
        """Run one batch; see `base.Backend.run`."""
        try:
            outputs = self._session.run(self._output_names, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise ModelError(
                f"ONNX Runtime failed on a batch of shape {list(feed[IMAGES].shape)}: {_first_line(error)}"
            ) from None
        return Detections.of(dict(zip(self._output_names, outputs, strict=True)))


def _loadable(path: Path) -> str | bytes:
    """Return what ONNX Runtime loads: the path, or where that is no text, which it does not take, the content."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.read_bytes()
    return str(path)


def _types(tensors: Sequence[Any]) -> dict[str, np.dtype]:
    """Return the NumPy type of each input or output; object for one that no maskrt model has."""
    return {tensor.name: np.dtype(_TYPES.get(tensor.type, np.object_)) for tensor in tensors}


def _check_first_choice(wanted: Sequence[str], started: Sequence[str], path: Path) -> None:
    """ONNX Runtime itself goes on without a provider that it cannot start, and says so in its log alone."""
    if not wanted or wanted[0] in started:
        return
    reason = (
        f"ONNX Runtime cannot start {wanted[0]} for {path}: its driver, or a library that it needs (for CUDA also "
        "cuDNN), is missing or of another version."
    )
    if not set(wanted) & set(started):
        raise DependencyError(f"{reason} Install it, or choose another provider.")
    warnings.warn(f"{reason} The model runs on {started[0]}.", RuntimeWarning, stacklevel=2)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
