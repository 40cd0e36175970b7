"""The pinned requirements of an edge package."""

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from maskrt.contract.manifest import Manifest
from maskrt.engines import EngineError
from maskrt.engines.package.contents import Contents, onnx_contents
from maskrt.engines.package.needs import ONNX_NEEDS, ONNX_RUNTIME, PILLOW, RUNTIME, Needs
from maskrt.engines.package.tensorrt import CUDA, requirements
from maskrt.runtime.backends.tensorrt.manifest import TensorRtSettings

from ...support.pipelines import pipeline_of

CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"


def test_the_versions_are_those_of_the_tests() -> None:
    """What a device gets is what constraints.txt pins here; Python 3.10 has pins of its own."""
    tested = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    pins = [line for line in (*RUNTIME, *PILLOW, *ONNX_RUNTIME, *CUDA[13]) if 'python_version < "3.11"' not in line]
    assert len(pins) == 5
    for line in pins:
        name, version = line.partition(";")[0].split("==")
        assert tested[name] == version


def test_every_package_has_one_version_for_each_python() -> None:
    for lines in (RUNTIME, PILLOW, ONNX_RUNTIME, *CUDA.values()):
        names = [re.split("==|;", line)[0] for line in lines]
        for name in names:
            markers = {line.partition("; ")[2] for line in lines if line.startswith(f"{name}==")}
            assert markers in ({""}, {'python_version >= "3.11"', 'python_version < "3.11"'})


@pytest.mark.parametrize(
    ("changes", "cuda", "expected"),
    [
        ({}, 13000, "tensorrt-cu13==10.13.3.9"),
        ({}, 12080, "tensorrt-cu12==10.13.3.9"),
        ({"version_compatible": True}, 13000, "tensorrt-lean-cu13==10.13.3.9"),
        ({"builder": "tensorrt-rtx", "builder_version": "1.7.1.116"}, 13000, "tensorrt-rtx-cu13==1.7.1.116"),
        ({"compute_capability": "8.7", "builder_version": "10.3.0"}, 12060, "# TensorRT 10.3.0 comes with JetPack."),
    ],
)
def test_tensorrt(build_inputs: Callable[..., Any], changes: dict, cuda: int, expected: str) -> None:
    lines = of_engine(build_inputs(**changes), cuda)
    assert lines[-1] == expected
    assert [line for line in lines if line.startswith("cuda-bindings")] == list(CUDA[cuda // 1000])
    assert not [line for line in lines if line.startswith("onnxruntime")]


def of_engine(build: Any, cuda: int) -> tuple[str, ...]:
    return requirements(Manifest({}, build, (), (), {}, {}), TensorRtSettings.of(build.settings), cuda)


def test_the_whole_file() -> None:
    assert Contents({}, ONNX_NEEDS).requirements.splitlines() == [*RUNTIME, *ONNX_RUNTIME]
    engine = Needs(("tensorrt-cu13==10.13.3.9",), ())
    assert Contents({}, engine).requirements.splitlines() == [*RUNTIME, "tensorrt-cu13==10.13.3.9"]
    with_onnx = Contents({}, engine, onnx="model.onnx").requirements.splitlines()
    assert with_onnx == [*RUNTIME, *ONNX_RUNTIME, "tensorrt-cu13==10.13.3.9"]


@pytest.mark.parametrize(("framework", "expected"), [("detectron2", PILLOW), ("mmdet", ())])
def test_what_images_are_resized_with(
    write_model: Callable[..., Path], framework: str, expected: tuple[str, ...]
) -> None:
    contents = onnx_contents(write_model(pipeline=asdict(pipeline_of(framework))))
    assert contents.requirements.splitlines() == [*RUNTIME, *expected, *ONNX_RUNTIME]


def test_a_cuda_that_nobody_knows(build_inputs: Callable[..., Any]) -> None:
    with pytest.raises(EngineError, match=r"compiled with CUDA 14, .* for CUDA 12 and 13\. Run `make plugins`"):
        of_engine(build_inputs(), 14010)
