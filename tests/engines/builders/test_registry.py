"""Which builder builds for a target, and what is said where none can."""

from collections.abc import Callable

import pytest

from maskrt.engines.builders import registry
from maskrt.engines.builders.base import Builder
from maskrt.engines.builders.registry import BUILDERS, choose_builder
from maskrt.engines.builders.tensorrt.builder import TENSORRT, TENSORRT_RTX
from maskrt.engines.gpu import Gpu
from maskrt.engines.targets import find_target
from maskrt.runtime import ArgumentError, DependencyError

ADA = Gpu("NVIDIA GeForce RTX 4070", "8.9")
HOPPER = Gpu("NVIDIA H100", "9.0")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`installed("tensorrt")` makes these of the builders' packages appear to be installed, and no other."""

    def install(*modules: str) -> None:
        monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: object() if name in modules else None)

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
    expected: Builder,
) -> None:
    installed(*modules)
    assert choose_builder(find_target(target, gpu), "fp32", requested, gpu) is expected


@pytest.mark.parametrize(
    ("target", "precision", "requested", "gpu", "error", "message"),
    [
        ("jetson-xavier", "fp32", "auto", None, ArgumentError, "JetPack, 5, has TensorRT 8.5.*ONNX Runtime"),
        ("jetson-orin", "fp32", "auto", None, ArgumentError, "the target GPU itself.*this machine is: none.*Copy"),
        ("h100", "fp32", "tensorrt-rtx", None, ArgumentError, "does not support h100 .*9.0.*: --builder tensorrt"),
        ("h100", "fp32", "auto", ADA, ArgumentError, r"this machine is: NVIDIA GeForce RTX 4070 \(.* 8.9\)"),
        ("rtx4090", "fp32", "tensorrt", None, ArgumentError, "on the target GPU itself.*with --builder tensorrt-rtx"),
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
        choose_builder(find_target(target, gpu), precision, requested, gpu)


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
        choose_builder(find_target(target, gpu), "fp32", requested, gpu)


def test_names_are_unique_and_suffixes_the_runtimes() -> None:
    from maskrt.runtime.backends.registry import BACKENDS

    for name, builder in BUILDERS.items():
        assert builder.name == name
        assert builder.suffix in BACKENDS


def test_a_builder_that_does_not_exist() -> None:
    with pytest.raises(ArgumentError, match=r"no builder 'tensorflow': expected auto or one of tensorrt, tensorrt-rtx"):
        choose_builder(find_target("l4", None), "fp32", "tensorflow", None)


def test_a_gpu_that_is_too_old_for_tensorrt(installed: Callable[..., None]) -> None:
    installed("tensorrt", "tensorrt_rtx")
    volta = Gpu("Tesla V100", "7.0")
    with pytest.raises(ArgumentError, match=r"for local \(Tesla V100, .* 7\.0\): none of the builders .*ONNX Runtime"):
        choose_builder(find_target("local", volta), "fp32", "auto", volta)
