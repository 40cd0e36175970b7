"""What a worker queues on the GPU: copies, graphs, contexts and memory, call by call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from maskrt.contract.tensors import make_feed
from maskrt.runtime import ArgumentError, ModelError
from maskrt.runtime.backends.base import Backend, Detections
from maskrt.runtime.backends.registry import open_backend
from maskrt.runtime.backends.tensorrt import worker
from maskrt.runtime.backends.tensorrt.worker import MAX_SHAPES

# The first copy is the canvas's, the second that of the other inputs.
ONE_BY_ONE = ["to device", "enqueue", "to host"]
RAN = ["ran"] * 4
# A context for the canvas, another to learn what the profile's largest one needs.
GROWN = ["create context", "create context", "cudaMalloc", "cudaMallocHost"]
FIRST_RUN = ["to device", *ONE_BY_ONE, "synchronize", *RAN]
CAPTURED_RUN = ["to device", "begin capture", *ONE_BY_ONE, "end capture", "launch graph", "synchronize", *RAN]
LATER_RUN = ["to device", "launch graph", "synchronize", *RAN]


@pytest.fixture
def engine(engine_file: Path) -> Backend:
    """The tiny model in the fake TensorRT."""
    return open_backend(engine_file)


@pytest.fixture
def reference(engine_file: Path) -> Backend:
    """The tiny model in ONNX Runtime."""
    return open_backend(engine_file.with_suffix(".onnx"), threads=1)


def run(backend: Backend, shape: tuple[int, ...], score: float = 0.5, images: Any = None) -> Detections:
    """A batch of canvases of this (batch, height, width)."""
    if images is None:
        images = np.zeros((*shape, 3), np.uint8)
    sizes = np.array([shape[1:]] * shape[0], np.int32) - 7
    return backend.run(make_feed(images, sizes, score, 0.5))


def assert_equal(found: Detections, expected: Detections) -> None:
    assert list(found.outputs) == list(expected.outputs)
    for name, one in found.outputs.items():
        np.testing.assert_array_equal(one, expected.outputs[name], err_msg=name)


def on_gpu(machine: Any, images: np.ndarray, stream: int | None = None) -> SimpleNamespace:
    """An array of another library; `address` is where it lies."""
    address = machine.device_array(images)
    interface = {"shape": images.shape, "typestr": images.dtype.str, "data": (address, False), "version": 3}
    return SimpleNamespace(address=address, __cuda_array_interface__={**interface, "stream": stream})


def calls(machine: Any) -> list[str]:
    """What was called since the last time."""
    names = machine.names()
    machine.log.clear()
    return names


def test_a_graph_from_the_second_run_on(engine: Backend, reference: Backend, machine: Any) -> None:
    run(engine, (1, 64, 64))
    assert calls(machine)[2:] == [*GROWN, "cudaMallocHost", *FIRST_RUN]
    for expected, score in ((CAPTURED_RUN, 0.1), (LATER_RUN, 0.7), (LATER_RUN, 0.2)):
        assert_equal(run(engine, (1, 64, 64), score), run(reference, (1, 64, 64), score))
        assert calls(machine) == expected


def test_known_shapes_allocate_nothing(engine: Backend, reference: Backend, machine: Any) -> None:
    shapes = [(1, 64, 96), (2, 32, 64), (1, 96, 64)]
    for shape in shapes * 3:  # the memory grows in the first round, graphs are captured in the third
        run(engine, shape)
    calls(machine)
    with machine.no_allocation():
        for score in (0.1, 0.7):
            for shape in shapes:
                assert_equal(run(engine, shape, score), run(reference, shape, score))
                assert calls(machine) == LATER_RUN


def test_the_copies(engine: Backend, machine: Any) -> None:
    """One for the canvas, one for the other inputs, one for all outputs; each tensor padded to 256 bytes."""
    run(engine, (2, 64, 64))
    boxes, masks = 256, 256 * -(-2 * 3 * 28 * 28 * 4 // 256)
    assert [entry for entry in machine.log if entry[0].startswith("to ")] == [
        ("to device", 2 * 64 * 64 * 3),
        ("to device", 3 * 256),
        ("to host", 3 * 256 + boxes + masks),
    ]


def test_a_larger_batch_drops_what_used_the_old_memory(engine: Backend, reference: Backend, machine: Any) -> None:
    for shape in [(1, 64, 64)] * 3:
        run(engine, shape)
    calls(machine)
    assert_equal(run(engine, (4, 128, 128)), run(reference, (4, 128, 128)))
    grown = [*GROWN[:2], "cudaFree", "cudaFreeHost", *GROWN[2:]]
    assert calls(machine) == [*grown, "cudaFreeHost", "cudaMallocHost", *FIRST_RUN]
    assert not machine.executables
    for expected in (["create context", *FIRST_RUN], CAPTURED_RUN, LATER_RUN):
        assert_equal(run(engine, (1, 64, 64), 0.1), run(reference, (1, 64, 64), 0.1))
        assert calls(machine) == expected


def test_larger_canvases_find_room(engine: Backend, reference: Backend, machine: Any) -> None:
    """What the profile's largest canvas needs is there from the first run on; no context is dropped."""
    shapes = [(1, 32, 32), (1, 512, 64), (1, 256, 512), (1, 512, 512)]
    for shape in shapes:
        assert_equal(run(engine, shape), run(reference, shape))
    assert machine.names().count("cudaMalloc") == 1
    calls(machine)
    for shape in shapes:
        run(engine, shape)
        assert calls(machine) == CAPTURED_RUN


