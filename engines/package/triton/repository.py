"""A model repository for Triton: the Python model that takes pictures, and what runs the model file for it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskrt.contract.manifest import Manifest, damaged_manifest, read_manifest
from maskrt.contract.metadata import ModelMetadata, parse_metadata
from maskrt.contract.seal import read_metadata_properties
from maskrt.contract.tensors import IMAGE_TYPES, IMAGES
from maskrt.engines.builders.tensorrt.profile import format_canvas
from maskrt.engines.errors import EngineError
from maskrt.engines.files import write_together
from maskrt.engines.onnx_model import read_image_type
from maskrt.engines.package.checksums import CHECKSUMS, checksums
from maskrt.engines.package.contents import Contents, engine_contents, onnx_contents
from maskrt.engines.package.triton.config import BACKENDS, Serving, engine_config, front_config
from maskrt.engines.package.triton.pbtxt import to_text
from maskrt.engines.package.triton.texts import Facts, compose, readme, start_script
from maskrt.engines.package.wheel import runtime_wheel
from maskrt.errors import ArgumentError
from maskrt.runtime.backends.tensorrt.manifest import Profile, tensorrt_settings
from maskrt.runtime.transforms.canvas import make_batch
from maskrt.runtime.triton.names import ENGINE, ENGINE_METADATA, MODEL

SUFFIX = ".triton"
"""Of a repository's folder."""

ENGINES = ("none", *BACKENDS)
"""What runs the model file: the Python model itself, or another model in a backend of Triton's."""

_PYTHON_MODEL = b"from maskrt.runtime.triton.model import TritonPythonModel  # noqa: F401\n"
_DEFAULT_BATCH = 8
_DEFAULT_WARM_UP = (480, 640)


@dataclass(frozen=True)
class TritonOptions:
    """What a user can choose.

    Attributes:
        engine: one of `ENGINES`; None: "tensorrt" for an engine of TensorRT, else "none".
        batch_size: pictures in a run of the model at the most; None: 8, or what an engine takes.
        instances: of the Python model; None: two in front of an engine model, where one prepares pictures while the
            other one waits, else one.
        warm_up: (height, width) of pictures to be ready for; None: 480x640, where an engine takes that.
    """

    engine: str | None = None
    batch_size: int | None = None
    instances: int | None = None
    warm_up: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True)
class _Model:
    """What is served.

    Attributes:
        metadata: of the model file.
        image_type: of its images.
        contents: the files, and what they need where the Python model runs them.
        engine: one of `ENGINES`.
        manifest: None: an ONNX file.
        profile: the canvases that an engine of TensorRT takes.
    """

    metadata: ModelMetadata
    image_type: np.dtype
    contents: Contents
    engine: str
    manifest: Manifest | None = None
    profile: Profile | None = None


def make_repository(model: Path, output: Path | None, options: TritonOptions) -> tuple[Path, dict[str, int]]:
    """Write the repository of a model file.

    Args:
        model: an .onnx file that maskrt exported, or an engine of TensorRT or OpenVINO with its manifest beside it.
        output: the folder, which must be new or empty; by default beside the model.
        options: see there.

    Returns:
        The folder, and the size in bytes of each file in it, by name.

    Raises:
        ArgumentError: options that do not fit the model, or a folder that is not empty.
        ModelError: a file is missing or damaged.
        EngineError: what the engine needs is missing or does not fit, or the folder cannot be written.
        DependencyError: maskrt is not installed.
    """
    if output is None:
        output = model.with_name(model.name.removesuffix(model.suffix) + SUFFIX)
    _check_new(output)
    read = _read(model, options)
    files = _files(read, _serving(read, options))
    files[CHECKSUMS] = checksums(files)
    _write(output, files)
    return output, {name: len(content) for name, content in sorted(files.items())}


def _read(model: Path, options: TritonOptions) -> _Model:
    if model.suffix == ".onnx":
        engine = options.engine or "none"
        if engine == "tensorrt":
            raise ArgumentError(
                f"--triton-engine tensorrt serves an engine, but {model} is an ONNX file. Build one with the TensorRT "
                f"of the Triton image, on its GPU: `maskrt engine {model}`; or choose onnxruntime."
            )
        metadata = parse_metadata(read_metadata_properties(model), str(model))
        image_type = read_image_type(model)
        return _Model(metadata, image_type, onnx_contents(model), engine)
    manifest = read_manifest(model)
    metadata = manifest.metadata(str(model))
    types = {tensor.name: tensor.dtype for tensor in manifest.inputs}
    engine_type = IMAGE_TYPES.get(types.get(IMAGES, ""))
    if engine_type is None:
        raise damaged_manifest(model, f"it names no input {IMAGES} of a type that is known")
    builder = manifest.build.builder
    if builder == "openvino":
        if options.engine not in (None, "none"):
            raise ArgumentError(
                f"--triton-engine {options.engine} does not run {model}, an engine of OpenVINO; the Python model does: "
                "choose none."
            )
        return _Model(metadata, engine_type, engine_contents(model, None), "none", manifest)
    if builder != "tensorrt":
        raise ArgumentError(
            f"{model} was built by {builder}, which Triton does not run. Package the ONNX file, or an engine that "
            "`maskrt engine --builder tensorrt` builds with the TensorRT of the Triton image."
        )
    if options.engine not in (None, "tensorrt"):
        raise ArgumentError(f"--triton-engine {options.engine} does not run {model}, an engine of TensorRT.")
    profile = tensorrt_settings(model, manifest).profile
    return _Model(metadata, engine_type, engine_contents(model, None), "tensorrt", manifest, profile)


