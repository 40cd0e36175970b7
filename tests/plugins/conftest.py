"""The compiled libraries, and the kernels run in two ways: emulated on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.contract.pipeline import Filter, Paste
from maskrt.plugins import build, device, libraries
from maskrt.plugins.attributes import TORCHVISION_PASTE, RoiAlignAttributes

EMULATOR = Path(__file__).parent / "emulator" / "emulated_plugins.cpp"
TENSORRT_EMULATOR = Path(__file__).parent / "emulator" / "emulated_tensorrt.cpp"
LIBRARY = "libemulated_tensorrt.so"  # of the emulated plugins


@pytest.fixture(scope="session")
def cuda_headers() -> Path:
    """Find the folder of the CUDA toolkit's headers."""
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc", path=f"{os.environ['PATH']}:/usr/local/cuda/bin")
    toolkits = (*([] if nvcc is None else [Path(nvcc).resolve().parents[1]]), Path("/usr/local/cuda"))
    for toolkit in toolkits:
        if (toolkit / "include" / "cuda_fp16.h").is_file():
            return toolkit / "include"
    pytest.skip("the CUDA headers are not installed")


@pytest.fixture(scope="session")
def host_directory(once: Callable[..., Path]) -> Path:
    """Give a folder with libmaskrt_host.so, built for this test run."""
    return once("host", lambda folder: build.build(folder, host_only=True))


