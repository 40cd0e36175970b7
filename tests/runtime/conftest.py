"""Fixtures of the runtime tests: fresh random numbers, a model small enough to build in a test, and a fake GPU."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

import maskrt


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
    from maskrt.plugins.device import DeviceError
    from maskrt.plugins.loader import PluginLibrary
    from maskrt.runtime.backends.tensorrt import engine as tensorrt_engine
    from maskrt.runtime.backends.tensorrt import images as tensorrt_images
    from maskrt.runtime.backends.tensorrt import masks as tensorrt_masks
    from maskrt.runtime.masks.paste import paste_counts
    from maskrt.runtime.transforms.canvas import Frames

    fake_tensorrt = load_fake("fake_tensorrt")

    def load_plugins(trt: Any) -> None:
        machine.log.append(("load plugins", trt.__name__, trt.get_plugin_registry()))

    device = fake_cuda.cudaMemoryType.cudaMemoryTypeDevice

    def view(array: Any) -> np.ndarray:
        return machine.read(array.address, array.size, device).view(array.dtype).reshape(array.shape)

    def workspace_bytes(frame_sizes: Any, sizes: Any, filter: str) -> int:
        return 1000 * len(sizes) if filter == "pillow_bilinear" else 0

    def resize_pad(frames: Any, sizes: Any, canvas: Any, stream: int, *, filter: str, workspace: Any) -> None:
        needed = workspace_bytes(sizes, sizes, filter)
        assert (workspace is None) if needed == 0 else workspace.size >= needed

        def work() -> None:
            images = [view(frame) for frame in frames]
            if workspace is not None:
                view(workspace)[...] = 0xAB
            view(canvas)[...] = Frames(images, sizes, canvas.shape, canvas.dtype, filter).canvas

        machine.log.append(("resize", view(canvas)))
        machine.queue(stream, fake_cuda.Operation("resize", work))

    def paste_rle(boxes: Any, masks: Any, size: Any, *others: Any, paste: Any) -> None:
        counts, lengths, total, workspace, stream = others
        assert workspace.size >= 16 * len(view(boxes))
        if size[0] * size[1] > 1 << 20:
            raise DeviceError("the launch failed: the call is too large for one launch")

        def work() -> None:
            view(workspace)[...] = 0xAB
            found = list(paste_counts(view(boxes), view(masks), size, paste))
            runs, numbers = (np.concatenate(parts) for parts in zip(*found, strict=True))
            view(counts)[: len(runs)] = runs[: len(view(counts))]
            view(lengths)[...] = numbers
            view(total)[...] = len(runs)

        machine.log.append(("paste", len(view(counts))))
        machine.queue(stream, fake_cuda.Operation("paste", work))

    def put(name: str = "tensorrt", version: str = "10.13.3.9") -> Any:
        trt = fake_tensorrt.make_module(name, version, machine, fake_cuda.Misuse, fake_cuda.Operation, device)
        trt.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, trt)
        library = PluginLibrary(Path("libmaskrt_plugins.so"), maskrt.__version__, "10.14.1", 13000, "89-real")
        monkeypatch.setattr(tensorrt_engine, "plugin_library", lambda: library)
        monkeypatch.setattr(tensorrt_engine, "load_plugins", load_plugins)
        monkeypatch.setattr(tensorrt_images, "resize_pad", resize_pad)
        monkeypatch.setattr(tensorrt_images, "resize_pad_workspace_bytes", workspace_bytes)
        monkeypatch.setattr(tensorrt_masks, "paste_rle", paste_rle)
        monkeypatch.setattr(tensorrt_masks, "paste_rle_workspace_bytes", lambda instances, width: 16 * instances)
        return trt

    return put


@pytest.fixture
def write_engine(machine: Any, build_inputs: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """`write_engine(onnx, builder_version=...)` -> an engine file, with its manifest, that the fake TensorRT runs.

    Its content is not an engine's; the fake machine knows which ONNX file it stands for. The keywords are those of
    `build_inputs`.
    """
    from maskrt.contract.manifest import EngineFile, Manifest, manifest_path
    from maskrt.contract.seal import read_metadata_properties

    def write(onnx_file: Path, name: str = "model.engine", **build: Any) -> Path:
        properties = read_metadata_properties(onnx_file)
        model = {key.removeprefix("maskrt."): json.loads(value) for key, value in properties.items()}
        content = f"engine of {onnx_file} {build}".encode()
        manifest = Manifest(
            {".engine": EngineFile.of(content)},
            build_inputs(onnx_file=onnx_file.name, **build),
            (),
            (),
            {"DetectionOutput": 1, "GenerateProposals": 1, "MultilevelRoIAlign": 2},
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
    """How `maskrt infer` ended: its exit code, what it said, and the folder with its results."""

    code: int
    out: str
    err: str
    folder: Path


@pytest.fixture
def infer(
    write_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Inference]:
    """`infer("photos", "--timings", model=..., output="out")` runs `maskrt infer`, here on the tiny model."""
    from maskrt.runtime.infer import main

    def run(*arguments: object, model: Path | None = None, output: str = "out") -> Inference:
        given = [model or write_model(), "--images", *arguments, "--output", tmp_path / output, "--threads", 1]
        code = main([str(argument) for argument in given])
        return Inference(code, *capsys.readouterr(), tmp_path / output)

    return run


@pytest.fixture
def interrupted_infer(write_model: Callable[..., Path], tmp_path: Path) -> Callable[..., Inference]:
    """`interrupted_infer("picture", *images)` is `infer` in a process that a SIGINT ends; see interrupted_infer.py."""

    def run(scenario: str, *arguments: object) -> Inference:
        folder = tmp_path / "out"
        given = [write_model(), "--images", *arguments, "--output", folder, "--threads", 1]
        program = [sys.executable, str(Path(__file__).with_name("interrupted_infer.py")), scenario]
        process = subprocess.run([*program, *map(str, given)], capture_output=True, text=True, check=False, timeout=120)
        return Inference(process.returncode, process.stdout, process.stderr, folder)

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


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """`write_video(frames, name="pan.mp4")` -> a video of these frames, 25 a second."""
    import av

    def write(frames: list[np.ndarray], name: str = "pan.mp4") -> Path:
        with av.open(tmp_path / name, "w") as container:
            stream = container.add_stream("h264", rate=25, options={"crf": "12"})
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return tmp_path / name

    return write
