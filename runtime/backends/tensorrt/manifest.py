"""What the manifest of a TensorRT engine says beside what every manifest says, and whether the engine runs here.

An engine runs on the GPU that it was built for, in the TensorRT that built it, with the plugins that it was built with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from maskrt.contract.manifest import Manifest, build_command, damaged_manifest
from maskrt.errors import ModelError

SUFFIX = ".engine"
"""Of the file."""

FLAVOR_NAMES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
"""The two TensorRT packages that build: the manifest's `builder`, and its name in prose."""

_CHECKED = ("str", "int")


@dataclass(frozen=True)
class Profile:
    """The canvases that an engine takes, each (batch, height, width): smallest, the one it is tuned for, largest."""

    min: tuple[int, int, int]
    opt: tuple[int, int, int]
    max: tuple[int, int, int]


@dataclass(frozen=True)
class TensorRtSettings:
    """What TensorRT was told; the manifest's `settings`.

    Attributes:
        compute_capability: of the target GPU, for example "8.9".
        plugin_version: of the plugin library.
        workspace_mib: the most scratch memory that a layer may use, in MiB.
        profile: the canvases.
        version_compatible: built for TensorRT's lean runtime.
    """

    compute_capability: str
    plugin_version: str
    workspace_mib: int
    profile: Profile
    version_compatible: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TensorRtSettings:
        """Return the same from a JSON object.

        Raises:
            KeyError, TypeError, ValueError, AttributeError, OverflowError: it is something else.
        """
        for entry in fields(cls):
            if entry.type in _CHECKED and type(values[entry.name]).__name__ != entry.type:
                raise TypeError(f"{entry.name} is {values[entry.name]!r}")
        profile = Profile(**{point: _canvas(sizes) for point, sizes in values["profile"].items()})
        return cls(**{**values, "profile": profile})

    def to_json(self) -> dict[str, Any]:
        """Return the same as a JSON object, as it is read back."""
        return json.loads(json.dumps(asdict(self)))


def tensorrt_settings(engine: Path, manifest: Manifest) -> TensorRtSettings:
    """Return what TensorRT was told when it built the engine.

    Raises:
        ModelError: it was not TensorRT that built it, or the manifest is damaged.
    """
    builder = manifest.build.builder
    if builder not in FLAVOR_NAMES:
        raise damaged_manifest(engine, f"{builder!r} built the engine, which builds no {SUFFIX} files")
    try:
        return TensorRtSettings.of(manifest.build.settings)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise damaged_manifest(engine, f"its settings are not TensorRT's ({error})") from None


def check_gpu(engine: Path, manifest: Manifest, compute_capability: str, name: str) -> None:
    """Check that the engine was built for a GPU of this compute capability, for example "8.9"; messages name it `name`.

    Raises:
        ModelError: it was built for another.
    """
    build, built_for = manifest.build, tensorrt_settings(engine, manifest).compute_capability
    if compute_capability != built_for:
        raise ModelError(
            f"{engine} was built for {build.target} (compute capability {built_for}), but this GPU is {name} (compute "
            f"capability {compute_capability}). Build one for it: `{build_command(build, target='local')}` here, or "
            "with the GPU's name as target elsewhere."
        )


def check_tensorrt(engine: Path, manifest: Manifest, flavor: str, version: str) -> None:
    """Check that the engine was built by this very TensorRT; `flavor` is "tensorrt" or "tensorrt-rtx".

    Raises:
        ModelError: it was built by another.
    """
    build = manifest.build
    if (flavor, version) != (build.builder, build.builder_version):
        raise ModelError(
            f"{engine} was built by {FLAVOR_NAMES[build.builder]} {build.builder_version}, but "
            f"{FLAVOR_NAMES.get(flavor, flavor)} {version} is installed here. Install that version, or build the "
            f"engine again with this one: `{manifest.command}`."
        )


def check_plugins(engine: Path, manifest: Manifest, version: str) -> None:
    """Check that the engine was built with this version of the plugin library.

    Raises:
        ModelError: it was built with another.
    """
    built_with = tensorrt_settings(engine, manifest).plugin_version
    if version != built_with:
        raise ModelError(
            f"{engine} was built with plugin library {built_with}, but {version} is installed here. Install maskrt "
            f"{built_with} and run `make plugins`, or build the engine again: `{manifest.command}`."
        )


def _canvas(sizes: Any) -> tuple[int, int, int]:
    batch, height, width = (int(size) for size in sizes)
    return batch, height, width
