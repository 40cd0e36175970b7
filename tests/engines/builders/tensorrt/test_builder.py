"""Engines really built, by TensorRT-RTX without a GPU, each in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.contract.manifest import Manifest, check_engine_files, check_onnx, manifest_path, read_manifest
from maskrt.engines.build import default_output
from maskrt.engines.builders.tensorrt.builder import TENSORRT_RTX, runs_on
from maskrt.plugins import libraries
from maskrt.runtime.backends.tensorrt.manifest import Profile, TensorRtSettings, tensorrt_settings

pytest.importorskip("tensorrt_rtx")

Command = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN_LAYERS = {"DetectionOutput": 1, "GenerateProposals": 1, "MultilevelRoIAlign": 2}
CAPABILITIES = {"rtx3090": "8.6", "rtx4090": "8.9", "rtx5090": "12.0"}
SHAPES_PROFILE = Profile((1, 256, 256), (1, 256, 448), (4, 448, 448))


@pytest.fixture(scope="session")
def shapes_engine(
    maskrt_engine: Command, shapes_onnx: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`shapes_engine(target)`: the demo model's engine, built once."""
    folder = tmp_path_factory.mktemp("engines")

    def build(target: str) -> Path:
        engine = folder / f"shapes.{target}.engine"
        if not engine.exists():
            result = maskrt_engine(
                shapes_onnx, "--target", target, "--output", engine, *profile_options(SHAPES_PROFILE)
            )
            assert result.returncode == 0, result.stderr
            (folder / f"{target}.txt").write_text(result.stdout)
        return engine

    return build


def profile_options(profile: Profile) -> list[str]:
    points = (("min", profile.min), ("opt", profile.opt), ("max", profile.max))
    return [f"--{name}={'x'.join(map(str, canvas))}" for name, canvas in points]


def tensor_shapes(manifest: Manifest) -> dict[str, tuple[Any, ...]]:
    profile = settings_of(manifest).profile
    return {
        tensor.name: (tensor.dtype, tensor.at(profile.min), tensor.at(profile.max))
        for tensor in (*manifest.inputs, *manifest.outputs)
    }


def settings_of(manifest: Manifest) -> TensorRtSettings:
    return tensorrt_settings(Path("model.engine"), manifest)


@pytest.mark.slow
@pytest.mark.parametrize("target", CAPABILITIES)
def test_the_demo_model_becomes_an_engine(shapes_engine: Callable[[str], Path], shapes_onnx: Path, target: str) -> None:
    engine = shapes_engine(target)
    manifest = read_manifest(engine)
    check_engine_files(engine, manifest)
    check_onnx(engine, manifest, shapes_onnx)
    assert manifest.plugin_layers == PLUGIN_LAYERS
    assert settings_of(manifest).compute_capability == CAPABILITIES[target]
    assert (manifest.build.builder, manifest.build.precision) == ("tensorrt-rtx", "fp32")
    assert settings_of(manifest).profile == SHAPES_PROFILE
    assert manifest.files[".engine"].size > 30_000_000  # the weights are in it
    assert tensor_shapes(manifest) == {
        "images": ("uint8", (1, 256, 256, 3), (4, 448, 448, 3)),
        "image_sizes": ("int32", (1, 2), (4, 2)),
        "score_threshold": ("float32", (1, 1), (4, 1)),
        "nms_threshold": ("float32", (1, 1), (4, 1)),
        "num_detections": ("int32", (1,), (4,)),
        "boxes": ("float32", (1, 40, 4), (4, 40, 4)),
        "scores": ("float32", (1, 40), (4, 40)),
        "labels": ("int32", (1, 40), (4, 40)),
        "masks": ("float32", (1, 40, 28, 28), (4, 40, 28, 28)),
    }
    assert manifest.metadata(str(engine)).detections_per_image == 40
    assert sorted(path.name for path in engine.parent.glob(f"*{target}.engine*")) == [
        engine.name,
        manifest_path(engine).name,
    ]
    assert not list(engine.parent.glob(".*"))


@pytest.mark.slow
def test_the_summary(shapes_engine: Callable[[str], Path]) -> None:
    engine = shapes_engine("rtx4090")
    text = (engine.parent / "rtx4090.txt").read_text()
    size = engine.stat().st_size / 1e6
    assert f"{engine}: {size:.1f} MB" in text
    assert re.search(r"for +rtx4090, fp32, TensorRT-RTX 1\.", text)
    assert re.search(r"gpu +compute capability 8\.9", text)
    assert "min 1x256x256, opt 1x256x448, max 4x448x448" in text
    assert re.search(r"layers +\d+ in the network: \d+ \w+", text)
    assert "1 DetectionOutput, 1 GenerateProposals, 2 MultilevelRoIAlign" in text
    assert re.search(r"build +\d+\.\d s, peak memory \d+\.\d MB", text)
    print(text)


@pytest.mark.slow
def test_a_second_call_finds_the_engine(
    shapes_engine: Callable[[str], Path], maskrt_engine: Command, shapes_onnx: Path
) -> None:
    """And a call with another profile, or after damage, builds again, with the same manifest but for the engine's hash.

    TensorRT-RTX's engines differ from build to build.
    """
    engine = shapes_engine("rtx4090")
    options = (shapes_onnx, "--target", "rtx4090", "--output", engine)
    before, first = engine.stat().st_mtime_ns, manifest_path(engine).read_text()

    found = maskrt_engine(*options, *profile_options(SHAPES_PROFILE))
    assert found.returncode == 0, found.stderr
    assert f"{engine} is up to date: the same inputs built it before" in found.stdout
    assert engine.stat().st_mtime_ns == before

    engine.write_bytes(engine.read_bytes()[:-1])
    again = maskrt_engine(*options, *profile_options(SHAPES_PROFILE))
    assert again.returncode == 0, again.stderr
    assert "Building again" in again.stderr
    assert "is truncated" in again.stderr
    assert engine.stat().st_mtime_ns != before
    assert without_engine(first) == without_engine(manifest_path(engine).read_text())

    other = maskrt_engine(*options, "--workspace", 512, *profile_options(SHAPES_PROFILE))
    assert other.returncode == 0, other.stderr
    assert "up to date" not in other.stdout
    assert settings_of(read_manifest(engine)).workspace_mib == 512


