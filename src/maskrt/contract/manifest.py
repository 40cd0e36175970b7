"""The manifest beside an engine: what it was built from and for, and whether its files are those that were built.

An engine is what a builder makes of an ONNX file for a target: one file of TensorRT, two of OpenVINO. An inference
engine answers a file that is not its own with an opaque message or a crash, and may run whatever code the file holds.
So the manifest is read and checked before the engine is opened.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from maskrt.contract.metadata import PREFIX, ModelMetadata, load_json, parse_metadata
from maskrt.contract.tensors import IMAGES
from maskrt.errors import ModelError

FORMAT = 2
"""Version of the manifest's layout; a reader refuses every other."""

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class BuildInputs:
    """All that determines an engine; equal inputs need no second build.

    Attributes:
        maskrt_version: of the maskrt that built it.
        onnx_file: name of the ONNX file, for messages only.
        onnx_sha256: of the ONNX file.
        target: name of the target, as in `maskrt engine --target`.
        builder: name of the builder, as in `maskrt engine --builder`.
        builder_version: the full version of its package.
        precision: a name of `contract.precision.PRECISIONS`, as the ONNX file says.
        settings: what else the builder was told, a JSON object; for TensorRT `TensorRtSettings`.
    """

    maskrt_version: str
    onnx_file: str = field(compare=False)
    onnx_sha256: str
    target: str
    builder: str
    builder_version: str
    precision: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Tensor:
    """An input or output of the engine.

    Attributes:
        name: as in the ONNX file.
        dtype: NumPy's name of the type.
        shape: -1 where it depends on the canvas.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    def at(self, canvas: tuple[int, int, int]) -> tuple[int, ...]:
        """Return the shape for a canvas (batch, height, width)."""
        # Only `images` has a dynamic height and width; elsewhere the first axis, the batch, is the only dynamic one.
        known = canvas if self.name == IMAGES else canvas[:1]
        return tuple(known[axis] if size == -1 else size for axis, size in enumerate(self.shape))


@dataclass(frozen=True)
class EngineFile:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes | memoryview) -> EngineFile:
        """Those of a file with this content."""
        return cls(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """What is known of an engine.

    Attributes:
        files: its files, by suffix: they differ in nothing else. The first is the one that names the engine.
        build: what it was built from.
        inputs, outputs: its tensors.
        plugin_layers: number of layers of each plugin, by name.
        model: the `maskrt.*` metadata of the ONNX file, without that prefix.
    """

    files: Mapping[str, EngineFile]
    build: BuildInputs
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    plugin_layers: Mapping[str, int]
    model: Mapping[str, Any]

    def metadata(self, source: str) -> ModelMetadata:
        """Return the model's metadata; `source` names the engine in messages.

        Raises:
            ModelError: from a newer maskrt, or damaged.
        """
        return parse_metadata({f"{PREFIX}{key}": json.dumps(value) for key, value in self.model.items()}, source)

    def paths(self, engine: Path) -> tuple[Path, ...]:
        """Return the engine's files; `engine` is the first."""
        return (engine, *(engine.with_suffix(suffix) for suffix in list(self.files)[1:]))

    @property
    def command(self) -> str:
        """The command that builds the engine again."""
        return build_command(self.build)

    def to_json(self) -> str:
        """Return the manifest file's text: the same for the same manifest."""
        content = {"format": FORMAT, **asdict(self)}
        return json.dumps({**content, "checksum": _checksum(content)}, indent=2, ensure_ascii=False) + "\n"


def build_command(build: BuildInputs, *, onnx: str | None = None, target: str | None = None) -> str:
    """Return the command that builds an engine again, for another ONNX file or target where these are given."""
    return f"maskrt engine {onnx or build.onnx_file} --target {target or build.target}"


def manifest_path(engine: Path) -> Path:
    """Where the manifest of an engine lies."""
    return engine.with_name(engine.name + ".json")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def model_sha256(path: Path) -> str:
    """SHA-256 of all that a model file is: of an engine, the one of its manifest, which has those of all of its files.

    Raises:
        OSError: it cannot be read.
    """
    manifest = manifest_path(path)
    return sha256_of(manifest if manifest.is_file() else path)


