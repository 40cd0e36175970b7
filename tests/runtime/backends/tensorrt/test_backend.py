"""Segmenter on engines, with a fake TensorRT (see fakes/) that runs the ONNX file on a fake GPU's memory."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from maskrt.runtime import ArgumentError, Instances, ModelError, Segmenter
from maskrt.runtime.transforms.canvas import Batch, Frames

Both = tuple[Segmenter, Segmenter]


def image_of(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, dtype=np.uint8)


def canvas(batch: int, height: int, width: int, dtype: type = np.uint8) -> Batch:
    """Images that fill a canvas."""
    sizes = [(height, width)] * batch
    images = [np.zeros((height, width, 3), np.uint8)] * batch
    frames = Frames(images, sizes, (batch, height, width, 3), np.dtype(dtype), "bilinear")
    return Batch(frames, np.array(sizes, np.int32), sizes)


def records(instances: Instances | list[Instances]) -> list[Any]:
    found = [instances] if isinstance(instances, Instances) else instances
    return [one.to_coco(1) for one in found]


@pytest.fixture
def both(engine_file: Path) -> Both:
    """The tiny model from its engine, and from its ONNX file."""
    return Segmenter(engine_file), Segmenter(engine_file.with_suffix(".onnx"), threads=1)


@pytest.mark.parametrize(
    ("title", "builder", "module", "version"),
    [("TensorRT", "tensorrt", "tensorrt", "10.13.3.9"), ("TensorRT-RTX", "tensorrt-rtx", "tensorrt_rtx", "1.7.1.116")],
)
@pytest.mark.parametrize(
    ("input_type", "masks"), [(TensorProto.UINT8, True), (TensorProto.FLOAT, True), (TensorProto.UINT8, False)]
)
def test_the_same_instances_as_from_the_onnx_file(
    write_model: Callable[..., Path],
    write_engine: Callable[..., Path],
    install: Callable[..., Any],
    title: str,
    builder: str,
    module: str,
    version: str,
    input_type: int,
    masks: bool,
) -> None:
    install(module, version)
    onnx = write_model(input_type=input_type, masks=masks)
    engine = Segmenter(write_engine(onnx, builder=builder, builder_version=version))
    reference = Segmenter(onnx, threads=1)
    assert engine.metadata == reference.metadata
    assert engine.input_dtype == reference.input_dtype
    assert engine.providers == (f"{title} {version} on NVIDIA Fake 4090",)
    for _ in range(3):
        for images in (image_of(30, 50), [image_of(60, 40), image_of(90, 20)], image_of(128, 128)):
            for threshold in (0.1, 0.7):
                found = engine.predict(images, score_threshold=threshold)
                assert records(found) == records(reference.predict(images, score_threshold=threshold))


def test_results_stay_when_the_next_image_is_run(both: Both) -> None:
    first = both[0].infer(canvas(1, 64, 64))
    before = {name: array.copy() for name, array in first.outputs.items()}
    both[0].infer(canvas(1, 96, 64), score_threshold=0.95)
    for name, array in first.outputs.items():
        np.testing.assert_array_equal(array, before[name])


def test_eight_threads(both: Both, machine: Any, rng: np.random.Generator) -> None:
    engine, reference = both
    images = [image_of(*rng.integers(8, 129, 2)) for _ in range(40)]
    expected = [records(reference.predict(image)) for image in images]
    start = threading.Barrier(8)

    def predict(first: int) -> list[Any]:
        start.wait(60)
        return [records(engine.predict(image)) for image in images[first:] + images[:first]]

    with ThreadPoolExecutor(8) as pool:
        for first, found in enumerate(pool.map(predict, range(8))):
            assert found == expected[first:] + expected[:first]
    assert 2 < len(machine.streams) <= 1 + 8 + 8  # the default stream, the engine's, those that masks are pasted on


def test_a_segmenter_that_is_warm(engine_file: Path, machine: Any) -> None:
    """The first image of a shape that it was told of allocates nothing, and runs from a graph."""
    segmenter = Segmenter(engine_file, warm_up=[(1, 64, 64), (2, 60, 96)])
    machine.log.clear()
    with machine.no_allocation():
        for images in ([image_of(64, 64)], [image_of(60, 96)] * 2):
            batch = segmenter.preprocess(images)
            segmenter.infer(batch)
            assert machine.names().count("launch graph") == 1
            machine.log.clear()


def test_warming_up_for_what_the_engine_does_not_take(engine_file: Path) -> None:
    with pytest.raises(ArgumentError, match=r"A batch of 9x64x64 .* does not fit"):
        Segmenter(engine_file, warm_up=[(9, 64, 64)])


def test_threads_one_after_the_other_share_a_worker(both: Both, machine: Any) -> None:
    for _ in range(2):
        both[0].predict(image_of(64, 64))
    machine.log.clear()
    with machine.no_allocation(), ThreadPoolExecutor(1) as pool:
        pool.submit(both[0].predict, image_of(64, 64)).result(60)
    assert "launch graph" in machine.names()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_in_the_middle(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither blocks the others nor spoils their results."""
    from maskrt.runtime.backends.tensorrt.worker import Execution

    engine, reference = both

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Execution, "copy_outputs", die)
        thread = threading.Thread(target=engine.predict, args=(image_of(64, 64),))
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert records(engine.predict(image_of(64, 64))) == records(reference.predict(image_of(64, 64)))


