"""The targets file, finding a target, and precisions that a GPU does not have."""

import json
from pathlib import Path

import pytest

from maskrt.contract.precision import PRECISIONS
from maskrt.engines import targets
from maskrt.engines.builders.registry import builders_for
from maskrt.engines.builders.tensorrt.builder import TENSORRT_RTX
from maskrt.engines.gpu import Gpu
from maskrt.engines.targets import LOCAL, GpuTarget, at_least, check_precision, find_target, target_names
from maskrt.runtime import ArgumentError

HERE = Gpu("NVIDIA GeForce RTX 4070", "8.9")


# What TensorRT 10 and 11 and TensorRT-RTX 1.7 build for each compute capability.
FP = ("fp32", "fp16")
SUPPORTED: dict[str, dict[str, tuple[str, ...]]] = {
    "7.2": {},
    "7.5": {"tensorrt": (*FP, "int8"), "tensorrt-rtx": ("fp16", "int8")},
    "8.0": {"tensorrt": (*FP, "int8"), "tensorrt-rtx": (*FP, "int8")},
    "8.6": {"tensorrt": (*FP, "int8"), "tensorrt-rtx": (*FP, "int8")},
    "8.7": {"tensorrt": (*FP, "int8")},
    "8.9": {"tensorrt": (*FP, "int8", "fp8"), "tensorrt-rtx": (*FP, "int8", "fp8")},
    "9.0": {"tensorrt": (*FP, "int8", "fp8")},
    "12.0": {"tensorrt": (*FP, "int8", "fp8"), "tensorrt-rtx": (*FP, "int8", "fp8")},
    "12.1": {"tensorrt": (*FP, "int8", "fp8"), "tensorrt-rtx": (*FP, "int8", "fp8")},
}


def find_gpu(name: str, gpu: Gpu | None = None) -> GpuTarget:
    target = find_target(name, gpu)
    assert isinstance(target, GpuTarget)
    return target


GPUS = [name for name in target_names() if isinstance(find_target(name, HERE), GpuTarget)]


@pytest.mark.parametrize("name", target_names())
def test_every_target_is_complete(name: str) -> None:
    target = find_target(name, HERE)
    assert target.name == name
    assert target.device
    assert target.precisions
    assert set(target.precisions) <= set(PRECISIONS)
    assert bool(builders_for(target)) != bool(target.note)


@pytest.mark.parametrize("name", GPUS)
def test_every_gpu_is_complete(name: str) -> None:
    target = find_gpu(name, HERE)
    assert target.workspace_mib >= 1024
    assert target.max_batch >= 1
    assert ("fp8" in target.precisions) == at_least(target.compute_capability, "8.9")
    supported = {builder.name: builder.precisions(target) for builder in builders_for(target)}
    assert supported == SUPPORTED[target.compute_capability]


def test_compute_capabilities_are_numbers_and_not_text() -> None:
    assert at_least("10.0", "9.0") and at_least("8.10", "8.9") and at_least("8.9", "8.9")
    assert not at_least("8.6", "8.9") and not at_least("7.5", "12.0")


def test_a_new_gpu_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its precisions and its builder follow from its compute capability, known here before or not."""
    known = json.loads(targets._FILE.read_text())
    known["b200"] = {"gpu": "B200", "compute_capability": "10.0", "workspace_mib": 8192, "max_batch": 8}
    (tmp_path / "targets.json").write_text(json.dumps(known))
    monkeypatch.setattr(targets, "_FILE", tmp_path / "targets.json")
    targets._targets.cache_clear()
    try:
        assert find_gpu("b200").precisions == (*FP, "int8", "fp8")
        assert [builder.name for builder in builders_for(find_target("b200", None))] == ["tensorrt"]
        with pytest.raises(ArgumentError, match=r"or build for .*b200"):
            check_precision(find_target("t4", None), "fp8")
    finally:
        targets._targets.cache_clear()


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        *(("jetson-xavier", "7.2"), ("jetson-orin", "8.7"), ("t4", "7.5"), ("a10", "8.6"), ("l4", "8.9")),
        *(("rtx3090", "8.6"), ("rtx4090", "8.9"), ("rtx5090", "12.0"), ("a100", "8.0"), ("h100", "9.0")),
    ],
)
def test_named_targets(name: str, capability: str) -> None:
    assert find_gpu(name).compute_capability == capability


def test_tensorrt_rtx_knows_the_compute_capabilities_it_is_listed_for() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    for name in GPUS:
        target = find_gpu(name, HERE)
        known = hasattr(trt.ComputeCapability, f"SM{target.compute_capability.replace('.', '')}")
        assert known == (TENSORRT_RTX in builders_for(target)), name


def test_unknown_target_lists_the_known_ones_and_the_closest() -> None:
    with pytest.raises(ArgumentError, match=r"no target 'RTX-4090'.*Did you mean rtx4090\?.*jetson-orin.*h100"):
        find_target("RTX-4090", None)
    with pytest.raises(ArgumentError, match=r"no target 'xyz'") as caught:
        find_target("xyz", None)
    assert "Did you mean" not in str(caught.value)


def test_local_is_the_gpu_of_this_machine() -> None:
    target = find_gpu(LOCAL, HERE)
    assert (target.device, target.compute_capability) == (HERE.name, "8.9")
    assert "fp8" in target.precisions


def test_local_without_a_gpu() -> None:
    with pytest.raises(ArgumentError, match=r"no GPU or no driver here.*--target.*rtx4090"):
        find_target(LOCAL, None)


def test_local_gpu_that_is_too_old() -> None:
    with pytest.raises(ArgumentError, match=r"GTX 1080 has compute capability 6.1; .*7\.0 and newer.*ONNX Runtime"):
        find_target(LOCAL, Gpu("GTX 1080", "6.1"))


def test_precision_that_the_gpu_does_not_have() -> None:
    with pytest.raises(ArgumentError, match=r"t4 .*7\.5.* has no fp8; it has fp32, fp16, int8.*rtx4090, h100, rtx5090"):
        check_precision(find_target("t4", None), "fp8")
    check_precision(find_target("t4", None), "int8")
    check_precision(find_target("l4", None), "fp8")
