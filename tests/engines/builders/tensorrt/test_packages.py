"""Importing a TensorRT package: missing, too old, or the other one's process."""

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from maskrt.engines.builders.tensorrt.packages import TENSORRT, TENSORRT_RTX, Package, import_tensorrt
from maskrt.runtime import DependencyError


@pytest.mark.parametrize(
    ("package", "version"), [(TENSORRT, "8.6.1"), (TENSORRT, "10.0.1"), (TENSORRT_RTX, "1.2.0.54")]
)
def test_too_old(monkeypatch: pytest.MonkeyPatch, package: Package, version: str) -> None:
    old = ModuleType(package.module)
    old.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, package.module, old)
    with pytest.raises(
        DependencyError,
        match=rf"{version} is too old: the plugins need {package.oldest[0]}\.{package.oldest[1]} .*pip install",
    ):
        import_tensorrt(package)


def test_import_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(DependencyError, match=r"TensorRT is not installed|TensorRT cannot be loaded"):
        import_tensorrt(TENSORRT)


def test_one_process_has_one_tensorrt() -> None:
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt_rtx is not installed")
    code = (
        "import polygraphy.config\n"
        "from maskrt.engines.builders.tensorrt.packages import TENSORRT_RTX, import_tensorrt\n"
        "try: import_tensorrt(TENSORRT_RTX)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("ArgumentError Polygraphy was imported in this process for the other TensorRT")
