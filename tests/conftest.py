"""Fixtures that several folders of tests share: models, their exported files, and pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import maskrt
from maskrt.plugins import build, libraries

from .support.reference_models import REFERENCE_FILE, export_reference, load_reference
from .support.served import held, serve, tiny  # noqa: F401  # fixtures of several folders
from .support.small_model import build_model

Once = Callable[[str, Callable[[Path], object]], Path]


def pytest_configure() -> None:
    """A shell has the commands that it starts in the background ignore Ctrl-C, which some tests send."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # what the make that runs the tests says to those below it
        os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips GPU tests, with the reason, where there is no GPU."""
    if not any("gpu" in item.keywords for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="torch sees no NVIDIA GPU on this machine"))


def _lock(path: Path) -> contextlib.AbstractContextManager[object]:
    """A lock among the processes of a parallel run, which brings the package for it; a single one needs none."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return contextlib.nullcontext()
    from filelock import FileLock

    return FileLock(path)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """A function that gives a folder of a name, filled by one of the processes of a parallel run for all of them."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        path, done = root / f"once-{name}", root / f"once-{name}.done"
        with _lock(root / f"once-{name}.lock"):
            if not done.exists():
                path.mkdir(exist_ok=True)
                fill(path)
                done.touch()
        return path

    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Different numbers in every run; the seed is shown when a test fails."""
    seed = np.random.SeedSequence().entropy
    print(f"seed of this run: {seed}")
    return np.random.default_rng(seed)


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., Path]:
    """`write_model(name="model.onnx", input_type=..., masks=True, keypoints=False, **metadata)` -> a working model.

    It finds `BOXES` in every image, keeps those with a score above the threshold, and its masks are disks.
    """

    def write(
        name: str = "model.onnx",
        *,
        input_type: int = TensorProto.UINT8,
        masks: bool = True,
        keypoints: bool = False,
        **metadata: Any,
    ) -> Path:
        path = tmp_path / name
        onnx.save(build_model(input_type, masks, metadata, with_keypoints=keypoints), path)
        return path

    return write


@pytest.fixture(scope="session")
def build_inputs() -> Callable[..., Any]:
    """`build_inputs(builder_version=...)` -> the `BuildInputs` of a TensorRT engine.

    The keywords are its fields, and those of its settings.
    """
    from maskrt.contract.manifest import BuildInputs
    from maskrt.runtime.backends.tensorrt.manifest import Profile, TensorRtSettings

    settings = TensorRtSettings(
        compute_capability="8.9",
        plugin_version=maskrt.__version__,
        workspace_mib=4096,
        profile=Profile((1, 32, 32), (1, 64, 128), (8, 512, 512)),
    )
    inputs = BuildInputs(
        maskrt_version=maskrt.__version__,
        onnx_file="model.onnx",
        onnx_sha256="00",
        target="rtx4090",
        builder="tensorrt",
        builder_version="10.13.3.9",
        precision="fp32",
        settings=settings.to_json(),
    )

    def make(**fields: Any) -> BuildInputs:
        told = {field.name: fields.pop(field.name) for field in dataclasses.fields(settings) if field.name in fields}
        return dataclasses.replace(inputs, settings=dataclasses.replace(settings, **told).to_json(), **fields)

    return make


@pytest.fixture(scope="session")
def shapes_model():
    """The trained demo model in FP32 PyTorch."""
    pytest.importorskip("safetensors", reason="safetensors is not installed, which the demo model's weights need")
    from maskrt.shapes.model import shapes_model

    return shapes_model()


@pytest.fixture(scope="session")
def shapes_onnx(shapes_model, once: Once) -> Path:
    """The demo model as a maskrt ONNX file with uint8 input."""
    pytest.importorskip("onnxscript", reason="onnxscript is not installed, which exporting needs")
    from maskrt.export import export_onnx

    return once("shapes", lambda folder: export_onnx(shapes_model, folder / "shapes.onnx")) / "shapes.onnx"


@pytest.fixture(scope="session")
def shapes_float32_onnx(shapes_model, once: Once) -> Path:
    """The demo model as a maskrt ONNX file with float32 input, which does not round resized pixels."""
    from maskrt.export import export_onnx

    def export(folder: Path) -> None:
        export_onnx(shapes_model, folder / "shapes.onnx", input_type="float32", verify=False)

    return once("shapes-float32", export) / "shapes.onnx"


