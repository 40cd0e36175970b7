"""The pinned requirements of an edge package."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.engines import EngineError
from maskrt.engines.package.requirements import CUDA, ONNX_RUNTIME, RUNTIME, requirements

CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"


def test_the_versions_are_those_of_the_tests() -> None:
    """What a device gets is what constraints.txt pins here; Python 3.10 has pins of its own."""
    tested = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    pins = [line for line in (*RUNTIME, *ONNX_RUNTIME, *CUDA[13]) if 'python_version < "3.11"' not in line]
    assert len(pins) == 4
    for line in pins:
        name, version = line.partition(";")[0].split("==")
        assert tested[name] == version


def test_every_package_has_one_version_for_each_python() -> None:
    for lines in (RUNTIME, ONNX_RUNTIME, *CUDA.values()):
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
        ({"flavor": "tensorrt-rtx", "tensorrt_version": "1.7.1.116"}, 13000, "tensorrt-rtx-cu13==1.7.1.116"),
        ({"compute_capability": "8.7", "tensorrt_version": "10.3.0"}, 12060, "# TensorRT 10.3.0 comes with JetPack."),
    ],
)
def test_tensorrt(build_inputs: Callable[..., Any], changes: dict, cuda: int, expected: str) -> None:
    lines = requirements(build_inputs(**changes), cuda, with_onnx=False).splitlines()
    assert lines[-1] == expected
    assert [line for line in lines if line.startswith("cuda-bindings")] == list(CUDA[cuda // 1000])
    assert not [line for line in lines if line.startswith("onnxruntime")]


def test_onnx_alone() -> None:
    assert requirements(None, 0, with_onnx=True).splitlines() == [*RUNTIME, *ONNX_RUNTIME]


def test_a_cuda_that_nobody_knows(build_inputs: Callable[..., Any]) -> None:
    with pytest.raises(EngineError, match=r"compiled with CUDA 14, .* for CUDA 12 and 13\. Run `make plugins`"):
        requirements(build_inputs(), 14010, with_onnx=False)
