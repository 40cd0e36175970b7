"""Segmenter on OpenVINO engines of the tiny model: what it gives, and what is said where an engine does not fit."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from maskrt.contract.manifest import BuildInputs, EngineFile, Manifest, manifest_path, read_manifest
from maskrt.contract.seal import read_metadata_properties
from maskrt.contract.tensors import make_feed
from maskrt.runtime import ArgumentError, DependencyError, Instances, ModelError, Segmenter
from maskrt.runtime.backends.openvino import FILES, OpenVinoBackend, check_version, version_of

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")

WriteModel = Callable[..., Path]
WriteEngine = Callable[..., Path]

VERSION = version_of(openvino)


@pytest.fixture
def write_engine(tmp_path: Path) -> WriteEngine:
    """`write_engine(onnx, builder_version=...)` -> an engine with its manifest, beside the ONNX file.

    The keywords are fields of `BuildInputs`.
    """

    def write(onnx_file: Path, **build: Any) -> Path:
        engine = onnx_file.with_suffix(".openvino.xml")
        paths = [engine.with_suffix(suffix) for suffix in FILES]
        openvino.serialize(openvino.Core().read_model(onnx_file), *paths)
        properties = read_metadata_properties(onnx_file)
        inputs = BuildInputs("0.1.0", onnx_file.name, "00", "openvino", "openvino", VERSION, "fp32", {})
        manifest = Manifest(
            {path.suffix: EngineFile.of(path.read_bytes()) for path in paths},
            dataclasses.replace(inputs, **build),
            (),
            (),
            {},
            {key.removeprefix("maskrt."): json.loads(value) for key, value in properties.items()},
        )
        manifest_path(engine).write_text(manifest.to_json(), encoding="utf-8")
        return engine

    return write


@pytest.fixture
def engine(write_model: WriteModel, write_engine: WriteEngine) -> Path:
    """An engine of the tiny model."""
    return write_engine(write_model())


def image_of(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, dtype=np.uint8)


def records(instances: Instances | list[Instances]) -> list[Any]:
    found = [instances] if isinstance(instances, Instances) else instances
    return [one.to_coco(1) for one in found]


@pytest.mark.parametrize(
    ("input_type", "masks"), [(TensorProto.UINT8, True), (TensorProto.FLOAT, True), (TensorProto.UINT8, False)]
)
def test_the_same_instances_as_from_the_onnx_file(
    write_model: WriteModel, write_engine: WriteEngine, input_type: int, masks: bool
) -> None:
    onnx_file = write_model(input_type=input_type, masks=masks)
    engine, reference = Segmenter(write_engine(onnx_file)), Segmenter(onnx_file, threads=1)
    assert engine.metadata == reference.metadata
    assert engine.input_dtype == reference.input_dtype
    assert engine.providers[0].startswith(f"OpenVINO {VERSION} on ")
    images = [image_of(60, 40), image_of(90, 20), image_of(30, 30)]
    for one in (image_of(30, 50), images, image_of(128, 128)):
        for threshold in (0.1, 0.7):
            found = engine.predict(one, score_threshold=threshold)
            assert records(found) == records(reference.predict(one, score_threshold=threshold))
    thresholds = [0.1, 0.95, 0.7]
    found = engine.predict(images, score_threshold=thresholds)
    assert records(found) == records(reference.predict(images, score_threshold=thresholds))


def test_results_stay_when_the_next_image_is_run(engine: Path) -> None:
    backend = OpenVinoBackend(engine)
    feeds = [
        make_feed(np.zeros((1, size, 64, 3), np.uint8), np.array([[size, 64]], np.int32), score, 0.5)
        for size, score in ((64, 0.5), (96, 0.95))
    ]
    first = backend.run(feeds[0])
    before = {name: array.copy() for name, array in first.outputs.items()}
    backend.run(feeds[1])
    for name, array in first.outputs.items():
        np.testing.assert_array_equal(array, before[name])


def test_eight_threads(engine: Path, rng: np.random.Generator) -> None:
    segmenter = Segmenter(engine)
    images = [image_of(*rng.integers(8, 129, 2)) for _ in range(40)]
    expected = [records(segmenter.predict(image)) for image in images]

    def predict(first: int) -> list[Any]:
        return [records(segmenter.predict(image)) for image in images[first:] + images[:first]]

    with ThreadPoolExecutor(8) as pool:
        for first, found in enumerate(pool.map(predict, range(8))):
            assert found == expected[first:] + expected[:first]
    assert len(segmenter._backend._idle) <= 8  # type: ignore[attr-defined]


def test_threads_and_precision_reach_openvino(engine: Path) -> None:
    for threads in (1, 2):
        model = OpenVinoBackend(engine, threads=threads)._model
        assert model.get_property("INFERENCE_NUM_THREADS") == threads
        assert model.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where signals are handled differs")
def test_ctrl_c_after_an_engine_was_closed_in_another_thread(engine: Path) -> None:
    """Its memory for signals would be gone by then. In a process of its own, which a fault would end."""
    script = f"""
import ctypes, os, signal, threading
from pathlib import Path
from maskrt.runtime.backends.openvino import OpenVinoBackend
from maskrt.runtime.backends.signal_stack import SignalStack
library, stacks = ctypes.CDLL(None), [SignalStack(), SignalStack()]
library.sigaltstack(None, ctypes.byref(stacks[0]))
held = [OpenVinoBackend(Path({str(engine)!r}))]
library.sigaltstack(None, ctypes.byref(stacks[1]))
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print(*(stack.address for stack in stacks))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    before, after = result.stdout.split()
    assert before == after