def without_engine(manifest: str) -> dict[str, Any]:
    content = json.loads(manifest)
    return {key: value for key, value in content.items() if key not in ("files", "checksum")}


@pytest.mark.slow
def test_an_interrupt_leaves_nothing(plugin_directory: Path, shapes_onnx: Path, tmp_path: Path) -> None:
    engine = tmp_path / "a.engine"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(shapes_onnx), "--target", "rtx4090", "--output", str(engine)],
        env={**os.environ, libraries.DIRECTORY_VARIABLE: str(plugin_directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    process.send_signal(signal.SIGINT)
    start = time.perf_counter()
    _, errors = process.communicate(timeout=300)
    print(f"stopped after {time.perf_counter() - start:.1f} s")
    assert process.returncode == 130, errors
    assert errors.endswith("maskrt engine: interrupted; no half-written engine is left\n")
    assert list(tmp_path.iterdir()) == []


# Says when the builder is at work, from its first phase.
INTERRUPTED = """
import sys
from maskrt.engines import cli
from maskrt.engines.builders.tensorrt import builder, progress
class Told(progress.BuildProgress):
    told = False
    def phase_start(self, *arguments):
        if not Told.told:
            Told.told = True
            print("building", flush=True)
        super().phase_start(*arguments)
builder.BuildProgress = Told
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_full_disk_at_the_end_of_the_build(plugin_directory: Path, shapes_onnx: Path, tmp_path: Path) -> None:
    """The operating system refuses to flush the file, as it does when the disk is full."""
    engine = tmp_path / "a.engine"
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(shapes_onnx), "--target", "rtx4090", "--output", str(engine)],
        env={**os.environ, libraries.DIRECTORY_VARIABLE: str(plugin_directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 2, result.stderr
    assert re.search(r"maskrt engine: No room for .*a\.engine: it needs \d+\.\d MB", result.stderr)
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import errno, os, sys
from maskrt.engines import cli, files
def fsync(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
files.os.fsync = fsync
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_path_of_full_tensorrt(plugin_directory: Path, shapes_onnx: Path, tmp_path: Path) -> None:
    """TensorRT-RTX's module stands in for `tensorrt` 10.5: local functions dropped, Polygraphy's other configuration,
    timing cache. What only the real one shows is its parser and its kernels."""
    engine = tmp_path / "a.engine"
    options = ["--target=l4", "--builder=tensorrt", "--version-compatible", f"--output={engine}"]
    result = subprocess.run(
        [sys.executable, "-c", STAND_IN, str(shapes_onnx), *options],
        env={**os.environ, libraries.DIRECTORY_VARIABLE: str(plugin_directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(engine)
    check_engine_files(engine, manifest)
    assert (manifest.build.builder, manifest.build.builder_version) == ("tensorrt", "10.5.0.18")
    assert settings_of(manifest).version_compatible
    assert manifest.plugin_layers == PLUGIN_LAYERS
    assert (tmp_path / "tensorrt-10.5.0.18-8.9.timing").is_file()


STAND_IN = """
import sys, tensorrt_rtx
sys.modules["tensorrt"] = tensorrt_rtx
tensorrt_rtx.__version__ = "10.5.0.18"
from maskrt.engines import build, cli
from maskrt.engines.gpu import Gpu
build.local_gpu = lambda: Gpu("stand-in", "8.9")
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_resnet50_at_full_size(
    maskrt_engine: Command, tmp_path: Path, drawn_float32_onnx: Callable[[str], Path]
) -> None:
    onnx = tmp_path / "r50.onnx"
    onnx.symlink_to(drawn_float32_onnx("maskrcnn_resnet50_fpn"))
    profile = Profile((1, 320, 320), (1, 800, 1344), (8, 1344, 1344))
    for target, capability in CAPABILITIES.items():
        result = maskrt_engine(onnx, "--target", target, *profile_options(profile))
        assert result.returncode == 0, result.stderr
        print(result.stdout)
        engine = default_output(onnx, target, TENSORRT_RTX)
        manifest = read_manifest(engine)
        check_engine_files(engine, manifest)
        assert manifest.plugin_layers == PLUGIN_LAYERS
        assert (settings_of(manifest).compute_capability, settings_of(manifest).profile) == (capability, profile)
        assert tensor_shapes(manifest)["images"] == ("float32", (1, 320, 320, 3), (8, 1344, 1344, 3))
        assert tensor_shapes(manifest)["masks"] == ("float32", (1, 100, 28, 28), (8, 100, 28, 28))
        engine.unlink()


@pytest.mark.parametrize(
    ("architectures", "capability", "expected"),
    [
        ("89-real", "8.9", True),
        ("86-real", "8.9", True),
        ("89-real", "8.6", False),
        ("80-real 120-virtual", "9.0", False),
        ("75-real 90-virtual", "12.0", True),
        ("120-real;120-virtual", "12.1", True),
        ("89", "12.0", True),
        ("", "8.9", False),
    ],
)
def test_whether_plugin_code_runs(architectures: str, capability: str, expected: bool) -> None:
    assert runs_on(architectures, capability) is expected
