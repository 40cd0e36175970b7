"""Engines that TensorRT or TensorRT-RTX really built: on the fake GPU, and on a GPU where there is one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.contract.tensors import make_feed
from maskrt.plugins import libraries
from maskrt.runtime import ArgumentError, Instances, Segmenter
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.backends.tensorrt.masks import MaskPaster
from maskrt.runtime.cuda.device import Gpu
from maskrt.runtime.masks.paste import paste_counts
from maskrt.runtime.structures.masks import GridMasks
from maskrt.runtime.transforms.canvas import make_batch

Build = Callable[[str, Path], Path]


@pytest.fixture(scope="session")
def build(plugin_directory: Path, once: Any) -> Build:
    """`build("local", onnx)`: the demo model's engine for a target, built in a process of its own."""

    def build(target: str, onnx: Path) -> Path:
        def fill(folder: Path) -> None:
            profile = ("--min=1x256x256", "--opt=1x256x448", "--max=4x448x448")
            output = folder / "shapes.engine"
            command = [
                sys.executable,
                "-m",
                "maskrt.engines",
                onnx,
                f"--target={target}",
                f"--output={output}",
                *profile,
            ]
            environment = {**os.environ, libraries.DIRECTORY_VARIABLE: str(plugin_directory)}
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
            if "is not installed" in result.stderr:
                pytest.skip(result.stderr.strip())
            assert result.returncode == 0, result.stderr

        return once(f"runtime-{target}-{onnx.stem}", fill) / "shapes.engine"

    return build


@pytest.fixture(scope="session")
def scenes() -> list[np.ndarray]:
    """Pictures of the demo model's shapes, of different sizes."""
    pytest.importorskip("skimage", reason="scikit-image is not installed, which has photographs")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed, which has photographs")
    from maskrt.shapes.scenes import generate_scene

    return [generate_scene(seed, "test").image for seed in range(3)]


@pytest.mark.slow
def test_a_real_engine_and_its_manifest(
    build: Build, shapes_onnx: Path, machine: Any, install: Callable[..., Any], scenes: Sequence[np.ndarray]
) -> None:
    """Of an engine that TensorRT-RTX built, all is real but TensorRT's runtime, which runs the ONNX file instead."""
    if importlib.util.find_spec("tensorrt_rtx_bindings") is None:
        pytest.skip("tensorrt_rtx is not installed")
    path = build("rtx4090", shapes_onnx)
    install("tensorrt_rtx", "1.7.1.116")
    machine.engines[path.read_bytes()] = shapes_onnx.read_bytes()
    engine, reference = Segmenter(path), Segmenter(shapes_onnx, threads=1)
    assert engine.metadata == reference.metadata
    for scene in (scenes[0], scenes[1]):
        assert len(reference.predict(scene)) > 0
        assert engine.predict(scene).to_coco(1) == reference.predict(scene).to_coco(1)


@pytest.fixture(params=["uint8", "float32"])
def real(
    request: pytest.FixtureRequest, build: Build, plugin_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Segmenter, Segmenter]:
    """The demo model on this machine's GPU, and in ONNX Runtime on the CPU."""
    monkeypatch.setenv(libraries.DIRECTORY_VARIABLE, str(plugin_directory))
    onnx = request.getfixturevalue("shapes_onnx" if request.param == "uint8" else "shapes_float32_onnx")
    return Segmenter(build("local", onnx)), Segmenter(onnx, providers=["CPUExecutionProvider"])


def assert_close(found: Instances, expected: Instances) -> None:
    """The same objects, up to what another order of the sums changes in FP32."""
    from maskrt.evaluation.metrics.match import Detections as Matchable
    from maskrt.evaluation.metrics.match import match_detections

    sides = [Matchable(one.boxes, one.scores, one.labels) for one in (expected, found)]
    matching = match_detections(*sides)
    # What is on the threshold to the last bits may be there or not.
    for side, unmatched in ((expected, matching.missing), (found, matching.extra)):
        assert (np.abs(side.scores[unmatched] - 0.3) < 1e-3).all()
    one, other = matching.pairs.T
    assert len(one) > 0
    assert np.abs(expected.boxes[one] - found.boxes[other]).max() < 0.05
    assert np.abs(expected.scores[one] - found.scores[other]).max() < 1e-3
    assert np.abs(expected.mask_probabilities[one] - found.mask_probabilities[other]).max() < 5e-3


@pytest.mark.gpu
@pytest.mark.slow
def test_engine_and_onnx_file_give_the_same_instances(
    real: tuple[Segmenter, Segmenter], scenes: Sequence[np.ndarray]
) -> None:
    engine, reference = real
    for _ in range(3):  # one by one, captured, from the graph
        for scene in scenes:
            assert_close(engine.predict(scene, score_threshold=0.3), reference.predict(scene, score_threshold=0.3))
    batch = list(scenes)
    for found, expected in zip(
        engine.predict(batch, score_threshold=0.3), reference.predict(batch, score_threshold=0.3), strict=True
    ):
        assert_close(found, expected)