def _serving(model: _Model, options: TritonOptions) -> Serving:
    largest = None if model.profile is None else model.profile.max[0]
    batch_size = options.batch_size or min(_DEFAULT_BATCH, largest or _DEFAULT_BATCH)
    if model.profile is not None and not model.profile.min[0] == 1 <= batch_size <= model.profile.max[0]:
        raise ArgumentError(
            f"--batch-size {batch_size}: the engine was built for batches of {model.profile.min[0]} to {largest}, and "
            "Triton needs those from 1 to the batch size. Choose another, or build the engine anew."
        )
    warm_up = [_DEFAULT_WARM_UP] if options.warm_up is None else options.warm_up
    fitting = tuple(size for size in warm_up if _fits(model, size))
    if options.warm_up is not None and len(fitting) < len(warm_up):
        assert model.profile is not None
        height, width = next(size for size in warm_up if size not in fitting)
        raise ArgumentError(
            f"--warm-up {height}x{width}: the engine takes no such pictures, but canvases (batch x height x width) "
            f"from {format_canvas(model.profile.min)} to {format_canvas(model.profile.max)}."
        )
    return Serving(batch_size, options.instances or (1 if model.engine == "none" else 2), fitting)


def _fits(model: _Model, size: tuple[int, int]) -> bool:
    """Whether the engine takes the canvas of a picture."""
    if model.profile is None:
        return True
    picture = np.empty((*size, 3), np.uint8)
    _, *canvas, _ = make_batch([picture], model.metadata.pipeline, model.image_type, resize=False).frames.shape
    limits = zip(model.profile.min[1:], canvas, model.profile.max[1:], strict=True)
    return all(low <= side <= high for low, side, high in limits)


def _files(model: _Model, serving: Serving) -> dict[str, bytes]:
    """Every file of the repository, by its path in the folder."""
    contents = model.contents
    wheel, wheel_content = runtime_wheel({})
    first = next(iter(contents.models))
    files = {f"models/{MODEL}/1/model.py": _PYTHON_MODEL, wheel: wheel_content}
    if model.engine == "none":
        front = front_config(model.metadata, serving, first)
        files |= {f"models/{MODEL}/1/{name}": content for name, content in contents.models.items()}
        requirements = contents.requirements
    else:
        front = front_config(model.metadata, serving, None)
        config, data = engine_config(model.metadata, model.image_type, serving, model.engine)
        about = {"properties": model.metadata.to_properties(), "image_type": model.image_type.name}
        files |= {
            f"models/{MODEL}/1/{ENGINE_METADATA}": json.dumps(about, indent=1).encode(),
            f"models/{ENGINE}/config.pbtxt": to_text(config).encode(),
            f"models/{ENGINE}/1/{BACKENDS[model.engine]}": contents.models[first],
            **{f"models/{ENGINE}/warmup/{name}": content for name, content in data.items()},
            **{f"plugins/{path}": content for path, content in contents.needs.plugins.items()},
        }
        requirements = contents.runtime_requirements
    plugins = bool(contents.needs.plugins) and model.engine != "none"
    facts = Facts(first, wheel, model.engine, serving, None if model.manifest is None else model.manifest.build)
    return {
        **files,
        f"models/{MODEL}/config.pbtxt": to_text(front).encode(),
        "requirements.txt": requirements.encode(),
        "start.sh": start_script(wheel, plugins).encode(),
        "compose.yaml": compose(facts).encode(),
        "README.md": readme(facts).encode(),
    }


def _check_new(folder: Path) -> None:
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            return
        if folder.exists():
            raise ArgumentError(
                f"Cannot write the repository {folder}: it is there already. Remove it, or choose another --output."
            )
        if not folder.parent.is_dir():
            raise ArgumentError(
                f"Cannot write the repository {folder}: there is no folder {folder.parent}. Make it, or choose another."
            )
    except OSError as error:
        raise ArgumentError(f"Cannot write the repository {folder}: {error.strerror or error}.") from None


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files, or leave nothing."""
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=".maskrt-", dir=folder.parent))
    except OSError as error:
        raise EngineError(f"Cannot write the repository {folder}: {error.strerror or error}.") from None
    try:
        unfinished.chmod(0o755)  # for whoever Triton runs as
        paths = {unfinished / name: content for name, content in files.items()}
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_together(paths)
        unfinished.replace(folder)
    except OSError as error:
        raise EngineError(f"Cannot write the repository {folder}: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
