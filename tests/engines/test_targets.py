"""The targets file, finding a target, and precisions that a GPU does not have."""

import pytest

from maskrt.engines.flavors import FLAVORS
from maskrt.engines.gpu import Gpu
from maskrt.engines.onnx_model import PRECISIONS
from maskrt.engines.targets import LOCAL, check_precision, find_target, target_names
from maskrt.runtime import ArgumentError

HERE = Gpu("NVIDIA GeForce RTX 4070", "8.9")


@pytest.mark.parametrize("name", target_names())
def test_every_target_is_complete(name: str) -> None:
    target = find_target(name, HERE)
    assert target.name == name
    assert target.gpu
    assert set(target.precisions) <= set(PRECISIONS)
    assert set(target.flavors) <= set(FLAVORS)
    assert all(set(precisions) <= set(target.precisions) for precisions in target.flavors.values())
    assert bool(target.flavors) != bool(target.note)
    assert target.workspace_mib >= 1024
    assert target.max_batch >= 1
    major, minor = map(int, target.compute_capability.split("."))
    assert ("fp8" in target.precisions) == ((major, minor) >= (8, 9))


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        *(("jetson-xavier", "7.2"), ("jetson-orin", "8.7"), ("t4", "7.5"), ("a10", "8.6"), ("l4", "8.9")),
        *(("rtx3090", "8.6"), ("rtx4090", "8.9"), ("rtx5090", "12.0"), ("a100", "8.0"), ("h100", "9.0")),
    ],
)
def test_named_targets(name: str, capability: str) -> None:
    assert find_target(name, None).compute_capability == capability


def test_tensorrt_rtx_knows_the_compute_capabilities_it_is_listed_for() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    for name in target_names():
        target = find_target(name, HERE)
        known = hasattr(trt.ComputeCapability, f"SM{target.compute_capability.replace('.', '')}")
        assert known == ("tensorrt-rtx" in target.flavors), name


def test_unknown_target_lists_the_known_ones_and_the_closest() -> None:
    with pytest.raises(ArgumentError, match=r"no target 'RTX-4090'.*Did you mean rtx4090\?.*jetson-orin.*h100"):
        find_target("RTX-4090", None)
    with pytest.raises(ArgumentError, match=r"no target 'xyz'") as caught:
        find_target("xyz", None)
    assert "Did you mean" not in str(caught.value)


def test_local_is_the_gpu_of_this_machine() -> None:
    target = find_target(LOCAL, HERE)
    assert (target.gpu, target.compute_capability) == (HERE.name, "8.9")
    assert "fp8" in target.precisions


def test_local_without_a_gpu() -> None:
    with pytest.raises(ArgumentError, match=r"no GPU or no driver here.*--target.*rtx4090"):
        find_target(LOCAL, None)


def test_local_gpu_that_is_not_known() -> None:
    with pytest.raises(ArgumentError, match=r"GTX 1080 has compute capability 6.1; .*8.9.*ONNX Runtime"):
        find_target(LOCAL, Gpu("GTX 1080", "6.1"))


def test_precision_that_the_gpu_does_not_have() -> None:
    with pytest.raises(ArgumentError, match=r"t4 .*7\.5.* has no fp8; it has fp32, fp16, int8.*rtx4090, h100, rtx5090"):
        check_precision(find_target("t4", None), "fp8")
    check_precision(find_target("t4", None), "int8")
    check_precision(find_target("l4", None), "fp8")
