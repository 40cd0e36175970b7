"""Fixtures of the runtime tests: fresh random numbers, a model small enough to build in a test, and a fake GPU."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

CLASS_NAMES = ["__background__", "disk", "star", "größe"]
# Three detections with boxes as fractions of the image (x1, y1, x2, y2), best score first.
BOXES = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0]], dtype=np.float32)
SCORES = np.array([0.9, 0.6, 0.3], dtype=np.float32)
LABELS = np.array([1, 2, 3], dtype=np.int32)


@pytest.fixture
def rng() -> np.random.Generator:
    """Different numbers in every run; the seed is shown when a test fails."""
    seed = np.random.SeedSequence().entropy
    print(f"seed of this run: {seed}")
    return np.random.default_rng(seed)


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., Path]:
    """`write_model(name="model.onnx", input_type=..., masks=True, **metadata)` -> path of a working model.

    It finds `BOXES` in every image, keeps those with a score above the threshold, and its masks are disks.
    """

    def write(
        name: str = "model.onnx", *, input_type: int = TensorProto.UINT8, masks: bool = True, **metadata: Any
    ) -> Path:
        path = tmp_path / name
        onnx.save(build_model(input_type, masks, metadata), path)
        return path

    return write


def build_model(input_type: int, with_masks: bool, metadata: dict[str, Any]) -> onnx.ModelProto:
    count = len(SCORES)
    y, x = np.mgrid[-13.5:14, -13.5:14]
    disk = (1 / (1 + np.exp(np.hypot(x, y) - 12))).astype(np.float32)
    constants = {
        "box_fractions": BOXES[None],
        "all_scores": SCORES[None],
        "all_labels": LABELS[None],
        "all_masks": np.broadcast_to(disk, (1, count, 28, 28)).copy(),
        "xyxy": np.array([1, 0, 1, 0]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "ones": np.array([1, 1]),
    }
    nodes = [
        helper.make_node("Shape", ["images"], ["batch"], start=0, end=1),
        helper.make_node("Cast", ["image_sizes"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["sizes", "xyxy"], ["corners"], axis=1),
        helper.make_node("Unsqueeze", ["corners", "one"], ["corners_3d"]),
        helper.make_node("Mul", ["box_fractions", "corners_3d"], ["boxes"]),
        helper.make_node("Concat", ["batch", "one"], ["repeat_2d"], axis=0),
        helper.make_node("Expand", ["all_scores", "repeat_2d"], ["scores"]),
        helper.make_node("Expand", ["all_labels", "repeat_2d"], ["labels"]),
        helper.make_node("Greater", ["scores", "score_threshold"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["kept_int"], to=TensorProto.INT32),
        helper.make_node("ReduceSum", ["kept_int", "one"], ["num_detections"], keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info("num_detections", TensorProto.INT32, ["B"]),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["B", count, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", count]),
        helper.make_tensor_value_info("labels", TensorProto.INT32, ["B", count]),
    ]
    if with_masks:
        nodes += [
            helper.make_node("Concat", ["batch", "one", "ones"], ["repeat_4d"], axis=0),
            helper.make_node("Expand", ["all_masks", "repeat_4d"], ["masks"]),
        ]
        outputs.append(helper.make_tensor_value_info("masks", TensorProto.FLOAT, ["B", count, 28, 28]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("images", input_type, ["B", "H", "W", 3]),
            helper.make_tensor_value_info("image_sizes", TensorProto.INT32, ["B", 2]),
            helper.make_tensor_value_info("score_threshold", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("nms_threshold", TensorProto.FLOAT, [1]),
        ],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    properties: dict[str, Any] = {
        "format": 1,
        "version": "0.1.0",
        "model_family": "torchvision.MaskRCNN" if with_masks else "torchvision.FasterRCNN",
        "class_names": CLASS_NAMES,
        "min_size": 64,
        "max_size": 128,
        "size_divisor": 32,
        "image_mean": [0.0, 0.0, 0.0],
        "image_std": [1.0, 1.0, 1.0],
        "score_threshold": 0.5,
        "nms_threshold": 0.5,
        "detections_per_image": count,
        "weights_sha256": "0" * 64,
        "precision": "fp32",
        **metadata,
    }
    helper.set_model_props(
        model,
        {f"maskrt.{key}": json.dumps(value) for key, value in properties.items() if value is not None},
    )
    return model


def load_fake(name: str) -> ModuleType:
    """A module of the folder `fakes`."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "fakes" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake_cuda() -> ModuleType:
    """The module fakes/fake_cuda.py."""
    load_fake("fake_machine")
    return load_fake("fake_cuda")