def test_providers_are_onnx_runtimes(engine: Path) -> None:
    with pytest.raises(ArgumentError, match=r"providers is an option of ONNX Runtime, .*xml runs in OpenVINO"):
        Segmenter(engine, providers=["CPUExecutionProvider"])


def test_a_batch_that_openvino_refuses(engine: Path) -> None:
    backend = OpenVinoBackend(engine)
    feed = make_feed(np.zeros((2, 64, 64, 3), np.uint8), np.array([[64, 64]] * 2, np.int32), 0.5, 0.5)
    feed["image_sizes"] = feed["image_sizes"][:, :1]
    with pytest.raises(ModelError, match=r"OpenVINO failed on a batch of shape \[2, 64, 64, 3\]: \w+"):
        backend.run(feed)
    feed["image_sizes"] = np.array([[64, 64]] * 2, np.int32)
    assert backend.run(feed).num_detections.tolist() == [2, 2]


def test_files_that_are_missing(engine: Path) -> None:
    weights = engine.with_suffix(".bin")
    content = weights.read_bytes()
    weights.unlink()
    with pytest.raises(ModelError, match=r"model\.openvino\.bin cannot be read: No such file"):
        Segmenter(engine)
    weights.write_bytes(content)
    manifest_path(engine).unlink()
    with pytest.raises(ModelError, match=r"has no manifest: model\.openvino\.xml\.json should lie beside it"):
        Segmenter(engine)
    with pytest.raises(ModelError, match=r"there is no such file. `maskrt engine`"):
        Segmenter(engine.with_name("other.openvino.xml"))


@pytest.mark.parametrize("suffix", FILES)
def test_files_that_are_damaged(engine: Path, suffix: str) -> None:
    """OpenVINO does not see them."""
    path = engine.with_suffix(suffix)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ModelError, match=rf"model\.openvino\{suffix} is truncated.*`maskrt engine model.onnx"):
        Segmenter(engine)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=rf"model\.openvino\{suffix} is not the file that its manifest describes"):
        Segmenter(engine)


def test_a_manifest_that_was_edited(engine: Path) -> None:
    path = manifest_path(engine)
    path.write_text(path.read_text().replace('"score_threshold": 0.5', '"score_threshold": 0.4'))
    with pytest.raises(ModelError, match=r"openvino\.xml\.json is damaged or was edited: its checksum"):
        Segmenter(engine)


def test_the_manifest_of_another_builder(write_model: WriteModel, write_engine: WriteEngine) -> None:
    with pytest.raises(ModelError, match=r"'tensorrt' built the engine, which builds no \.openvino\.xml files"):
        Segmenter(write_engine(write_model(), builder="tensorrt"))


def test_what_openvino_cannot_read(engine: Path) -> None:
    """With a manifest that fits, as after a fault of the builder."""
    engine.write_bytes(b"<net/>")
    manifest = read_manifest(engine)
    files = {**manifest.files, ".xml": EngineFile.of(b"<net/>")}
    manifest_path(engine).write_text(dataclasses.replace(manifest, files=files).to_json())
    with pytest.raises(ModelError, match=rf"OpenVINO {VERSION} cannot load .*model\.openvino\.xml: \w+"):
        Segmenter(engine)


def test_not_a_maskrt_model(write_model: WriteModel, write_engine: WriteEngine) -> None:
    onnx_file = write_model()
    model = onnx.load(onnx_file)
    model.graph.output.pop()
    onnx.save(model, onnx_file)
    message = r"not the engine of a maskrt model: its inputs are images, .*, its outputs num_detections, .*, labels\."
    with pytest.raises(ModelError, match=message):
        Segmenter(write_engine(onnx_file))


@pytest.mark.parametrize("built", ["2026.4.1", "2026.4.0", "2025.4.1", "2023.3.0"])
def test_an_older_or_the_same_release_reads(built: str, build_inputs: Callable[..., BuildInputs]) -> None:
    manifest = Manifest({}, build_inputs(builder="openvino", builder_version=built), (), (), {}, {})
    check_version(Path("m.openvino.xml"), manifest, "2026.4.0")


@pytest.mark.parametrize("built", ["2026.5.0", "2026.10.0", "2027.0.0"])
def test_a_newer_release_is_refused(built: str, build_inputs: Callable[..., BuildInputs]) -> None:
    manifest = Manifest({}, build_inputs(builder="openvino", builder_version=built), (), (), {}, {})
    message = rf"built by OpenVINO {built}, but 2026\.4\.1 is installed here.*pip install \"openvino>={built}\".*again"
    with pytest.raises(ModelError, match=message):
        check_version(Path("m.openvino.xml"), manifest, "2026.4.1")


@pytest.mark.parametrize("built", ["", "2026", "x.y"])
def test_a_version_that_is_none(built: str, build_inputs: Callable[..., BuildInputs]) -> None:
    manifest = Manifest({}, build_inputs(builder="openvino", builder_version=built), (), (), {}, {})
    with pytest.raises(ModelError, match=r"m\.openvino\.xml\.json is damaged .*is no version of OpenVINO"):
        check_version(Path("m.openvino.xml"), manifest, "2026.4.1")


def test_without_openvino(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DependencyError, match=r"runs in OpenVINO, which cannot be imported.*maskrt\[openvino\]"):
        Segmenter(engine)