def run(segmenter: Segmenter, images: Any, image_sizes: np.ndarray) -> Detections:
    return segmenter._backend.run(make_feed(images, image_sizes, 0.3, 0.5))


def assert_same_bits(found: Detections, expected: Detections) -> None:
    assert list(found.outputs) == list(expected.outputs)
    for name, one in found.outputs.items():
        np.testing.assert_array_equal(one, expected.outputs[name], err_msg=name)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.filterwarnings("error:.*cannot be captured:RuntimeWarning")
def test_graph_and_one_by_one_give_the_same_bits(
    real: tuple[Segmenter, Segmenter], scenes: Sequence[np.ndarray]
) -> None:
    """And so do canvases resized on the CPU and on the GPU."""
    engine, _ = real
    for scene in scenes:
        batch = engine.preprocess([scene])
        first = run(engine, batch.frames, batch.image_sizes)
        for _ in range(3):
            assert_same_bits(run(engine, batch.frames, batch.image_sizes), first)
        for _ in range(3):
            assert_same_bits(run(engine, batch.canvas, batch.image_sizes), first)


@pytest.mark.gpu
@pytest.mark.slow
def test_masks_are_pasted_as_on_the_cpu(real: tuple[Segmenter, Segmenter], scenes: Sequence[np.ndarray]) -> None:
    engine, _ = real
    for scene in scenes:
        found = engine.predict(scene, score_threshold=0.05)
        grid = found.segmentations
        assert isinstance(grid, GridMasks)
        assert isinstance(grid.paste_counts, MaskPaster)
        assert found.rle() == replace(grid, paste_counts=paste_counts).rle()


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("library", ["torch", "cupy", "pycuda.gpuarray"])
def test_images_on_the_gpu(real: tuple[Segmenter, Segmenter], scenes: Sequence[np.ndarray], library: str) -> None:
    module: Any = pytest.importorskip(library)
    if library.startswith("pycuda"):
        pytest.importorskip("pycuda.autoprimaryctx")

    def put(array: np.ndarray) -> Any:
        if library == "torch":
            return module.from_numpy(array).cuda()
        return module.asarray(array) if library == "cupy" else module.to_gpu(array)

    engine, _ = real
    scene = np.ascontiguousarray(scenes[0])
    batch = make_batch([scene], engine.metadata.pipeline, engine.input_dtype)
    expected = run(engine, batch.canvas, batch.image_sizes)
    canvas, raw = put(batch.canvas), put(scene)
    for _ in range(3):
        assert_same_bits(run(engine, canvas, batch.image_sizes), expected)
        assert engine.predict(raw).to_coco(1) == engine.predict(scene).to_coco(1)
    assert_same_bits(run(engine, put(batch.canvas), batch.image_sizes), expected)  # elsewhere


@pytest.mark.gpu
@pytest.mark.slow
def test_work_that_torch_has_still_queued(real: tuple[Segmenter, Segmenter], scenes: Sequence[np.ndarray]) -> None:
    import torch

    engine, _ = real
    batch = make_batch([scenes[0]], engine.metadata.pipeline, engine.input_dtype)
    expected = run(engine, batch.canvas, batch.image_sizes)
    source = torch.from_numpy(batch.canvas).cuda()
    target = torch.zeros_like(source)
    busy = torch.randn(4096, 4096, device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda.current_stream().wait_stream(torch.cuda.default_stream())
        for _ in range(30):
            busy = busy @ busy
        target.copy_(source)
        assert_same_bits(run(engine, target, batch.image_sizes), expected)


@pytest.mark.gpu
@pytest.mark.slow
def test_eight_threads_on_the_gpu(real: tuple[Segmenter, Segmenter], scenes: Sequence[np.ndarray]) -> None:
    engine, _ = real
    expected = [engine.predict(scene).to_coco(1) for scene in scenes]
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: [engine.predict(scene).to_coco(1) for scene in scenes], range(40)):
            assert found == expected


@pytest.mark.gpu
@pytest.mark.slow
def test_a_thousand_runs_keep_their_memory(real: tuple[Segmenter, Segmenter], scenes: Sequence[np.ndarray]) -> None:
    engine, _ = real
    gpu = Gpu()
    for _ in range(10):
        engine.predict(scenes[0])
    free, _ = gpu.free_memory()
    for _ in range(1000):
        engine.predict(scenes[0])
    assert gpu.free_memory()[0] >= free - (8 << 20)  # other programs may take some


@pytest.mark.gpu
@pytest.mark.slow
def test_a_canvas_beyond_the_profile(real: tuple[Segmenter, Segmenter], scenes: Sequence[np.ndarray]) -> None:
    with pytest.raises(ArgumentError, match="maskrt infer --tile 448x448"):
        real[0].predict(list(scenes) * 2)
