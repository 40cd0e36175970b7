"""What an OpenVINO engine needs on its device."""

from __future__ import annotations

from pathlib import Path

from maskrt.contract.manifest import Manifest
from maskrt.engines.package.needs import Needs


def openvino_needs(engine: Path, manifest: Manifest) -> Needs:
    """Return what an engine needs on its device: the OpenVINO that built it, and no plugin library."""
    build = manifest.build
    return Needs(
        requirements=(f"openvino=={build.builder_version}",),
        readme=(
            f"For any CPU that OpenVINO {build.builder_version} runs on, {build.precision}.",
            "Needs Python 3.10 or newer.",
        ),
    )
