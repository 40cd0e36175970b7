"""The manifest beside a TensorRT engine: what the engine was built from and for, and whether it fits here.

TensorRT answers an engine of another GPU or version with an opaque message or a crash, and runs whatever code an engine
holds. So the manifest is read and checked before the engine is given to TensorRT. Needs the standard library only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from maskrt.errors import ModelError
from maskrt.contract.metadata import PREFIX, ModelMetadata, load_json, parse_metadata

FORMAT = 2
"""Version of the manifest's layout; a reader refuses every other."""

FLAVOR_NAMES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Profile:
    """The canvases that an engine takes, each (batch, height, width): smallest, the one it is tuned for, largest."""

    min: tuple[int, int, int]
    opt: tuple[int, int, int]
    max: tuple[int, int, int]


@dataclass(frozen=True)
class BuildInputs:
    """All that determines an engine; equal inputs need no second build.

    Attributes:
        maskrt_version: of the maskrt that built it.
        onnx_file: name of the ONNX file, for messages only.
        onnx_sha256: of the ONNX file.
        target: name of the target GPU, as in `maskrt engine --target`.
        compute_capability: of the target GPU, for example "8.9".
        flavor: "tensorrt" or "tensorrt-rtx".
        tensorrt_version: the full version of that package.
        plugin_version: of the plugin library.
        precision: "fp32", "fp16", "int8" or "fp8", as the ONNX file says.
        workspace_mib: the most scratch memory that a layer may use, in MiB.
        profile: the canvases.
        version_compatible: built for TensorRT's lean runtime; False in manifests that do not say.
    """

    maskrt_version: str
    onnx_file: str = field(compare=False)
    onnx_sha256: str
    target: str
    compute_capability: str
    flavor: str
    tensorrt_version: str
    plugin_version: str
    precision: str
    workspace_mib: int
    profile: Profile
    version_compatible: bool = False


@dataclass(frozen=True)
class Tensor:
    """An input or output of the engine.

    Attributes:
        name: as in the ONNX file.
        dtype: NumPy's name of the type.
        min, opt, max: the shape at each point of the profile.
    """

    name: str
    dtype: str
    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """What is known of an engine file.

    Attributes:
        engine_bytes, engine_sha256: of the engine file.
        build: what it was built from.
        inputs, outputs: its tensors.
        plugin_layers: number of layers of each plugin, by name.
        model: the `maskrt.*` metadata of the ONNX file, without that prefix.
    """

    engine_bytes: int
    engine_sha256: str
    build: BuildInputs
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    plugin_layers: Mapping[str, int]
    model: Mapping[str, Any]

    def metadata(self, source: str) -> ModelMetadata:
        """The model's metadata; `source` names the engine in messages.

        Raises:
            ModelError: from a newer maskrt, or damaged.
        """
        return parse_metadata({f"{PREFIX}{key}": json.dumps(value) for key, value in self.model.items()}, source)

    def to_json(self) -> str:
        """The manifest file's text: the same for the same manifest."""
        content = {"format": FORMAT, **asdict(self)}
        return json.dumps({**content, "checksum": _checksum(content)}, indent=2, ensure_ascii=False) + "\n"


