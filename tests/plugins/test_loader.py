"""Loading the plugin library: by plain dlopen, into TensorRT-RTX's registry, and into engines built without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import maskrt
from maskrt.plugins import abi, libraries, loader

CREATORS = """
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW | os.RTLD_LOCAL)
count = ctypes.c_int32()
library.getCreators.restype = ctypes.c_void_p
assert library.getCreators(ctypes.byref(count)) and count.value == int(sys.argv[2])
maps = open("/proc/self/maps").read()
assert "libcuda.so" not in maps and "nvinfer" not in maps and "tensorrt" not in maps.replace(sys.argv[1], "")
print("loaded")
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_plain_dlopen_without_tensorrt_or_driver(plugin_directory: Path) -> None:
    result = run_python(CREATORS, str(plugin_directory / libraries.PLUGINS), str(len(loader.PLUGIN_NAMES)))
    assert result.stdout == "loaded\n", result.stderr


def test_library_describes_itself(plugin_directory: Path, use_libraries: Callable[[Path], None]) -> None:
    use_libraries(plugin_directory)
    described = loader.plugin_library()
    assert described.path == plugin_directory / libraries.PLUGINS
    assert described.tensorrt_headers is not None
    assert int(described.tensorrt_headers.split(".")[0]) >= 10
    assert described.cuda >= 11000
    assert described.architectures


def test_missing_library_names_the_command(tmp_path: Path, use_libraries: Callable[[Path], None]) -> None:
    use_libraries(tmp_path)
    with pytest.raises(loader.PluginLibraryError, match=r"libmaskrt_plugins\.so does not exist\. Run `make plugins`"):
        loader.load_plugins(SimpleNamespace(__name__="tensorrt", __version__="10.14.1"))  # type: ignore[arg-type]


def test_truncated_library(plugin_directory: Path, tmp_path: Path, use_libraries: Callable[[Path], None]) -> None:
    content = (plugin_directory / libraries.PLUGINS).read_bytes()
    (tmp_path / libraries.PLUGINS).write_bytes(content[: len(content) // 3])
    use_libraries(tmp_path)
    with pytest.raises(loader.PluginLibraryError, match=r"is truncated or no library at all\. Run `make plugins`"):
        loader.plugin_library()


def compiled_library(folder: Path, source: str) -> Path:
    """Make a folder with a libmaskrt_plugins.so from C source."""
    (folder / "fake.c").write_text(source)
    command = ["gcc", "-shared", "-fPIC", str(folder / "fake.c"), "-o", str(folder / libraries.PLUGINS)]
    subprocess.run(command, check=True)
    return folder


def fake_library(folder: Path, *, abi_version: int = abi.ABI_VERSION, **described: Any) -> Path:
    """Make a folder with a libmaskrt_plugins.so that says these things of itself."""
    facts = {
        "version": maskrt.__version__,
        "tensorrt_headers": "10.14.1",
        "cuda": 13000,
        "architectures": "89-real",
        **described,
    }
    text = json.dumps(json.dumps(facts))
    return compiled_library(
        folder,
        f"int maskrt_abi_version(void) {{ return {abi_version}; }}"
        f"const char* maskrt_plugins_version(void) {{ return {text}; }}",
    )


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"abi_version": 99}, f"interface version 99, but this maskrt needs {abi.ABI_VERSION}"),
        ({"version": "0.0.1"}, f"is of maskrt 0.0.1, but this is maskrt {maskrt.__version__}"),
        ({"tensorrt_headers": None}, "built without TensorRT headers"),
        ({"tensorrt_headers": "11.2.0"}, "built for TensorRT 11.2.0, but TensorRT 10.3.0 is running"),
    ],
)
def test_library_that_does_not_fit(
    facts: dict, message: str, tmp_path: Path, use_libraries: Callable[[Path], None]
) -> None:
    use_libraries(fake_library(tmp_path, **facts))
    with pytest.raises(loader.PluginLibraryError, match=message) as error:
        loader.load_plugins(SimpleNamespace(__name__="tensorrt", __version__="10.3.0"))  # type: ignore[arg-type]
    assert "make plugins" in str(error.value)