@pytest.fixture
def machine(fake_cuda: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fake machine with one GPU of compute capability 8.9, and no TensorRT; see fakes/fake_cuda.py."""
    machine = fake_cuda.Machine()
    for name in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", machine.module())
    for name in ("tensorrt", "tensorrt_lean", "tensorrt_dispatch", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    return machine


@pytest.fixture
def install(machine: Any, fake_cuda: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`install("tensorrt_rtx", "1.7.1.116")` puts a fake TensorRT, and the plugins for it, on the fake machine."""
    from maskrt.plugins.loader import PluginLibrary
    from maskrt.runtime.backends.tensorrt import engine as tensorrt_engine
    from maskrt.runtime.backends.tensorrt import images as tensorrt_images
    from maskrt.runtime.transforms.canvas import Frames

    fake_tensorrt = load_fake("fake_tensorrt")

    def load_plugins(trt: Any) -> None:
        machine.log.append(("load plugins", trt.__name__, trt.get_plugin_registry()))

    device = fake_cuda.cudaMemoryType.cudaMemoryTypeDevice

    def resize_pad(frames: Any, sizes: Any, canvas: Any, stream: int) -> None:
        def view(array: Any) -> np.ndarray:
            size = int(np.prod(array.shape)) * array.dtype.itemsize
            return machine.read(array.address, size, device).view(array.dtype).reshape(array.shape)

        def work() -> None:
            view(canvas)[...] = Frames([view(frame) for frame in frames], sizes, canvas.shape, canvas.dtype).canvas

        machine.log.append(("resize", view(canvas)))
        machine.queue(stream, fake_cuda.Operation("resize", work))

    def put(name: str = "tensorrt", version: str = "10.13.3.9") -> Any:
        trt = fake_tensorrt.make_module(name, version, machine, fake_cuda.Misuse, fake_cuda.Operation, device)
        trt.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, trt)
        library = PluginLibrary(Path("libmaskrt_plugins.so"), "0.1.0", "10.14.1", 13000, "89-real")
        monkeypatch.setattr(tensorrt_engine, "plugin_library", lambda: library)
        monkeypatch.setattr(tensorrt_engine, "load_plugins", load_plugins)
        monkeypatch.setattr(tensorrt_images, "resize_pad", resize_pad)
        return trt

    return put


@pytest.fixture
def write_engine(machine: Any, build_inputs: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """`write_engine(onnx, tensorrt_version=...)` -> an engine file, with its manifest, that the fake TensorRT runs.

    Its content is not an engine's; the fake machine knows which ONNX file it stands for. The keywords are those of
    `build_inputs`.
    """
    from maskrt.contract.manifest import Manifest, manifest_path
    from maskrt.contract.seal import read_metadata_properties

    def write(onnx_file: Path, name: str = "model.engine", **build: Any) -> Path:
        properties = read_metadata_properties(onnx_file)
        model = {key.removeprefix("maskrt."): json.loads(value) for key, value in properties.items()}
        content = f"engine of {onnx_file} {build}".encode()
        manifest = Manifest(
            len(content),
            hashlib.sha256(content).hexdigest(),
            build_inputs(onnx_file=onnx_file.name, **build),
            (),
            (),
            {"BatchedNMS": 2, "MultilevelRoIAlign": 2},
            model,
        )
        path = tmp_path / name
        path.write_bytes(content)
        manifest_path(path).write_text(manifest.to_json(), encoding="utf-8")
        machine.engines[content] = onnx_file.read_bytes()
        return path

    return write


@pytest.fixture
def engine_file(
    write_model: Callable[..., Path], write_engine: Callable[..., Path], install: Callable[..., Any]
) -> Path:
    """An engine of the tiny model, on a machine with the TensorRT for it."""
    install()
    return write_engine(write_model())


class Inference(NamedTuple):
    """How `maskrt-infer` ended: its exit code, what it said, and the folder with its results."""

    code: int
    out: str
    err: str
    folder: Path


@pytest.fixture
def infer(
    write_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Inference]:
    """`infer("photos", "--timings", model=..., output="out")` runs `maskrt-infer`, here on the tiny model."""
    from maskrt.runtime.infer import main

    def run(*arguments: object, model: Path | None = None, output: str = "out") -> Inference:
        given = [model or write_model(), *arguments, "--output", tmp_path / output, "--threads", 1]
        code = main([str(argument) for argument in given])
        return Inference(code, *capsys.readouterr(), tmp_path / output)

    return run


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """`make_clip("clip.mp4", times=..., size=(height, width), ...)` -> a video of noise, made with PyAV.

    `times` are those of its frames, in units of `time_base` seconds. The upper left quarter of every frame is red.
    `rotation`: degrees counter-clockwise, in the metadata. Keywords beyond these are options of the container.
    """
    from fractions import Fraction

    import av

    def make(
        name: str = "clip.mp4",
        times: Iterable[int] = range(12),
        *,
        time_base: Fraction = Fraction(1, 25),
        size: tuple[int, int] = (64, 96),
        rotation: int = 0,
        **options: str,
    ) -> Path:
        rng = np.random.default_rng(0)
        with av.open(tmp_path / name, "w", options=options) as container:
            stream = container.add_stream("h264", rate=25)
            stream.height, stream.width = size
            stream.codec_context.time_base = time_base
            stream.codec_context.gop_size = 4
            if rotation:
                stream.set_display_rotation(rotation)
            for time in times:
                image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                image[: size[0] // 2, : size[1] // 2] = (255, 0, 0)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = time, time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return tmp_path / name

    return make