def manifest_path(engine: Path) -> Path:
    """Where the manifest of an engine file lies."""
    return engine.with_name(engine.name + ".json")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(engine: Path) -> Manifest:
    """The manifest beside an engine file. The engine itself is not opened: see `check_engine_file`.

    Raises:
        ModelError: there is no engine or no manifest, or the manifest is damaged, edited, or from a newer maskrt.
    """
    path = manifest_path(engine)
    try:
        if not engine.is_file():
            raise ModelError(f"{engine}: there is no such file. `maskrt engine` or `make engine` builds one.")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ModelError(
            f"{engine} has no manifest: {path.name} should lie beside it. Copy both files, or build the engine again "
            "with `maskrt engine`."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > _MAX_BYTES:
        raise ModelError(f"{path} is not a manifest: it is larger than {_MAX_BYTES:,} bytes.")
    try:
        content = load_json(data)
    except ValueError:
        raise _damaged(path, "it is not JSON") from None
    return _from_json(content, path)


def check_engine_file(engine: Path, manifest: Manifest) -> None:
    """That the engine is the very file that was built.

    Raises:
        ModelError: it is truncated, or was changed after it was built.
    """
    try:
        size = engine.stat().st_size
        if size < manifest.engine_bytes:
            raise ModelError(
                f"{engine} is truncated: it has {size:,} bytes, but {manifest.engine_bytes:,} were built. Copy it "
                f"again, or build it again: `{_command(manifest.build)}`."
            )
        found = sha256_of(engine)
    except OSError as error:
        raise ModelError(f"{engine} cannot be read: {error.strerror or error}.") from None
    if found != manifest.engine_sha256:
        raise ModelError(
            f"{engine} is not the file that its manifest describes: its SHA-256 is {found[:12]}…, but "
            f"{manifest.engine_sha256[:12]}… was built. It was edited or replaced afterwards. Copy it and "
            f"{manifest_path(engine).name} again, or build it again: `{_command(manifest.build)}`."
        )


def check_onnx(engine: Path, manifest: Manifest, onnx: Path) -> None:
    """That the engine was built from this ONNX file.

    Raises:
        ModelError: it was built from another, or this one cannot be read.
    """
    try:
        found = sha256_of(onnx)
    except OSError as error:
        raise ModelError(f"{onnx} cannot be read: {error.strerror or error}.") from None
    built = manifest.build.onnx_sha256
    if found != built:
        raise ModelError(
            f"{engine} was built from another ONNX file ({manifest.build.onnx_file}, SHA-256 {built[:12]}…) than "
            f"{onnx} (SHA-256 {found[:12]}…). Build it again: `{_command(manifest.build, onnx=str(onnx))}`."
        )


def check_gpu(engine: Path, manifest: Manifest, compute_capability: str, name: str) -> None:
    """That the engine was built for a GPU of this compute capability (for example "8.9"); `name` is for the message.

    Raises:
        ModelError: it was built for another.
    """
    build = manifest.build
    if compute_capability != build.compute_capability:
        raise ModelError(
            f"{engine} was built for {build.target} (compute capability {build.compute_capability}), but this GPU is "
            f"{name} (compute capability {compute_capability}). Build one for it: `{_command(build, target='local')}` "
            "here, or with the GPU's name as target elsewhere."
        )


def check_tensorrt(engine: Path, manifest: Manifest, flavor: str, version: str) -> None:
    """That the engine was built by this very TensorRT; `flavor` is "tensorrt" or "tensorrt-rtx".

    Raises:
        ModelError: it was built by another.
    """
    build = manifest.build
    if (flavor, version) != (build.flavor, build.tensorrt_version):
        raise ModelError(
            f"{engine} was built by {FLAVOR_NAMES[build.flavor]} {build.tensorrt_version}, but "
            f"{FLAVOR_NAMES.get(flavor, flavor)} {version} is installed here. Install that version, or build the "
            f"engine again with this one: `{_command(build)}`."
        )


def check_plugins(engine: Path, manifest: Manifest, version: str) -> None:
    """That the engine was built with this version of the plugin library.

    Raises:
        ModelError: it was built with another.
    """
    build = manifest.build
    if version != build.plugin_version:
        raise ModelError(
            f"{engine} was built with plugin library {build.plugin_version}, but {version} is installed here. Install "
            f"maskrt {build.plugin_version} and run `make plugins`, or build the engine again: `{_command(build)}`."
        )


def _command(build: BuildInputs, *, onnx: str | None = None, target: str | None = None) -> str:
    return f"maskrt engine {onnx or build.onnx_file} --target {target or build.target}"


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path} is damaged or was edited: {reason}. Copy it again, or build the engine again with `maskrt engine`."
    )


def _from_json(content: Any, path: Path) -> Manifest:
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise ModelError(f"{path} is not the manifest of an engine. Build the engine again with `maskrt engine`.")
    if content["format"] > FORMAT:
        raise ModelError(
            f"{path} is of format {content['format']}, from a newer maskrt; this one reads format {FORMAT}. Upgrade it: "
            "`pip install --upgrade maskrt`."
        )
    if content["format"] < FORMAT:
        raise ModelError(
            f"{path} is of format {content['format']}, from an older maskrt; this one reads format {FORMAT}. Export the "
            "model again with `maskrt export`, and build the engine again with `maskrt engine`."
        )
    checksum = content.pop("checksum", None)
    if checksum != _checksum(content):
        raise _damaged(path, "its checksum does not fit its content")
    try:
        return _manifest(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(path, f"its fields are not those of a manifest ({error})") from None


def _manifest(content: dict[str, Any]) -> Manifest:
    build = content["build"]
    for entry in fields(BuildInputs):
        if entry.type == "str" and not isinstance(build[entry.name], str):
            raise TypeError(f"{entry.name} is {build[entry.name]!r}")
    if build["flavor"] not in FLAVOR_NAMES:
        raise ValueError(f"unknown flavor {build['flavor']!r}")
    batch_height_width = {point: _shape(shape, 3) for point, shape in build["profile"].items()}
    profile = Profile(**batch_height_width)  # type: ignore[arg-type]
    inputs, outputs = (
        tuple(
            Tensor(str(t["name"]), str(t["dtype"]), _shape(t["min"]), _shape(t["opt"]), _shape(t["max"]))
            for t in content[key]
        )
        for key in ("inputs", "outputs")
    )
    return Manifest(
        engine_bytes=int(content["engine_bytes"]),
        engine_sha256=str(content["engine_sha256"]),
        build=BuildInputs(**{**build, "profile": profile}),
        inputs=inputs,
        outputs=outputs,
        plugin_layers={str(name): int(count) for name, count in content["plugin_layers"].items()},
        model=dict(content["model"]),
    )


def _shape(values: Any, axes: int | None = None) -> tuple[int, ...]:
    shape = tuple(int(value) for value in values)
    if axes not in (None, len(shape)):
        raise ValueError(f"{list(shape)} should have {axes} sizes")
    return shape