def test_library_of_someone_else(tmp_path: Path, use_libraries: Callable[[Path], None]) -> None:
    use_libraries(compiled_library(tmp_path, "int nothing;"))
    with pytest.raises(loader.PluginLibraryError, match="is not a library of maskrt"):
        loader.plugin_library()


# Each test below runs in a process of its own: TensorRT's registry is global, and a crash must not end the test run.
PREAMBLE = """
import os, sys
os.environ["MASKRT_PLUGINS_DIR"] = sys.argv[1]
import numpy as np
import tensorrt_rtx as trt
from maskrt.plugins import loader
"""

REGISTRY = """
logger = trt.Logger(trt.Logger.ERROR)
registry = trt.get_plugin_registry()
assert loader.load_plugins(trt) == loader.load_plugins(trt)
names = [creator.name for creator in registry.all_creators]
assert all(names.count(name) == 1 for name in loader.PLUGIN_NAMES)
creators = {name: registry.get_creator(name, "1", "") for name in loader.PLUGIN_NAMES}

def create(name, **attributes):
    fields = []
    for key, value in attributes.items():
        if isinstance(value, str):
            fields.append(trt.PluginField(key, np.frombuffer(value.encode(), np.int8), trt.PluginFieldType.CHAR))
        else:
            array = np.atleast_1d(np.array(value, np.float32 if isinstance(value, (tuple, float)) else np.int32))
            kind = trt.PluginFieldType.FLOAT32 if array.dtype == np.float32 else trt.PluginFieldType.INT32
            fields.append(trt.PluginField(key, array, kind))
    collection = trt.PluginFieldCollection(fields)
    return creators[name].create_plugin("p", collection, trt.TensorRTPhase.BUILD)

good = dict(output_height=7, output_width=7, sampling_ratio=2, coordinate_transformation_mode="half_pixel",
            mode="avg", scales=(0.25, 0.125), level_thresholds=(112.0,))
assert create("MultilevelRoIAlign", **good) is not None
assert create("DecodeKeypoints", normalized=1) is not None
for change in (dict(output_height=0), dict(sampling_ratio=-1), dict(mode="median"), dict(scales=(0.25,)),
               dict(level_thresholds=(1.0, 2.0)), dict(coordinate_transformation_mode="asymmetric"),
               dict(scales=(0.25, -1.0)), dict(mode="max", sampling_ratio=0), dict(output_width=1.5)):
    print(sorted(change), file=sys.stderr, flush=True)
    assert create("MultilevelRoIAlign", **{**good, **change}) is None, change
assert create("DecodeKeypoints") is None
assert create("DecodeKeypoints", normalized=2) is None
print("registered")
"""


