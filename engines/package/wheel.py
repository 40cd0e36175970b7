"""The lean wheel of an edge package: `maskrt` with the runtime alone, and the plugin libraries where there are any.

Written directly, in the layout of the Binary Distribution Format (PyPA specification, wheel 1.0): nothing is downloaded
or compiled, and the same files give the same bytes. `pip wheel` of a distribution of the runtime would need the source
tree, which an installed maskrt has not, a build backend, a second list of packages beside the imports that say what
belongs to the runtime, and a step of its own for compiled libraries and the platform's tag.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sysconfig
import zipfile
from collections.abc import Mapping
from importlib import metadata
from modulefinder import ModuleFinder
from pathlib import Path

import maskrt
from maskrt.errors import DependencyError
from maskrt.plugins import libraries

EXTRAS = ("cpu", "gpu", "openvino", "pillow", "serve", "supervision", "tensorrt", "track", "video")
"""Those that the runtime's messages name; the others belong to the export side."""

_PACKAGE = "maskrt"
_RUNTIME = "maskrt.runtime"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the zip format knows no earlier time


def runtime_wheel(plugins: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Return the wheel's file name and its content.

    Args:
        plugins: content of each plugin library, by its path in their folder; with none of them the wheel is for any
            machine, otherwise for machines like this one.

    Raises:
        DependencyError: maskrt is not installed, so that its requirements are not known.
    """
    tag = f"py3-none-{sysconfig.get_platform().replace('-', '_') if plugins else 'any'}"
    name = f"{_PACKAGE}-{maskrt.__version__}"
    information = f"{name}.dist-info"
    folder = libraries.INSTALLED_DIRECTORY.relative_to(libraries.INSTALLED_DIRECTORY.parents[1]).as_posix()
    files = {
        **runtime_sources(),
        **{f"{_PACKAGE}/{folder}/{path}": content for path, content in plugins.items()},
        **{f"{information}/{path}": text.encode() for path, text in _descriptions(tag).items()},
    }
    record = "".join(f"{path},{_hash(content)},{len(content)}\n" for path, content in sorted(files.items()))
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            entry = zipfile.ZipInfo(path, _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return f"{name}-{tag}.whl", stream.getvalue()


def runtime_sources() -> dict[str, bytes]:
    """All of `maskrt.runtime`, the command and the doctor, and what of maskrt they import, by the path in the wheel."""
    root = Path(maskrt.__path__[0])
    finder = ModuleFinder(path=[str(root.parent)])  # not sys.path: only modules of maskrt are followed
    for path in sorted((root / "runtime").rglob("*.py")):
        folder = path.relative_to(root).parent.parts
        finder.import_hook(".".join((_PACKAGE, *folder, *([] if path.stem == "__init__" else [path.stem]))))
    for command in ("cli", "doctor.cli"):
        finder.import_hook(f"{_PACKAGE}.{command}")
    files = {f"{_PACKAGE}/py.typed": b""}
    for module in finder.modules:
        if module.partition(".")[0] == _PACKAGE:
            path = root.parent.joinpath(*module.split("."))
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            files[path.relative_to(root.parent).as_posix()] = path.read_bytes()
    for path in (root / "runtime" / "serving" / "page").iterdir():
        files[path.relative_to(root.parent).as_posix()] = path.read_bytes()
    return files


def _descriptions(tag: str) -> dict[str, str]:
    """Return the files of the folder .dist-info, but for RECORD."""
    try:
        distribution = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        raise DependencyError(
            "A package holds the requirements of maskrt as it is installed, but it is not installed here. Run "
            "`make install`, or `pip install --editable .` in the checkout."
        ) from None
    known = distribution.metadata
    extras = [extra for extra in known.get_all("Provides-Extra") or () if extra in EXTRAS]
    requirements = [
        line
        for line in distribution.requires or ()
        if "extra ==" not in line or any(f'extra == "{extra}"' in line for extra in extras)
    ]
    commands = [
        f"{entry.name} = {entry.value}" for entry in distribution.entry_points if entry.group == "console_scripts"
    ]
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {_PACKAGE}",
        f"Version: {maskrt.__version__}",
        f"Summary: {known['Summary']} (the runtime alone)",
        f"License-Expression: {known['License-Expression']}",
        "License-File: LICENSE",
        f"Requires-Python: {known['Requires-Python']}",
        *(f"Provides-Extra: {extra}" for extra in extras),
        *(f"Requires-Dist: {line}" for line in requirements),
    ]
    pure = "true" if tag.endswith("-any") else "false"
    return {
        "METADATA": "\n".join(lines) + "\n",
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: maskrt {maskrt.__version__}\nRoot-Is-Purelib: {pure}\nTag: {tag}\n",
        "entry_points.txt": "\n".join(("[console_scripts]", *sorted(commands))) + "\n",
        "licenses/LICENSE": distribution.read_text("licenses/LICENSE") or "",
    }


def _hash(content: bytes) -> str:
    """As RECORD wants it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