def test_memory_is_freed_with_the_segmenter(engine_file: Path, machine: Any, fake_cuda: ModuleType) -> None:
    segmenter = Segmenter(engine_file)
    for _ in range(2):
        segmenter.predict([image_of(64, 64)] * 3)
    segmenter.predict(image_of(64, 128))
    host = fake_cuda.cudaMemoryType.cudaMemoryTypeHost
    assert machine.used() > 0
    assert machine.used(host) > 0
    assert machine.executables
    del segmenter
    gc.collect()
    assert machine.used() == machine.used(host) == 0
    assert list(machine.streams) == [fake_cuda.LEGACY_DEFAULT_STREAM]
    assert not machine.events
    assert "misuse" not in machine.names()  # graphs go before their contexts
    assert not machine.graphs
    assert not machine.executables


def test_input_outside_of_the_profile(both: Both) -> None:
    engine, _ = both
    message = (
        r"batch of 9x64x64 .* does not fit .*model\.engine: its profile goes from 1x32x32 to 8x512x512, in multiples "
        r"of 32 pixels.*`maskrt infer --tile 512x512`.*resize.*at most 8 at a time.*maskrt engine --max 9x64x64"
    )
    with pytest.raises(ArgumentError, match=message):
        engine.predict([image_of(64, 64)] * 9)
    for shape in ((1, 544, 64), (1, 64, 544), (1, 40, 64), (1, 0, 64)):
        with pytest.raises(ArgumentError, match="does not fit"):
            engine.infer(canvas(*shape))
    with pytest.raises(ArgumentError, match=r"takes images of uint8 \[batch, .*\].*float32 \[1, 64, 64, 3\]"):
        engine.infer(canvas(1, 64, 64, np.float32))
    batch = canvas(1, 64, 64)
    with pytest.raises(ArgumentError, match=r"image_sizes \[batch, 2\], but got .* \[2, 2\]"):
        engine.infer(batch._replace(image_sizes=np.repeat(batch.image_sizes, 2, 0)))


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("cudaMalloc", "1 MB of GPU memory, but 1 of 1 MB are free"),
        ("cudaMallocHost", "0 MB of pinned host memory, but the system has"),
    ],
)
def test_out_of_memory_and_after(both: Both, machine: Any, fake_cuda: ModuleType, call: str, kind: str) -> None:
    engine, reference = both
    small, large = image_of(64, 64), [image_of(64, 128)] * 8
    engine.predict(small)
    if call == "cudaMalloc":
        machine.total = 700_000
    else:
        machine.failing[call] = fake_cuda.cudaError_t.cudaErrorMemoryAllocation
    message = rf"batch of 8 canvases of 64x128 pixels needs {kind}.*smaller batch.*maskrt engine --max"
    with pytest.raises(ModelError, match=message):
        engine.predict(large)
    machine.failing.clear()
    assert records(engine.predict(small)) == records(reference.predict(small))
    machine.total = 1 << 30
    assert records(engine.predict(large)) == records(reference.predict(large))


def test_calls_wait_for_each_other_where_memory_has_room_for_one(both: Both, machine: Any) -> None:
    """A second worker finds none; its call runs on the first, as do all later ones."""
    engine, reference = both
    expected = records(reference.predict(image_of(64, 64)))
    engine.predict(image_of(64, 64))
    machine.total = machine.used() + 10_000
    start = threading.Barrier(4)

    def predict(_: int) -> object:
        start.wait(60)
        return records(engine.predict(image_of(64, 64)))

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(predict, range(4))) == [expected] * 4
    assert engine._backend._workers == 1  # type: ignore[attr-defined]


def test_a_gpu_that_fails(both: Both, machine: Any, fake_cuda: ModuleType) -> None:
    machine.failing["cudaStreamSynchronize"] = fake_cuda.cudaError_t.cudaErrorIllegalAddress
    message = r"failed on the GPU: cudaStreamSynchronize: .*IllegalAddress.*Start the program"
    with pytest.raises(ModelError, match=message):
        both[0].predict(image_of(32, 32))


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Plugin failed with status 3.", r"TensorRT 10.13.3.9 failed to run: Plugin failed with status 3\. If this"),
        ("Requested amount of GPU memory (9 bytes) could not be allocated.", "too little GPU memory.*smaller --max"),
    ],
)
def test_an_engine_that_fails(both: Both, machine: Any, reason: str, message: str) -> None:
    engine, reference = both
    machine.failing["execute_async_v3"] = reason
    with pytest.raises(ModelError, match=message):
        engine.predict(image_of(64, 64))
    machine.failing.clear()
    assert records(engine.predict(image_of(64, 64))) == records(reference.predict(image_of(64, 64)))


def test_a_context_that_cannot_be_made(both: Both, machine: Any) -> None:
    machine.failing["create_execution_context"] = "no way"
    with pytest.raises(ModelError, match="cannot make an execution context: no way"):
        both[0].predict(image_of(32, 32))


def test_shapes_that_cannot_be_inferred(both: Both, machine: Any) -> None:
    machine.failing["infer_shapes"] = "IExecutionContext::inferShapes: Concat_7 has a negative dimension."
    message = r"cannot run images of shape \[1, 64, 64, 3\]: .*Concat_7 has a negative dimension\. If"
    with pytest.raises(ModelError, match=message):
        both[0].predict(image_of(32, 32))


def test_providers_are_onnx_runtimes(engine_file: Path) -> None:
    with pytest.raises(ArgumentError, match=r"providers is an option of ONNX Runtime, .*engine runs in TensorRT"):
        Segmenter(engine_file, providers=["CPUExecutionProvider"])


def test_the_current_device_of_the_caller(both: Both, machine: Any) -> None:
    """The engine stays on the GPU it was opened on, and the caller's choice is left as it is."""
    machine.gpus.append(("NVIDIA Other", (8, 9)))
    machine.cudaSetDevice(1)
    both[0].predict(image_of(64, 64))
    assert machine.cudaGetDevice()[1] == 1
    assert {memory.device for memory in machine.memory} == {0}
