"""OpenVINO engines really built: the same detections as the ONNX file's, INT8 in INT8, and what is refused."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from maskrt.contract.manifest import check_onnx, manifest_path, model_sha256, read_manifest
from maskrt.contract.tensors import BOXES, LABELS, MASKS, NUM_DETECTIONS, SCORES, make_feed
from maskrt.engines import BuildOptions, BuildRequest, EngineError, build_engine, cli, files
from maskrt.engines.builders.openvino import add_missing_biases
from maskrt.evaluation.metrics.match import Detections, match_detections
from maskrt.runtime import ArgumentError, DependencyError, Segmenter
from maskrt.runtime.backends.openvino import OpenVinoBackend
from maskrt.runtime.backends.registry import open_backend

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")

Once = Callable[[str, Callable[[Path], object]], Path]
Outputs = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def build(once: Once) -> Callable[[Path], Path]:
    """`build(onnx)` -> its engine, built once."""

    def engine(onnx_file: Path) -> Path:
        name = f"{onnx_file.stem}.openvino.xml"

        def fill(folder: Path) -> None:
            build_engine(BuildRequest(onnx_file, "openvino", folder / name))

        return once(f"openvino-{onnx_file.parent.name}-{onnx_file.stem}", fill) / name

    return engine


def detections(path: Path, feed: dict[str, Any]) -> Outputs:
    return open_backend(path, threads=1).run(feed).outputs


def image_by_image(outputs: Outputs) -> Iterator[Outputs]:
    for number, count in enumerate(outputs[NUM_DETECTIONS]):
        yield {name: rows[number, :count] for name, rows in outputs.items() if name != NUM_DETECTIONS}


def scenes(first: int, count: int) -> list[np.ndarray]:
    from maskrt.shapes.scenes import generate_scene

    return [generate_scene(number, "test").image for number in range(first, first + count)]


def feed_of(onnx_file: Path, images: list[np.ndarray], score: Any, nms: Any) -> dict[str, Any]:
    batch = Segmenter(onnx_file, threads=1).preprocess(images)
    return make_feed(batch.canvas, batch.image_sizes, score, nms)


def test_manifest_and_files(build: Callable[[Path], Path], shapes_onnx: Path) -> None:
    engine = build(shapes_onnx)
    manifest = read_manifest(engine)
    check_onnx(engine, manifest, shapes_onnx)
    assert list(manifest.files) == [".xml", ".bin"]
    assert manifest.files[".bin"].size > 30_000_000  # the weights
    assert (manifest.build.builder, manifest.build.target, manifest.build.precision) == ("openvino", "openvino", "fp32")
    assert openvino.__version__.startswith(f"{manifest.build.builder_version}-")
    assert {tensor.name: (tensor.dtype, tensor.shape) for tensor in (*manifest.inputs, *manifest.outputs)} == {
        "images": ("uint8", (-1, -1, -1, 3)),
        "image_sizes": ("int32", (-1, 2)),
        "score_threshold": ("float32", (-1, 1)),
        "nms_threshold": ("float32", (-1, 1)),
        "num_detections": ("int32", (-1,)),
        "boxes": ("float32", (-1, 40, 4)),
        "scores": ("float32", (-1, 40)),
        "labels": ("int32", (-1, 40)),
        "masks": ("float32", (-1, 40, 28, 28)),
    }
    assert manifest.metadata(str(engine)) == Segmenter(shapes_onnx, threads=1).metadata
    assert model_sha256(engine) != manifest.files[".xml"].sha256
    assert not list(engine.parent.glob(".*"))


def test_the_same_detections_as_in_onnx_runtime(build: Callable[[Path], Path], shapes_onnx: Path) -> None:
    """For one image and for batches with thresholds of their own.

    Rounding may decide otherwise about one of two proposals that suppress each other, which moves a detection a little.
    """
    engine = build(shapes_onnx)
    total, others = 0, 0
    for first, score, nms in (
        (0, 0.05, 0.5),
        (1, [0.05, 0.3, 0.1], [0.5, 0.2, 0.7]),
        (4, [0.7, 0.05, 0.05, 0.4, 0.2], [0.9, 0.1, 0.5, 0.3, 0.6]),
    ):
        feed = feed_of(shapes_onnx, scenes(first, np.size(score)), score, nms)
        images = zip(*(image_by_image(detections(file, feed)) for file in (shapes_onnx, engine)), strict=True)
        for expected, found in images:
            assert len(expected[BOXES]) > 0
            total += len(expected[BOXES])
            others += len(found[BOXES]) - count_same(expected, found)
            others += max(0, len(expected[BOXES]) - len(found[BOXES]))
    assert total > 60
    assert others <= 0.04 * total


def count_same(expected: Outputs, found: Outputs) -> int:
    """How many of the expected detections are found, but for rounding."""
    sides = (Detections(side[BOXES], side[SCORES], side[LABELS]) for side in (expected, found))
    pairs = match_detections(*sides).pairs
    differences = {
        name: np.abs(expected[name][pairs[:, 0]] - found[name][pairs[:, 1]]) for name in (BOXES, SCORES, MASKS)
    }
    limits = {BOXES: 0.05, SCORES: 1e-4, MASKS: 1e-3}
    same = [value.reshape(len(pairs), -1).max(axis=1) < limits[name] for name, value in differences.items()]
    return int(np.logical_and.reduce(same).sum())


def test_a_batch_is_its_images_one_by_one(build: Callable[[Path], Path], shapes_onnx: Path) -> None:
    """Each image with its thresholds, whatever the others of the batch have."""
    engine, images = build(shapes_onnx), scenes(10, 4)
    images = [np.ascontiguousarray(image[:200, :200]) for image in images]  # one canvas for all of them
    scores, nms = [0.05, 0.6, 0.05, 0.3], [0.5, 0.3, 0.1, 0.8]
    together = image_by_image(detections(engine, feed_of(shapes_onnx, images, scores, nms)))
    for image, score, threshold, found in zip(images, scores, nms, together, strict=True):
        (alone,) = image_by_image(detections(engine, feed_of(shapes_onnx, [image], score, threshold)))
        np.testing.assert_array_equal(found[LABELS], alone[LABELS])
        assert np.abs(found[BOXES] - alone[BOXES]).max() < 1e-3
        assert np.abs(found[SCORES] - alone[SCORES]).max() < 1e-5


@pytest.mark.slow
def test_int8_runs_in_int8(build: Callable[[Path], Path], int8_onnx: Path) -> None:
    """Every layer that is quantized in the file, and the detections are those of ONNX Runtime, to what INT8 rounds."""
    engine = build(int8_onnx)
    graph = onnx.load(int8_onnx).graph
    dequantized = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    layers = ("Conv", "ConvTranspose", "Gemm")
    quantized = [node for node in graph.node if node.op_type in layers and dequantized.issuperset(node.input[:2])]
    model = OpenVinoBackend(engine, threads=1)._model.get_runtime_model()
    facts = [operation.get_rt_info() for operation in model.get_ops()]
    executed = [(str(fact["layerType"].value), str(fact["runtimePrecision"].value)) for fact in facts]
    kinds = ("Convolution", "Deconvolution", "ConvolutionBackpropData", "FullyConnected", "MatMul")
    precisions = [precision for kind, precision in executed if kind.startswith(kinds)]
    assert len(precisions) >= len(quantized) > 40
    assert set(precisions) <= {"i8", "u8"}

    feed = feed_of(int8_onnx, scenes(0, 1), 0.5, 0.5)
    (one,), (other,) = (list(image_by_image(detections(path, feed))) for path in (engine, int8_onnx))
    assert one[LABELS].tolist() == other[LABELS].tolist()
    assert np.abs(one[BOXES] - other[BOXES]).max() < 5


def test_a_missing_bias_keeps_the_scales_of_channels_where_they_belong(rng: np.random.Generator) -> None:
    """[B*R, 4C] to [B, R, C, 4] with R a multiple of 4C, as a box predictor without a bias has it."""
    regions, channels, features = 16, 8, 32
    constants = {
        "scale": np.float32(0.05),
        "zero": np.int8(0),
        "weights": rng.integers(-127, 128, (channels, features)).astype(np.int8),
        "scales": (10 ** rng.uniform(-4, -1, channels)).astype(np.float32),
        "zeros": np.zeros(channels, np.int8),
        "shape": np.array([-1, regions, channels // 4, 4]),
    }
    graph = onnx.parser.parse_graph(
        f"""
        predictor (float[N, {features}] x) => (float[B, {regions}, {channels // 4}, 4] y) {{
            q = QuantizeLinear (x, scale, zero)
            dequantized = DequantizeLinear (q, scale, zero)
            w = DequantizeLinear <axis: int = 0> (weights, scales, zeros)
            flat = Gemm <transB: int = 1> (dequantized, w)
            y = Reshape (flat, shape)
        }}
        """
    )
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    x = rng.standard_normal((2 * regions, features)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    add_missing_biases(model)
    onnx.checker.check_model(model)
    core = openvino.Core()
    found = core.compile_model(core.read_model(model.SerializeToString()), "CPU")({"x": x})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_second_call_finds_the_engine(shapes_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = tmp_path / "a.openvino.xml"
    options = [str(shapes_onnx), "--target=openvino", f"--output={engine}"]
    assert cli.main(options) == 0
    first = capsys.readouterr().out
    assert f"{engine}: " in first and f"{engine.with_suffix('.bin')}: " in first
    assert "for       openvino, fp32, OpenVINO 20" in first
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(before) == {engine, engine.with_suffix(".bin"), manifest_path(engine)}
    assert cli.main(options) == 0
    assert f"{engine} is up to date: the same inputs built it before" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    manifest = read_manifest(engine)
    engine.with_suffix(".bin").unlink()
    assert cli.main(options) == 0
    assert "Building again: " in capsys.readouterr().err
    again = read_manifest(engine)
    assert again.files[".bin"] == manifest.files[".bin"]  # in the other one OpenVINO counts what it has ever named
    assert dataclasses.replace(again, files=manifest.files) == manifest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BuildOptions(max=(1, 64, 64)), r"OpenVINO builds for every canvas: drop --max\."),
        (BuildOptions(workspace=512), r"OpenVINO chooses its kernels on the device: drop --workspace\."),
        (BuildOptions(timing_cache=Path("x")), r"drop --timing-cache\."),
        (BuildOptions(version_compatible=True), r"OpenVINO has no lean runtime: drop --version-compatible\."),
    ],
)
def test_options_of_tensorrt(skeleton_onnx: Path, options: BuildOptions, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        build_engine(BuildRequest(skeleton_onnx, "openvino", options=options))


def test_what_is_refused(
    skeleton_onnx: Path, write_skeleton: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArgumentError, match=r"TensorRT-RTX does not support openvino .*OpenVINO: --builder openvino\."):
        build_engine(BuildRequest(skeleton_onnx, "openvino", builder="tensorrt-rtx"))
    with pytest.raises(ArgumentError, match=r"OpenVINO does not support l4 .*--builder tensorrt\."):
        build_engine(BuildRequest(skeleton_onnx, "l4", builder="openvino"))
    with pytest.raises(ArgumentError, match=r"x\.xml must have a name and end in \.openvino\.xml"):
        build_engine(BuildRequest(skeleton_onnx, "openvino", tmp_path / "x.xml"))
    write_skeleton(tmp_path / "m.onnx", precision='"fp8"')
    with pytest.raises(ArgumentError, match=r"openvino .* has no fp8; it has fp32, fp16, int8"):
        build_engine(BuildRequest(tmp_path / "m.onnx", "openvino"))
    with pytest.raises(EngineError, match=r"OpenVINO 20\S+ cannot build .*skeleton\.onnx: .*MultilevelRoIAlign"):
        build_engine(BuildRequest(skeleton_onnx, "openvino"))
    assert [path.name for path in skeleton_onnx.parent.iterdir()] == [skeleton_onnx.name]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"OpenVINO is not installed.*`pip install maskrt\[openvino\]`"):
        build_engine(BuildRequest(skeleton_onnx, "openvino"))


def test_what_openvino_refuses_later_is_refused_when_it_is_built(
    shapes_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of its faults show only when it chooses kernels."""

    def compile_model(*_: object) -> None:
        raise RuntimeError("Exception from src/plugin.cpp:1:\nno kernel")

    monkeypatch.setattr(openvino.Core, "compile_model", compile_model)
    with pytest.raises(EngineError, match=r"OpenVINO 20\S+ cannot build .*shapes\.onnx: .*no kernel"):
        build_engine(BuildRequest(shapes_onnx, "openvino", tmp_path / "a.openvino.xml"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(shapes_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(EngineError, match=r"No room for .*a\.openvino\.xml: it needs \d+\.\d MB"):
        build_engine(BuildRequest(shapes_onnx, "openvino", tmp_path / "a.openvino.xml"))
    assert list(tmp_path.iterdir()) == []
