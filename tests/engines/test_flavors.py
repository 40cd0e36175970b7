"""Which TensorRT builds for a target, and what is said where none can."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from maskrt.engines import flavors
from maskrt.engines.flavors import TENSORRT, TENSORRT_RTX, choose_flavor, import_tensorrt
from maskrt.engines.gpu import Gpu
from maskrt.engines.targets import find_target
from maskrt.runtime import ArgumentError, DependencyError

ADA = Gpu("NVIDIA GeForce RTX 4070", "8.9")
HOPPER = Gpu("NVIDIA H100", "9.0")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`installed("tensorrt")` makes these of the two packages appear to be installed, and no other."""

    def install(*modules: str) -> None:
        monkeypatch.setattr(flavors.importlib.util, "find_spec", lambda name: object() if name in modules else None)

    return install


@pytest.mark.parametrize(
    ("target", "requested", "gpu", "modules", "expected"),
    [
        ("rtx4090", "auto", ADA, ("tensorrt", "tensorrt_rtx"), TENSORRT),
        ("rtx4090", "auto", ADA, ("tensorrt_rtx",), TENSORRT_RTX),
        ("rtx4090", "auto", None, ("tensorrt", "tensorrt_rtx"), TENSORRT_RTX),
        ("rtx5090", "auto", ADA, ("tensorrt", "tensorrt_rtx"), TENSORRT_RTX),
        ("rtx4090", "tensorrt-rtx", ADA, ("tensorrt", "tensorrt_rtx"), TENSORRT_RTX),
        ("h100", "auto", HOPPER, ("tensorrt", "tensorrt_rtx"), TENSORRT),
        ("l4", "tensorrt", ADA, ("tensorrt",), TENSORRT),
    ],
)
def test_choice(
    installed: Callable[..., None],
    target: str,
    requested: str,
    gpu: Gpu | None,
    modules: tuple[str, ...],
    expected: flavors.Flavor,
) -> None:
    installed(*modules)
    assert choose_flavor(find_target(target, gpu), "fp32", requested, gpu) is expected


@pytest.mark.parametrize(
    ("target", "precision", "requested", "gpu", "error", "message"),
    [
        ("jetson-xavier", "fp32", "auto", None, ArgumentError, "JetPack, 5, has TensorRT 8.5.*ONNX Runtime"),
        ("jetson-orin", "fp32", "auto", None, ArgumentError, "the target GPU itself.*this machine is: none.*Copy"),
        ("h100", "fp32", "tensorrt-rtx", None, ArgumentError, "does not support h100 .*9.0.*: --flavor tensorrt"),
        ("h100", "fp32", "auto", ADA, ArgumentError, r"this machine is: NVIDIA GeForce RTX 4070 \(.* 8.9\)"),
        ("rtx4090", "fp32", "tensorrt", None, ArgumentError, "on the target GPU itself.*with --flavor tensorrt-rtx"),
        (
            "t4",
            "fp32",
            "auto",
            None,
            ArgumentError,
            "a model of fp16 or int8 with `maskrt quantize`, which TensorRT-RTX",
        ),
        ("t4", "fp32", "tensorrt-rtx", None, ArgumentError, "builds fp16 and int8 models for t4 .* not fp32.*quantize"),
    ],
)
def test_what_cannot_be_built(
    installed: Callable[..., None],
    target: str,
    precision: str,
    requested: str,
    gpu: Gpu | None,
    error: type[Exception],
    message: str,
) -> None:
    installed("tensorrt", "tensorrt_rtx")
    with pytest.raises(error, match=message):
        choose_flavor(find_target(target, gpu), precision, requested, gpu)


@pytest.mark.parametrize(
    ("target", "requested", "gpu", "message"),
    [
        ("rtx4090", "auto", None, "TensorRT-RTX is not installed. Install it: `pip install tensorrt-rtx-cu13`"),
        ("rtx4090", "tensorrt", ADA, "TensorRT is not installed. Install it: `pip install tensorrt`"),
        ("h100", "auto", HOPPER, "TensorRT is not installed. Install it: `pip install tensorrt`"),
    ],
)
def test_not_installed(
    installed: Callable[..., None], target: str, requested: str, gpu: Gpu | None, message: str
) -> None:
    installed()
    with pytest.raises(DependencyError, match=message):
        choose_flavor(find_target(target, gpu), "fp32", requested, gpu)


@pytest.mark.parametrize(("flavor", "version"), [(TENSORRT, "8.6.1"), (TENSORRT, "9.3.0"), (TENSORRT_RTX, "1.2.0.54")])
def test_too_old(monkeypatch: pytest.MonkeyPatch, flavor: flavors.Flavor, version: str) -> None:
    old = ModuleType(flavor.module)
    old.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, flavor.module, old)
    with pytest.raises(
        DependencyError, match=rf"{version} is too old: the plugins need {flavor.oldest[0]}\..*pip install"
    ):
        import_tensorrt(flavor)


def test_import_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(DependencyError, match=r"TensorRT is not installed|TensorRT cannot be loaded"):
        import_tensorrt(TENSORRT)


def test_one_process_has_one_tensorrt() -> None:
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt_rtx is not installed")
    code = (
        "import polygraphy.config\n"
        "from maskrt.engines.flavors import TENSORRT_RTX, import_tensorrt\n"
        "try: import_tensorrt(TENSORRT_RTX)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("ArgumentError Polygraphy was imported in this process for the other TensorRT")
