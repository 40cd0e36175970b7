"""Raw images on their way to the canvas on the GPU; the kernel's arithmetic is tested with the plugins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from maskrt.runtime import ArgumentError, DependencyError, ModelError, Segmenter
from maskrt.runtime.transforms.canvas import make_batch

from ....support.pipelines import pipeline_of


@pytest.fixture
def segmenter(engine_file: Path) -> Segmenter:
    return Segmenter(engine_file)


def random_images(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    return [rng.integers(0, 256, (*rng.integers(20, 150, 2), 3), dtype=np.uint8) for _ in range(count)]


def on_gpu(machine: Any, image: np.ndarray, stream: int | None = None) -> SimpleNamespace:
    interface = {"shape": image.shape, "typestr": image.dtype.str, "data": (machine.device_array(image), False)}
    return SimpleNamespace(shape=image.shape, __cuda_array_interface__={**interface, "stream": stream, "version": 3})


def canvas(machine: Any) -> np.ndarray:
    """What the engine was given last."""
    return next(entry[1] for entry in reversed(machine.log) if entry[0] == "resize")


@pytest.mark.parametrize("input_type", [TensorProto.UINT8, TensorProto.FLOAT])
def test_the_canvas_is_the_one_made_on_the_cpu(
    write_model: Callable[..., Path],
    write_engine: Callable[..., Path],
    install: Callable[..., Any],
    machine: Any,
    rng: np.random.Generator,
    input_type: int,
) -> None:
    """Also of images with other strides, of other sizes than before, and where some lie on the GPU already."""
    install()
    segmenter = Segmenter(write_engine(write_model(input_type=input_type)))
    for count in (1, 3, 2, 3):
        images = random_images(rng, count)
        images[-1] = images[-1][::-1, ::-1]
        expected = make_batch(images, segmenter.metadata.pipeline, segmenter.input_dtype).canvas
        for given in (images, [on_gpu(machine, images[0]), *images[1:]], [on_gpu(machine, image) for image in images]):
            segmenter.predict(given)
            np.testing.assert_array_equal(canvas(machine), expected)


def test_the_engine_runs_after_the_resizing_and_from_a_graph(
    segmenter: Segmenter, machine: Any, rng: np.random.Generator
) -> None:
    image = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
    for _ in range(2):
        segmenter.predict(image)
    machine.log.clear()
    with machine.no_allocation():
        segmenter.predict(image)
    assert [entry[:2] if entry[0] != "resize" else "resize" for entry in machine.log] == [
        ("to device", 64 * 80 * 3),
        "resize",
        ("launch graph",),
        ("synchronize",),
        *(("ran", name) for name in ("to device", "resize", "to device", "engine", "to host")),
    ]


def test_memory_for_larger_images(segmenter: Segmenter, machine: Any) -> None:
    """The old memory goes before the new one is asked for, and the engine's graph stays."""
    for _ in range(2):
        segmenter.predict(np.zeros((64, 64, 3), np.uint8))
    machine.log.clear()
    segmenter.predict(np.zeros((640, 640, 3), np.uint8))
    assert machine.names()[:6] == ["cudaFreeHost", "cudaMallocHost", "cudaFree", "cudaMalloc", "to device", "resize"]
    assert "launch graph" in machine.names()
    machine.total = machine.used() + 1000
    with pytest.raises(ModelError, match="a batch of 1 canvases of 64x64 pixels needs 12 MB of GPU memory, but"):
        segmenter.predict(np.zeros((2000, 2000, 3), np.uint8))
    machine.total = 1 << 30
    assert len(segmenter.predict(np.zeros((2000, 2000, 3), np.uint8))) == 2


def test_an_image_on_the_gpu_is_waited_for(segmenter: Segmenter, machine: Any, fake_cuda: Any) -> None:
    stream = machine.new_stream()
    image = on_gpu(machine, np.zeros((64, 64, 3), np.uint8), stream)
    address = image.__cuda_array_interface__["data"][0]

    def paint() -> None:
        machine.read(address, 64 * 64 * 3, fake_cuda.cudaMemoryType.cudaMemoryTypeDevice)[:] = 77

    machine.queue(stream, fake_cuda.Operation("paint", paint))
    segmenter.predict(image)
    assert (canvas(machine) == 77).all()


def test_images_on_the_gpu_that_are_none(segmenter: Segmenter, machine: Any) -> None:
    for shape in ((64, 64), (64, 64, 4), (0, 64, 3)):
        with pytest.raises(ArgumentError, match="Expected an RGB image as a uint8 array of shape"):
            segmenter.predict(on_gpu(machine, np.zeros(shape, np.uint8)))
    with pytest.raises(ArgumentError, match="lie on no GPU"):
        interface = {**on_gpu(machine, np.zeros((8, 8, 3), np.uint8)).__cuda_array_interface__, "data": (4096, False)}
        segmenter.predict(SimpleNamespace(shape=(8, 8, 3), __cuda_array_interface__=interface))


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (ValueError("frame 0 must be uint8"), ArgumentError, r"on the GPU cannot be used: frame 0 must be uint8\."),
        ("DeviceError", ModelError, r"could not be resized on the GPU: no kernel image\. Run `make plugins`"),
    ],
)
def test_what_the_kernel_refuses(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch, raised: Any, expected: type[Exception], message: str
) -> None:
    from maskrt.plugins.device import DeviceError
    from maskrt.runtime.backends.tensorrt import images as tensorrt_images

    def refuse(*_: object, **__: object) -> None:
        raise DeviceError("no kernel image") if raised == "DeviceError" else raised

    monkeypatch.setattr(tensorrt_images, "resize_pad", refuse)
    with pytest.raises(expected, match=message):
        segmenter.predict(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("framework", ["detectron2", "mmdet"])
@pytest.mark.parametrize("input_type", [TensorProto.UINT8, TensorProto.FLOAT])
def test_every_framework_resizes_on_the_gpu(
    write_model: Callable[..., Path],
    write_engine: Callable[..., Path],
    install: Callable[..., Any],
    machine: Any,
    rng: np.random.Generator,
    framework: str,
    input_type: int,
) -> None:
    """By the filter that the file's metadata name, with a workspace where that filter has one; images there, too."""
    install()
    pipeline = pipeline_of(framework, min_size=64, max_size=128)
    segmenter = Segmenter(write_engine(write_model(input_type=input_type, pipeline=asdict(pipeline))))
    for count in (2, 3, 1):
        images = random_images(rng, count)
        assert "canvas" not in vars(segmenter.preprocess(images).frames)
        expected = make_batch(images, pipeline, segmenter.input_dtype).canvas
        for given in (images, [on_gpu(machine, image) for image in images]):
            assert len(segmenter.predict(given)) == count
            np.testing.assert_array_equal(canvas(machine), expected)


def test_an_engine_of_detectron2_needs_no_pillow(
    write_model: Callable[..., Path],
    write_engine: Callable[..., Path],
    install: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install()
    model = write_model(pipeline=asdict(pipeline_of("detectron2", min_size=64, max_size=128)))
    monkeypatch.setitem(sys.modules, "PIL", None)
    Segmenter(write_engine(model))
    with pytest.raises(DependencyError, match="Pillow"):
        Segmenter(model)


def test_images_on_the_gpu_need_an_engine(write_model: Callable[..., Path], machine: Any) -> None:
    with pytest.raises(ArgumentError, match="Expected an RGB image as a uint8 array"):
        Segmenter(write_model()).predict(on_gpu(machine, np.zeros((8, 8, 3), np.uint8)))
