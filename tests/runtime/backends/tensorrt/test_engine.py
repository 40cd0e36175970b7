"""Opening an engine: what is checked, in which order, and what is said where something does not fit."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import maskrt
from maskrt.contract.manifest import manifest_path
from maskrt.runtime import DependencyError, ModelError, Segmenter

WriteModel = Callable[..., Path]
WriteEngine = Callable[..., Path]
Install = Callable[..., Any]


def test_the_plugins_come_before_the_engine(engine_file: Path, machine: Any) -> None:
    Segmenter(engine_file)
    assert machine.log == [
        ("load plugins", "tensorrt", "registry of tensorrt"),
        ("deserialize", engine_file.stat().st_size),
    ]


def test_engines_opened_at_the_same_time(engine_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT has one log and one plugin registry in a process: one thread at a time sees to them."""
    from maskrt.runtime.backends.tensorrt import engine as tensorrt_engine

    loading, most = [0], [0]

    def load_plugins(trt: Any) -> None:
        loading[0] += 1
        most[0] = max(most[0], loading[0])
        time.sleep(0.01)
        loading[0] -= 1

    monkeypatch.setattr(tensorrt_engine, "load_plugins", load_plugins)
    with ThreadPoolExecutor(4) as pool:
        segmenters = list(pool.map(Segmenter, [engine_file] * 4))
    assert len(segmenters) == 4
    assert most == [1]