def read_manifest(engine: Path) -> Manifest:
    """Return the manifest beside an engine. The engine itself is not opened: see `check_engine_files`.

    Raises:
        ModelError: there is no engine or no manifest, or the manifest is damaged, edited, or from a newer maskrt.
    """
    path = manifest_path(engine)
    try:
        if not engine.exists():
            raise ModelError(f"{engine}: there is no such file. `maskrt engine` or `make engine` builds one.")
        if not engine.is_file():
            raise ModelError(f"{engine} is not a file.")
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise ModelError(f"{path} is not a file.")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ModelError(
            f"{engine} has no manifest: {path.name} should lie beside it. Copy all of its files, or build the engine "
            "again with `maskrt engine`."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > _MAX_BYTES:
        raise ModelError(f"{path} is not a manifest: it is larger than {_MAX_BYTES:,} bytes.")
    try:
        content = load_json(data)
    except ValueError:
        raise damaged_manifest(engine, "it is not JSON") from None
    return _from_json(content, engine)


def check_engine_files(engine: Path, manifest: Manifest) -> None:
    """Check that the engine's files are the very files that were built.

    Raises:
        ModelError: one is missing, truncated, or was changed after it was built.
    """
    for path, built in zip(manifest.paths(engine), manifest.files.values(), strict=True):
        try:
            size = path.stat().st_size
            if size < built.size:
                raise ModelError(
                    f"{path} is truncated: it has {size:,} bytes, but {built.size:,} were built. Copy it again, or "
                    f"build it again: `{manifest.command}`."
                )
            found = sha256_of(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
        if found != built.sha256:
            raise ModelError(
                f"{path} is not the file that its manifest describes: its SHA-256 is {found[:12]}…, but "
                f"{built.sha256[:12]}… was built. It was edited or replaced afterwards. Copy it and "
                f"{manifest_path(engine).name} again, or build it again: `{manifest.command}`."
            )


def check_onnx(engine: Path, manifest: Manifest, onnx: Path) -> None:
    """Check that the engine was built from this ONNX file.

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
            f"{onnx} (SHA-256 {found[:12]}…). Build it again: `{build_command(manifest.build, onnx=str(onnx))}`."
        )


def damaged_manifest(engine: Path, reason: str) -> ModelError:
    """Return the error for a manifest that says what no manifest says."""
    return ModelError(
        f"{manifest_path(engine)} is damaged or was edited: {reason}. Copy it again, or build the engine again with "
        "`maskrt engine`."
    )


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _from_json(content: Any, engine: Path) -> Manifest:
    path = manifest_path(engine)
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise ModelError(f"{path} is not the manifest of an engine. Build the engine again with `maskrt engine`.")
    if content["format"] > FORMAT:
        raise ModelError(
            f"{path} is of format {content['format']}, from a newer maskrt; this one reads format {FORMAT}. Upgrade "
            "it: `pip install --upgrade maskrt`."
        )
    if content["format"] < FORMAT:
        raise ModelError(
            f"{path} is of format {content['format']}, from an older maskrt; this one reads format {FORMAT}. Export "
            "the model again with `maskrt export`, and build the engine again with `maskrt engine`."
        )
    checksum = content.pop("checksum", None)
    if checksum != _checksum(content):
        raise damaged_manifest(engine, "its checksum does not fit its content")
    try:
        return _manifest(content, engine)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise damaged_manifest(engine, f"its fields are not those of a manifest ({error})") from None


def _manifest(content: dict[str, Any], engine: Path) -> Manifest:
    build = content["build"]
    for entry in fields(BuildInputs):
        if entry.type == "str" and not isinstance(build[entry.name], str):
            raise TypeError(f"{entry.name} is {build[entry.name]!r}")
    files = {
        suffix: EngineFile(int(file["size"]), str(file["sha256"])) for suffix, file in dict(content["files"]).items()
    }
    if next(iter(files), None) != engine.suffix.lower() or not all(re.fullmatch(r"\.\w+", suffix) for suffix in files):
        raise ValueError(f"the files are {', '.join(files) or 'none'}")
    inputs, outputs = (
        tuple(Tensor(str(t["name"]), str(t["dtype"]), tuple(int(size) for size in t["shape"])) for t in content[key])
        for key in ("inputs", "outputs")
    )
    return Manifest(
        files=files,
        build=BuildInputs(**{**build, "settings": dict(build["settings"])}),
        inputs=inputs,
        outputs=outputs,
        plugin_layers={str(name): int(count) for name, count in content["plugin_layers"].items()},
        model=dict(content["model"]),
    )