def test_tensorrt_rtx_registry_and_attributes(plugin_directory: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = run_python(PREAMBLE + REGISTRY, str(plugin_directory))
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("registered\n"), result.stdout
    for message in (
        "attribute output_height must be within 1 … 1024, but it is 0",
        'attribute mode must be "avg" or "max", but it is "median"',
        "attribute level_thresholds must have 0 … 0 floats, but it has 1",
        "attribute normalized must be one integer, but it is missing",
        'mode "max" needs a sampling_ratio of at least 1',
        "attribute output_width must be an integer",
        "attribute normalized must be within 0 … 1, but it is 2",
    ):
        assert message in result.stdout + result.stderr


ENGINE = """
import onnx
from onnx import TensorProto, helper
from maskrt.export.ops.keypoints import decode_keypoints_function
from maskrt.export.ops.roi_align import multilevel_roi_align_function

half = sys.argv[2] == "half"
kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
def value(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, shape)
def conv(i):
    weight = np.random.default_rng(i).standard_normal((32, 32, 3, 3)).astype(np.float16 if half else np.float32)
    return onnx.numpy_helper.from_array(weight, f"weight_{i}")

plugin = dict(domain="maskrt", plugin_version="1", plugin_namespace="")
align = dict(output_height=7, output_width=7, sampling_ratio=2, coordinate_transformation_mode="half_pixel",
             mode="avg", scales=[0.25, 0.125], level_thresholds=[112.0])
nodes = [
    helper.make_node("Conv", ["image_0", "weight_0"], ["feature_0"], pads=[1, 1, 1, 1]),
    helper.make_node("Conv", ["image_1", "weight_1"], ["feature_1"], pads=[1, 1, 1, 1]),
    helper.make_node("MultilevelRoIAlign", ["boxes", "feature_0", "feature_1"], ["pooled"], name="align",
                     **align, **plugin),
    helper.make_node("Conv", ["pooled", "weight_2"], ["head"], pads=[1, 1, 1, 1]),
    helper.make_node("DecodeKeypoints", ["boxes", "heatmaps"], ["keypoints"], name="decode", normalized=0, **plugin),
]
graph = helper.make_graph(
    nodes, "both",
    [value("image_0", kind, "b", 32, "h", "w"), value("image_1", kind, "b", 32, "h2", "w2"),
     value("boxes", TensorProto.FLOAT, "b", "n", 4), value("heatmaps", TensorProto.FLOAT, "bn", 17, 56, 56)],
    [value("head", kind, "bn", 32, 7, 7), value("keypoints", TensorProto.FLOAT, "b", "n", 17, 3)],
    [conv(0), conv(1), conv(2)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("maskrt", 1)],
                          functions=[decode_keypoints_function(), multilevel_roi_align_function(2)], ir_version=10)

logger = trt.Logger(trt.Logger.WARNING)
loader.load_plugins(trt)
builder = trt.Builder(logger)
network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
parser = trt.OnnxParser(network, logger)
assert parser.parse(model.SerializeToString()), [parser.get_error(i).desc() for i in range(parser.num_errors)]
layers = [network.get_layer(i) for i in range(network.num_layers)]
plugins = [layer.name for layer in layers if layer.type == trt.LayerType.PLUGIN_V3]
assert sorted(plugins) == ["align", "decode"], plugins
assert len(layers) <= 12, [layer.name for layer in layers]  # the function bodies would add dozens
shapes = {network.get_output(i).name: tuple(network.get_output(i).shape) for i in range(2)}
assert shapes == {"head": (-1, 32, 7, 7), "keypoints": (-1, -1, 17, 3)}, shapes

config = builder.create_builder_config()
config.num_compute_capabilities = 1
config.set_compute_capability(trt.ComputeCapability.SM89, 0)
profile = builder.create_optimization_profile()
for name, *sizes in (("image_0", (1, 32, 32, 32), (2, 32, 64, 64), (4, 32, 128, 128)),
                     ("image_1", (1, 32, 16, 16), (2, 32, 32, 32), (4, 32, 64, 64)),
                     ("boxes", (1, 1, 4), (2, 100, 4), (4, 100, 4)),
                     ("heatmaps", (1, 17, 56, 56), (200, 17, 56, 56), (400, 17, 56, 56))):
    profile.set_shape(name, *sizes)
config.add_optimization_profile(profile)
engine = builder.build_serialized_network(network, config)
assert engine is not None
print("engine", len(bytes(engine)) > 1000)
"""


@pytest.mark.parametrize("precision", ["float", "half"])
def test_tensorrt_rtx_builds_an_engine_with_both_plugins(plugin_directory: Path, precision: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = run_python(PREAMBLE + ENGINE, str(plugin_directory), precision)
    assert result.stdout.endswith("engine True\n"), f"{result.stdout}\n{result.stderr}"