@pytest.fixture(scope="session")
def emulated_directory(cuda_headers: Path, once: Callable[..., Path]) -> Path:
    """Give a folder with a libmaskrt_plugins.so whose kernels run on the CPU."""
    sources = build.SOURCE_DIRECTORY
    flags = ["-O2", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", "-Wno-unknown-pragmas"]
    includes = [f"-I{sources}", f"-I{sources / 'kernels'}", f"-I{cuda_headers}"]
    command = ["g++", *flags, *includes, str(EMULATOR), "-o", libraries.PLUGINS]
    return once("emulated", lambda folder: subprocess.run(command, cwd=folder, check=True))


@pytest.fixture(scope="session")
def emulated_plugins(
    cuda_headers: Path, emulated_directory: Path, plugin_directory: Path, once: Callable[..., Path]
) -> ctypes.CDLL:
    """Compile the plugins on the emulated kernels."""
    cache = plugin_directory / "CMakeCache.txt"
    settings = cache.read_text() if cache.is_file() else ""
    headers = re.search(r"^TENSORRT_INCLUDE_DIR:PATH=(/.*)$", settings, re.MULTILINE)
    if headers is None:
        pytest.skip("the plugins were built without TensorRT headers, or not here")
    includes = [f"-I{build.SOURCE_DIRECTORY}", f"-I{cuda_headers}", "-isystem", headers[1]]
    # By its path: under its name alone, the loader would take the real library for it where that is loaded already.
    kernels = str(emulated_directory / libraries.PLUGINS)
    command = [
        "g++",
        "-O1",
        "-std=c++17",
        "-shared",
        "-fPIC",
        *includes,
        str(TENSORRT_EMULATOR),
        kernels,
        "-o",
        LIBRARY,
    ]
    folder = once("emulated-tensorrt", lambda folder: subprocess.run(command, cwd=folder, check=True))
    return ctypes.CDLL(str(folder / LIBRARY))


@pytest.fixture
def use_libraries(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Give a function that makes maskrt look for its libraries in a folder, for one test."""
    return lambda folder: monkeypatch.setenv(libraries.DIRECTORY_VARIABLE, str(folder))


def output_shape(rois: np.ndarray, features: Sequence[np.ndarray], attributes: RoiAlignAttributes) -> tuple:
    """[B * R, C, P_h, P_w]."""
    bins = (attributes.output_height, attributes.output_width)
    return (rois.shape[0] * rois.shape[1], features[0].shape[1], *bins)


class _HostView(np.ndarray):
    """A NumPy array that passes, slices included, for one of the device; the emulated kernels take host pointers."""

    @property
    def __cuda_array_interface__(self) -> dict:
        return self.__array_interface__


SENTINEL = 77  # in outputs before a call, and behind what a call may write


class _Kernels(ABC):
    """Those that take arrays which a subclass puts where its kernels run."""

    @abstractmethod
    def _start(self) -> int:
        """Make the kernels the ones that `device` finds, and return the stream to use."""

    @abstractmethod
    def _put(self, array: np.ndarray) -> Any: ...

    @abstractmethod
    def _get(self, array: Any) -> np.ndarray: ...

    @abstractmethod
    def _put_frame(self, frame: np.ndarray) -> Any:
        """Like `_put` for a strided view of a one-dimensional array, of which nothing else may be read."""

    def resize_pad(
        self,
        frames: Sequence[np.ndarray],
        sizes: Sequence[tuple[int, int]],
        canvas_size: tuple[int, int],
        dtype: type,
        filter: Filter = "bilinear",
    ) -> np.ndarray:
        stream = self._start()
        canvas = self._put(np.full((len(frames) + 1, *canvas_size, 3), SENTINEL, dtype))
        needed = device.resize_pad_workspace_bytes([frame.shape[:2] for frame in frames], sizes, filter)
        assert (needed > 0) == (filter == "pillow_bilinear" and len(frames) > 0)
        workspace = self._put(np.random.default_rng(0).integers(0, 256, needed + 16, np.uint8))
        before = self._get(workspace).copy()
        inputs = [self._put_frame(frame) for frame in frames]
        device.resize_pad(inputs, sizes, canvas[:-1], stream, filter=filter, workspace=workspace[:needed])
        result = self._get(canvas)
        assert (result[-1] == SENTINEL).all(), "written behind the canvas"
        np.testing.assert_array_equal(self._get(workspace)[needed:], before[needed:])
        return result[:-1]

    def paste_rle(
        self,
        boxes: np.ndarray,
        mask_probabilities: np.ndarray,
        image_size: tuple[int, int],
        capacity: int,
        box_image_size: tuple[int, int] | None = None,
        num: int | None = None,
        paste: Paste = TORCHVISION_PASTE,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Return counts [capacity], lengths and total."""
        stream = self._start()
        counts = self._put(np.full(capacity + 16, SENTINEL, np.uint32))
        lengths, total = self._put(np.full(len(boxes), SENTINEL, np.int32)), self._put(np.full(1, SENTINEL, np.int64))
        needed = device.paste_rle_workspace_bytes(len(boxes), image_size[1])
        workspace = self._put(np.random.default_rng(0).integers(0, 256, needed + 16, np.uint8))
        before = self._get(workspace).copy()
        device.paste_rle(
            self._put(boxes),
            self._put(mask_probabilities),
            image_size,
            counts[:capacity],
            lengths,
            total,
            workspace[:needed],
            stream,
            box_image_size=box_image_size,
            num=None if num is None else self._put(np.array([num], np.int32)),
            paste=paste,
        )
        assert (self._get(counts)[capacity:] == SENTINEL).all(), "written behind counts"
        np.testing.assert_array_equal(self._get(workspace)[needed:], before[needed:])
        return self._get(counts)[:capacity], self._get(lengths), int(self._get(total)[0])

    def decode_keypoints(self, boxes: np.ndarray, heatmaps: np.ndarray, normalized: bool) -> np.ndarray:
        stream = self._start()
        shape = (*boxes.shape[:2], heatmaps.shape[1], 3)
        found = self._put(np.full((shape[0] + 1, *shape[1:]), SENTINEL, np.float32))
        device.decode_keypoints(self._put(boxes), self._put(heatmaps), found[:-1], stream, normalized=normalized)
        result = self._get(found)
        assert (result[-1] == SENTINEL).all(), "written behind the keypoints"
        return result[:-1]


class EmulatedKernels(_Kernels):
    """The kernels as C++ on the CPU, their threads in an order that `seed` shuffles."""

    def __init__(self, use: Callable[[Path], None], folder: Path) -> None:
        self.use, self.folder, self.seed = use, folder, 0
        self.order: np.ndarray | None = None  # of the last call of RoIAlign

    def _start(self) -> int:
        self.use(self.folder)
        ctypes.CDLL(str(self.folder / libraries.PLUGINS)).emulation_shuffle(self.seed)
        return 0

    def _put(self, array: np.ndarray) -> Any:
        return array.copy().view(_HostView)

    def _get(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def _put_frame(self, frame: np.ndarray) -> Any:
        return frame.view(_HostView)

    def roi_align(
        self,
        rois: np.ndarray,
        features: Sequence[np.ndarray],
        attributes: RoiAlignAttributes,
        channels_last: bool = False,
    ) -> np.ndarray:
        self._start()
        shape = output_shape(rois, features, attributes)
        output = np.full(shape, np.nan, features[0].dtype)
        if channels_last:
            output = np.ascontiguousarray(output.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
            features = [np.ascontiguousarray(f.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for f in features]
        arrays = [feature.view(_HostView) for feature in features]
        guarded = np.full(rois.shape[0] * rois.shape[1] + 16, SENTINEL, np.int32)
        order = guarded[:-16].reshape(rois.shape[:2]).view(_HostView)
        device.multilevel_roi_align(rois.view(_HostView), arrays, output.view(_HostView), attributes, order=order)
        assert (guarded[-16:] == SENTINEL).all(), "written behind the order"
        self.order = order
        return output

    def batched_nms(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        groups: np.ndarray,
        iou_threshold: np.ndarray,
        score_threshold: np.ndarray,
        max_output: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        self._start()
        batch, count, _ = boxes.shape
        num, indices = np.full(batch, 77, np.int32), np.full((batch, max_output), 77, np.int32)
        bytes_needed = device.batched_nms_workspace_bytes(batch, count, max_output)
        workspace = np.random.default_rng(self.seed).integers(0, 256, bytes_needed, np.uint8)
        arrays = (boxes, scores, groups, iou_threshold, score_threshold, num, indices, workspace)
        device.batched_nms(*(array.view(_HostView) for array in arrays))
        return num, indices


class GpuKernels(_Kernels):
    """The kernels on the GPU, through torch tensors."""

    def __init__(self, use: Callable[[Path], None], folder: Path) -> None:
        self.use, self.folder = use, folder

    def _start(self) -> int:
        import torch

        self.use(self.folder)
        return torch.cuda.current_stream().cuda_stream

    def _put(self, array: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(array).cuda()

    def _get(self, array: Any) -> np.ndarray:
        return array.cpu().numpy()

    def _put_frame(self, frame: np.ndarray) -> Any:
        import torch

        assert isinstance(frame.base, np.ndarray)
        offset = frame.ctypes.data - frame.base.ctypes.data
        return torch.as_strided(torch.from_numpy(frame.base).cuda(), frame.shape, frame.strides, offset)

    def roi_align(
        self,
        rois: np.ndarray,
        features: Sequence[np.ndarray],
        attributes: RoiAlignAttributes,
        channels_last: bool = False,
    ) -> np.ndarray:
        import torch

        self.use(self.folder)
        layout: Any = torch.channels_last if channels_last else torch.contiguous_format
        tensors = [torch.from_numpy(feature).cuda().contiguous(memory_format=layout) for feature in features]
        shape = output_shape(rois, features, attributes)
        output = torch.full(shape, torch.nan, dtype=tensors[0].dtype, device="cuda").contiguous(memory_format=layout)
        stream = torch.cuda.current_stream().cuda_stream
        order = torch.empty(rois.shape[:2], dtype=torch.int32, device="cuda")
        device.multilevel_roi_align(torch.from_numpy(rois).cuda(), tensors, output, attributes, stream, order=order)
        return output.cpu().numpy()

    def batched_nms(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        groups: np.ndarray,
        iou_threshold: np.ndarray,
        score_threshold: np.ndarray,
        max_output: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        import torch

        self.use(self.folder)
        batch, count, _ = boxes.shape
        num = torch.full((batch,), 77, dtype=torch.int32, device="cuda")
        indices = torch.full((batch, max_output), 77, dtype=torch.int32, device="cuda")
        bytes_needed = device.batched_nms_workspace_bytes(batch, count, max_output)
        workspace = torch.randint(0, 256, (bytes_needed,), dtype=torch.uint8, device="cuda")
        arrays = (boxes, scores, groups, iou_threshold, score_threshold)
        inputs = [torch.from_numpy(array).cuda() for array in arrays]
        stream = torch.cuda.current_stream().cuda_stream
        device.batched_nms(*inputs, num, indices, workspace, stream)
        return num.cpu().numpy(), indices.cpu().numpy()


@pytest.fixture
def emulated_kernels(emulated_directory: Path, use_libraries: Callable[[Path], None]) -> EmulatedKernels:
    """Give the kernels, emulated on the CPU."""
    return EmulatedKernels(use_libraries, emulated_directory)


@pytest.fixture
def gpu_kernels(plugin_directory: Path, use_libraries: Callable[[Path], None]) -> GpuKernels:
    """Give the kernels on the GPU."""
    return GpuKernels(use_libraries, plugin_directory)


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def kernels(request: pytest.FixtureRequest) -> Any:
    """Give the kernels: emulated on the CPU, and on the GPU."""
    return request.getfixturevalue(f"{request.param}_kernels")


@pytest.fixture
def reference(host_directory: Path, use_libraries: Callable[[Path], None]) -> Callable[..., Any]:
    """Give a function that calls one of maskrt.plugins.host with the host library of this test run."""

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        use_libraries(host_directory)
        return function(*arguments)

    return call


@pytest.fixture
def as_device_array() -> Callable[[np.ndarray], Any]:
    """Give a function that makes a NumPy array pass for one of the device, for calls that do not reach a launch."""
    return lambda array: array.view(_HostView)