def test_no_driver_no_gpu_old_driver(engine_file: Path, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.driver = 0
    with pytest.raises(ModelError, match=r"no NVIDIA driver.*run the ONNX file"):
        Segmenter(engine_file)
    machine.driver = 12040
    with pytest.raises(ModelError, match=r'supports CUDA 12\.4, .* need 13\.0.*pip install "cuda-bindings<13"'):
        Segmenter(engine_file)
    machine.driver, machine.gpus = 13000, []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    message = r"the driver finds none on this machine \(CUDA_VISIBLE_DEVICES is '7'\)\. Run the ONNX file"
    with pytest.raises(ModelError, match=message):
        Segmenter(engine_file)
    assert machine.log == []


def test_no_cuda_bindings(engine_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    message = r"cuda-bindings, which cannot be imported.*pip install cuda-bindings`"
    with pytest.raises(DependencyError, match=message):
        Segmenter(engine_file)


def test_another_gpu(write_model: WriteModel, write_engine: WriteEngine, machine: Any) -> None:
    with pytest.raises(ModelError, match=r"compute capability 9\.0\), but this GPU is NVIDIA Fake 4090 .*8\.9"):
        Segmenter(write_engine(write_model(), compute_capability="9.0", target="h100"))
    assert machine.log == []


def test_plugins_of_another_version(
    write_model: WriteModel, write_engine: WriteEngine, install: Install, machine: Any
) -> None:
    install()
    here = re.escape(maskrt.__version__)
    with pytest.raises(ModelError, match=rf"built with plugin library 0\.0\.9, but {here} is installed.*make plugins"):
        Segmenter(write_engine(write_model(), plugin_version="0.0.9"))
    assert machine.log == []


def test_plugins_compiled_with_a_newer_cuda(engine_file: Path, machine: Any) -> None:
    """cuda-bindings of CUDA 12 work with the driver, the static CUDA runtime of the library would not."""
    machine.driver = machine.runtime_version = 12040
    message = r"compiled with CUDA 13\.0, but the NVIDIA driver supports CUDA 12\.4.*an nvcc of CUDA 12: `make plugins`"
    with pytest.raises(ModelError, match=message):
        Segmenter(engine_file)
    assert machine.log == []
    machine.driver = 14010
    Segmenter(engine_file)


def test_no_plugins(engine_file: Path, machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from maskrt.plugins.loader import plugin_library
    from maskrt.runtime.backends.tensorrt import engine as tensorrt_engine

    monkeypatch.setattr(tensorrt_engine, "plugin_library", plugin_library)
    monkeypatch.setenv("MASKRT_PLUGINS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match=r"without its plugins: .*libmaskrt_plugins.so does not exist.*make plugins"):
        Segmenter(engine_file)
    assert machine.log == []


def test_damage_that_the_manifest_tells(engine_file: Path, machine: Any) -> None:
    engine_file.write_bytes(engine_file.read_bytes()[:-1])
    with pytest.raises(ModelError, match="truncated"):
        Segmenter(engine_file)
    assert machine.names() == ["load plugins"]
    manifest_path(engine_file).unlink()
    with pytest.raises(ModelError, match="has no manifest"):
        Segmenter(engine_file)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Assertion failed.\nNo such tag.", r"10.13.3.9 cannot load this engine: Assertion failed. No such tag\. If"),
        ("Error Code 2: OutOfMemory (Requested size was 9 bytes.)", "too little GPU memory .*9 bytes.*smaller --max"),
    ],
)
def test_damage_that_only_tensorrt_finds(engine_file: Path, machine: Any, reason: str, message: str) -> None:
    machine.failing["deserialize"] = reason
    with pytest.raises(ModelError, match=message) as caught:
        Segmenter(engine_file)
    assert "second error" not in str(caught.value)


def test_an_engine_with_other_tensors(write_model: WriteModel, write_engine: WriteEngine, install: Install) -> None:
    install()
    path = write_model()
    model = onnx.load(path)
    model.graph.input[3].name = "iou_threshold"
    onnx.save(model, path)
    with pytest.raises(
        ModelError, match=r"not the engine of a maskrt model: .*iou_threshold \(float32\).*maskrt engine"
    ):
        Segmenter(write_engine(path))
    with pytest.raises(ModelError, match=r"inputs and outputs are .*images \(int32\)"):
        Segmenter(write_engine(write_model(input_type=onnx.TensorProto.INT32), "other.engine"))


def test_the_dispatch_runtime_hands_on_to_the_lean_one(
    write_model: WriteModel, write_engine: WriteEngine, install: Install, machine: Any
) -> None:
    install("tensorrt_dispatch")
    onnx_file = write_model()
    engine = write_engine(onnx_file, version_compatible=True)
    Segmenter(engine)
    assert machine.log[0] == ("load_runtime", "libnvinfer_lean.so.10")
    assert machine.log[1] == ("load plugins", "tensorrt_dispatch", "registry of the lean runtime")
    machine.failing["load_runtime"] = True
    with pytest.raises(
        ModelError, match=r'lean runtime libnvinfer_lean.so.10, .*pip install "tensorrt-lean==10.13.3.9"'
    ):
        Segmenter(engine)


@pytest.fixture
def rtx(write_model: WriteModel, write_engine: WriteEngine, install: Install) -> Path:
    """An engine of the tiny model for the fake TensorRT-RTX."""
    install("tensorrt_rtx", "1.7.1.116")
    return write_engine(write_model(), builder="tensorrt-rtx", builder_version="1.7.1.116")


def test_tensorrt_rtx_compiles_a_shape_once_for_all_threads(rtx: Path, machine: Any) -> None:
    segmenter = Segmenter(rtx)
    start = threading.Barrier(4)

    def predict(width: int) -> int:
        start.wait(60)
        return len(segmenter.predict(np.zeros((64, width, 3), np.uint8)))

    with ThreadPoolExecutor(4) as pool:
        for widths in ([64] * 4, [96] * 4, [64] * 4):
            assert list(pool.map(predict, widths)) == [2] * 4
    assert [entry[1] for entry in machine.log if entry[0] == "compile"] == [(1, 64, 64, 3), (1, 64, 96, 3)]


def compiled(machine: Any) -> list[tuple[int, ...]]:
    """The shapes that kernels were compiled for since the last time."""
    shapes = [entry[1] for entry in machine.log if entry[0] == "compile"]
    machine.log.clear()
    return shapes


def predict_widths(engine: Path, *widths: int) -> None:
    segmenter = Segmenter(engine)
    for width in widths:
        assert len(segmenter.predict(np.zeros((64, width, 3), np.uint8))) == 2


def test_tensorrt_rtx_finds_the_kernels_of_the_process_before(rtx: Path, machine: Any) -> None:
    predict_widths(rtx, 64)
    assert compiled(machine) == [(1, 64, 64, 3)]
    (kept,) = rtx.parent.glob("model.*.kernels")
    before = kept.stat().st_mtime_ns, kept.read_bytes()
    predict_widths(rtx, 64, 64)
    assert compiled(machine) == []
    assert (kept.stat().st_mtime_ns, kept.read_bytes()) == before  # nothing new, nothing written
    predict_widths(rtx, 64, 96)
    assert compiled(machine) == [(1, 64, 96, 3)]
    machine.driver += 10  # another driver: a file of its own
    predict_widths(rtx, 64)
    assert compiled(machine) == [(1, 64, 64, 3)]
    assert len(list(rtx.parent.glob("model.*.kernels"))) == 2


@pytest.mark.parametrize("damage", ["cut off", "other bytes", "empty", "not taken"])
def test_damaged_kernels_are_compiled_again(rtx: Path, machine: Any, damage: str) -> None:
    predict_widths(rtx, 64)
    (kept,) = rtx.parent.glob("model.*.kernels")
    content = kept.read_bytes()
    kernels = b"[[], []]"
    kept.write_bytes(
        {
            "cut off": content[:-3],
            "other bytes": content[:-1] + b"?",
            "empty": b"",
            "not taken": hashlib.sha256(kernels).digest() + kernels,
        }[damage]
    )
    machine.log.clear()
    predict_widths(rtx, 64)
    assert compiled(machine) == [(1, 64, 64, 3)]
    assert kept.read_bytes() == content


@pytest.mark.filterwarnings("error")
def test_kernels_of_an_engine_in_a_folder_that_is_read_only(
    rtx: Path, machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They lie in the user's cache; where that cannot be written to either, it is said once, and the engine runs."""
    from maskrt.runtime.backends.tensorrt import kernel_cache

    cache = tmp_path / "cache"
    refused = [rtx.parent]

    def write(path: Path, content: bytes) -> None:
        if path.parent in refused:
            raise PermissionError(13, "Permission denied")
        path.write_bytes(content)

    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(kernel_cache, "write_in_one_step", write)
    predict_widths(rtx, 64)
    (kept,) = (cache / "maskrt" / "kernels").glob("model.*.kernels")
    machine.log.clear()
    predict_widths(rtx, 64)
    assert compiled(machine) == []
    refused.append(kept.parent)
    with pytest.warns(RuntimeWarning, match=r"cannot be kept: there is no writing to .* Each start compiles") as told:
        predict_widths(rtx, 96)
    assert len(told) == 1


def test_tensorrt_rtx_is_asked_before_a_capture(rtx: Path, machine: Any) -> None:
    machine.can_capture = False
    segmenter = Segmenter(rtx)
    segmenter.predict(np.zeros((64, 64, 3), np.uint8))
    with pytest.warns(RuntimeWarning, match="cannot be captured"):
        segmenter.predict(np.zeros((64, 64, 3), np.uint8))
    assert "begin capture" not in machine.names()


def test_the_fake_has_nothing_that_tensorrt_rtx_lacks(install: Callable[..., Any]) -> None:
    """What the runtime calls on the fake, it finds in the real package, too."""
    fake = install("tensorrt_rtx", "1.7.1.116")
    del sys.modules["tensorrt_rtx"]
    real = pytest.importorskip("tensorrt_rtx")
    kinds = [name for name, value in vars(fake).items() if isinstance(value, type)]
    assert "IExecutionContext" in kinds
    for kind in kinds:
        used = {name for name in vars(getattr(fake, kind)) if not name.startswith("_")}
        assert used <= set(dir(getattr(real, kind))), kind
    assert callable(real.nptype)
    assert callable(real.get_plugin_registry)


def test_the_log_of_the_real_package() -> None:
    """In a process of its own, without the fakes: TensorRT-RTX says why it does not take a file."""
    if importlib.util.find_spec("tensorrt_rtx_bindings") is None:
        pytest.skip("tensorrt_rtx is not installed")
    result = subprocess.run([sys.executable, "-c", REAL_LOG], capture_output=True, text=True, check=True, timeout=120)
    engine, reason, nothing_more = result.stdout.splitlines()
    assert engine == "None"
    assert "Serialization" in reason
    assert nothing_more == ""


REAL_LOG = """
import tensorrt_rtx
from maskrt.runtime.backends.tensorrt.engine import _log_of
log = _log_of(tensorrt_rtx)
print(tensorrt_rtx.Runtime(log).deserialize_cuda_engine(b"no engine" * 100))
print(log.take())
print(log.take())
"""