@pytest.fixture(scope="session")
def reference_source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """`reference_source(name)` -> the `SourceModel` of a reference model of detectron2 or mmdetection."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return functools.cache(lambda name: load_reference(name, folder))


@pytest.fixture(scope="session")
def reference_onnx(reference_source: Callable[[str], Any], once: Once) -> Callable[[str], Path]:
    """`reference_onnx(name)` -> the ONNX file of a reference model, with uint8 input."""

    def export(name: str) -> Path:
        return (
            once(f"reference-{name}", lambda folder: export_reference(reference_source(name), folder)) / REFERENCE_FILE
        )

    return export


@pytest.fixture(scope="session")
def keypoint_source() -> Any:
    """The `SourceModel` of a small Keypoint R-CNN of torchvision with drawn weights, and with masks, too."""
    from maskrt.export.families.base import describe_model

    from .support.torchvision_models import drawn, small_keypoint_rcnn

    model: Any = drawn(small_keypoint_rcnn(masks=True))
    model.class_names, model.keypoint_names = ["__background__", "cat", "dog", "cow"], ["nose", "neck", "tail"]
    return describe_model(model, source="small_keypoint_rcnn")


@pytest.fixture(scope="session")
def small_keypoint_onnx(keypoint_source: Any, once: Once) -> Path:
    """Its file with float32 input, which does not round resized pixels."""
    from maskrt.export import export_onnx

    def export(folder: Path) -> None:
        export_onnx(keypoint_source.model, folder / "keypoints.onnx", input_type="float32", verify=False)

    return once("small-keypoints", export) / "keypoints.onnx"


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten training scenes as PNG files."""
    import cv2

    from maskrt.shapes.scenes import generate_scene

    folder = tmp_path_factory.mktemp("scenes")
    for number in range(10):
        image = generate_scene(number, "train").image
        cv2.imwrite(str(folder / f"{number:02d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


@pytest.fixture(scope="session")
def int8_onnx(shapes_onnx: Path, scene_folder: Path, once: Once) -> Path:
    """The demo model in INT8, calibrated with ten scenes."""
    return _quantized(shapes_onnx, scene_folder, once, "int8")


@pytest.fixture(scope="session")
def fp8_onnx(shapes_onnx: Path, scene_folder: Path, once: Once) -> Path:
    """The demo model in FP8, calibrated with ten scenes."""
    return _quantized(shapes_onnx, scene_folder, once, "fp8")


def _quantized(shapes_onnx: Path, scene_folder: Path, once: Once, precision: str) -> Path:
    from maskrt.calibration import CalibrationOptions, quantize

    name = f"shapes.{precision}.onnx"
    return (
        once(precision, lambda f: quantize(shapes_onnx, f / name, precision, CalibrationOptions([scene_folder]))) / name
    )


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray]:
    """Real photographs `[H,W,3]` uint8 RGB."""
    from maskrt.shapes.backgrounds import photograph

    names = ("astronaut", "chelsea", "china.jpg", "coffee")
    return {name: np.ascontiguousarray(photograph(name)) for name in names}


@pytest.fixture(scope="session")
def drawn_model(photographs: dict[str, np.ndarray]) -> Callable[..., Any]:
    """Makes a torchvision model by name with weights that spread detections over classes and scores."""
    import torch
    from torchvision.models import detection

    from maskrt.tools.drawn_weights import draw_weights

    def make(name: str, **options: object) -> object:
        model = getattr(detection, name)(weights=None, weights_backbone=None, **options)
        images = [torch.from_numpy(photographs[key]).permute(2, 0, 1).float() / 255 for key in ("astronaut", "coffee")]
        return draw_weights(model, images)

    return make


@pytest.fixture(scope="session")
def drawn_float32_onnx(drawn_model: Callable[..., Any], once: Once) -> Callable[[str], Path]:
    """Exports a torchvision model of a name, with the weights of `drawn_model`, with float32 input."""
    from maskrt.export import export_onnx

    def export(name: str) -> Path:
        def fill(folder: Path) -> None:
            export_onnx(drawn_model(name), folder / f"{name}.onnx", input_type="float32", verify=False)

        return once(name, fill) / f"{name}.onnx"

    return export


@pytest.fixture(scope="session")
def plugin_directory(once: Once) -> Path:
    """A folder with all plugin libraries: the one that the environment names, or a build for all architectures."""
    if libraries.DIRECTORY_VARIABLE in os.environ:
        return libraries.directory()
    if shutil.which("nvcc", path=f"{os.environ['PATH']}:/usr/local/cuda/bin") is None:
        pytest.skip("nvcc is not installed")
    return once("plugins", build.build)