def test_where_the_largest_canvas_finds_no_room(engine: Backend, reference: Backend, machine: Any) -> None:
    """A GPU with little memory runs the canvases that it can."""
    machine.total = 1 << 20
    for shape in [(1, 64, 64), (1, 96, 96), (1, 64, 64)]:
        assert_equal(run(engine, shape), run(reference, shape))
    assert machine.names().count("cudaMalloc") == 2
    with pytest.raises(ModelError, match=r"a batch of 1 canvases of 512x512 pixels needs 4 MB of GPU memory"):
        run(engine, (1, 512, 512))
    assert_equal(run(engine, (1, 64, 64)), run(reference, (1, 64, 64)))


def test_the_cache_is_bounded(
    engine: Backend, reference: Backend, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not used for longest goes first."""
    most = 16
    assert MAX_SHAPES > 50  # the canvases of 800 x 1333
    monkeypatch.setattr(worker, "MAX_SHAPES", most)
    shapes = [(1, 32 * height, 32 * width) for height in range(1, 6) for width in range(1, 6)]
    for shape in [shapes[0], *shapes] * 2:
        assert_equal(run(engine, shape), run(reference, shape))
        run(engine, shape)
    assert len(machine.executables) == most
    calls(machine)
    first, second, *others = shapes[-most:]
    run(engine, first)
    assert calls(machine) == LATER_RUN
    run(engine, shapes[0])  # in place of the second, which now is the one unused for longest
    assert calls(machine) == ["create context", *FIRST_RUN]
    for shape in (*others, first):
        run(engine, shape)
        assert calls(machine) == LATER_RUN
    run(engine, second)
    assert calls(machine) == ["create context", *FIRST_RUN]


def test_images_on_the_gpu_run_from_the_graph(engine: Backend, reference: Backend, machine: Any) -> None:
    """Wherever they lie: they are copied to where the graph reads them, on the GPU."""
    first, second = (np.full((1, 64, 64, 3), grey, np.uint8) for grey in (3, 4))
    here, there = on_gpu(machine, first), on_gpu(machine, second)
    run(engine, (1, 64, 64))
    used = machine.used()
    calls(machine)
    for images, expected in [(here, CAPTURED_RUN), (there, LATER_RUN), (here, LATER_RUN), (None, LATER_RUN)]:
        assert_equal(run(engine, (1, 64, 64), 0.2, images), run(reference, (1, 64, 64), 0.2))
        copied = expected if images is None else ["wait", "on device", *expected[1:], "ran"]
        assert calls(machine) == copied
    assert machine.used() == used


def test_what_lies_on_the_gpu_is_what_the_engine_sees(
    write_model: Callable[..., Path], write_engine: Callable[..., Path], install: Callable[..., Any], machine: Any
) -> None:
    install()
    engine = open_backend(write_engine(brightness_model(write_model)))
    for grey in (3, 4, 5, 6):
        images = on_gpu(machine, np.full((1, 64, 64, 3), grey, np.uint8))
        assert run(engine, (1, 64, 64), images=images).scores[0, 0] == grey
        assert run(engine, (1, 64, 64), images=np.full((1, 64, 64, 3), 9, np.uint8)).scores[0, 0] == 9


def test_images_on_the_gpu_that_tensorrt_cannot_read(engine: Backend, machine: Any) -> None:
    array = on_gpu(machine, np.zeros((2, 64, 64, 3), np.uint8))
    for changed, message in [
        ({"strides": (24576, 384, 3, 1)}, "must be contiguous"),
        ({"typestr": "<f4"}, "takes images of uint8"),
        ({"shape": (64, 64, 3)}, "takes images of uint8"),
    ]:
        interface = {**array.__cuda_array_interface__, "shape": (1, 64, 64, 3), **changed}
        images = SimpleNamespace(__cuda_array_interface__=interface)
        with pytest.raises(ArgumentError, match=message):
            run(engine, (1, 64, 64), images=images)
    assert "enqueue" not in machine.names()


def test_images_on_the_gpu_wait_for_their_stream(
    write_model: Callable[..., Path],
    write_engine: Callable[..., Path],
    install: Callable[..., Any],
    machine: Any,
    fake_cuda: Any,
) -> None:
    """What another library has queued on its stream is done before the engine reads the images."""
    install()
    engine = open_backend(write_engine(brightness_model(write_model)))
    for stream in (None, machine.new_stream()):
        images = on_gpu(machine, np.zeros((1, 64, 64, 3), np.uint8), stream)
        for grey in (200, 90, 210, 80):

            def paint(grey: int = grey, address: int = images.address) -> None:
                machine.read(address, 64 * 64 * 3, fake_cuda.cudaMemoryType.cudaMemoryTypeDevice)[:] = grey

            machine.queue(stream or fake_cuda.LEGACY_DEFAULT_STREAM, fake_cuda.Operation("paint", paint))
            assert run(engine, (1, 64, 64), images=images).scores[0, 0] == np.float32(grey)


def brightness_model(write_model: Callable[..., Path]) -> Path:
    """The tiny model, but its scores are the grey level of the first pixel."""
    import onnx
    from onnx import helper, numpy_helper

    path = write_model("brightness.onnx")
    model = onnx.load(path)
    for node in model.graph.node:
        node.input[:] = ["first_grey" if name == "all_scores" else name for name in node.input]
    size = numpy_helper.from_array(np.array([1, 3]), "one_by_three")
    model.graph.initializer.append(size)
    flat = [
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("Cast", ["flat"], ["flat_float"], to=1),
        helper.make_node("Slice", ["flat_float", "zero", "three", "one"], ["first_pixel"]),
        helper.make_node("Reshape", ["first_pixel", "one_by_three"], ["first_grey"]),
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.array([3]), "three"))
    nodes = [*flat, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    return path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("refused_by", ["TensorRT", "cudaGraphInstantiate"])
def test_without_graphs_it_still_runs(
    engine: Backend, reference: Backend, machine: Any, fake_cuda: Any, refused_by: str
) -> None:
    if refused_by == "TensorRT":
        machine.can_capture = False
    else:
        machine.failing[refused_by] = fake_cuda.cudaError_t.cudaErrorInvalidValue
    run(engine, (1, 64, 64))
    with pytest.warns(RuntimeWarning, match=r"model\.engine cannot be captured in a CUDA graph\. Its kernels"):
        assert_equal(run(engine, (1, 64, 64)), run(reference, (1, 64, 64)))
    calls(machine)
    for score in (0.1, 0.7):
        assert_equal(run(engine, (1, 64, 64), score), run(reference, (1, 64, 64), score))
        assert calls(machine) == FIRST_RUN
    assert not machine.graphs
    assert not machine.executables


def test_a_failed_run_counts_for_nothing(engine: Backend, reference: Backend, machine: Any) -> None:
    """The context never ran at this shape, so that the next run is no repetition that could be captured."""
    machine.failing["execute_async_v3"] = "out of luck"
    for _ in range(2):
        with pytest.raises(ModelError, match="out of luck"):
            run(engine, (1, 64, 64))
        assert "begin capture" not in machine.names()
    machine.failing.clear()
    calls(machine)
    for expected in (FIRST_RUN, CAPTURED_RUN, LATER_RUN):
        assert_equal(run(engine, (1, 64, 64)), run(reference, (1, 64, 64)))
        assert calls(machine) == expected


def test_a_failed_run_in_between(
    write_model: Callable[..., Path], write_engine: Callable[..., Path], install: Callable[..., Any], machine: Any
) -> None:
    """One that was to be captured: the engine then goes on without a graph."""
    install()
    engine = open_backend(write_engine(brightness_model(write_model)))
    images = np.full((1, 64, 64, 3), 3, np.uint8)
    run(engine, (1, 64, 64), images=images)
    machine.failing["execute_async_v3"] = "out of luck"
    with pytest.raises(ModelError, match="out of luck"), pytest.warns(RuntimeWarning, match="cannot be captured"):
        run(engine, (1, 64, 64), images=images)
    machine.failing.clear()
    for _ in range(3):
        assert run(engine, (1, 64, 64), images=images).scores[0, 0] == 3
