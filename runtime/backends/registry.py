"""Which inference engine runs which file. A new one is a module with a `Backend`, and a line here."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.errors import ArgumentError, ModelError
from maskrt.runtime.backends.base import Backend


@dataclass(frozen=True)
class BackendEntry:
    """An inference engine.

    Attributes:
        title: its name in prose.
        factory: "module:name" of what opens a file, given its path and options; imported when it is needed.
        options: those of `open_backend` that it takes.
    """

    title: str
    factory: str
    options: tuple[str, ...]

    def open(self, path: Path, **options: Any) -> Backend:
        """Load a model file; see `open_backend`."""
        module, _, name = self.factory.partition(":")
        return getattr(importlib.import_module(module), name)(path, **options)


BACKENDS = {
    ".onnx": BackendEntry(
        "ONNX Runtime", "maskrt.runtime.backends.onnxruntime:OnnxRuntimeBackend", ("providers", "threads")
    ),
    ".engine": BackendEntry("TensorRT", "maskrt.runtime.backends.tensorrt.backend:TensorRtBackend", ("threads",)),
    ".openvino.xml": BackendEntry("OpenVINO", "maskrt.runtime.backends.openvino:OpenVinoBackend", ("threads",)),
}
"""By the end of the file's name."""


def find_backend(path: Path) -> BackendEntry:
    """Return the inference engine that runs a model file.

    Raises:
        ModelError: none runs files of that name.
    """
    for suffix, entry in BACKENDS.items():
        if path.name.lower().endswith(suffix):
            return entry
    *others, last = BACKENDS
    raise ModelError(f"{path}: expected a model file that ends in {', '.join(others)} or {last}, got {path.name!r}.")


def open_backend(path: Path, **options: Any) -> Backend:
    """Load a model file with the inference engine that its suffix names.

    Args:
        path: the model file; an engine has its manifest beside it.
        options: None is as if it were not given. `providers`: ONNX Runtime's execution providers, first choice first.
            `threads`: CPU threads of one run, at the most.

    Raises:
        ModelError: no engine for this suffix, or the file cannot be loaded.
        DependencyError: the engine's package is not installed.
        ArgumentError: an option that is another engine's.
    """
    entry = find_backend(path)
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in entry.options:
            takers = " and ".join(other.title for other in BACKENDS.values() if name in other.options)
            raise ArgumentError(f"{name} is an option of {takers}, but {path} runs in {entry.title}. Leave it out.")
    return entry.open(path, **given)
