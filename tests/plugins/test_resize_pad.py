"""Resizing and padding: the host arithmetic against the runtime's and OpenCV's, the kernel against the host's."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.contract.pipeline import Filter
from maskrt.plugins import device, host, libraries
from maskrt.runtime.transforms.filters.registry import FILTERS

from ..support.pillow_rules import by_the_rules

CASES = 5000 if os.environ.get("MASKRT_LONG_TESTS") else 300
DTYPES = (np.uint8, np.float32)


def random_sizes(rng: np.random.Generator, count: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """(height, width) before and after: up and down, one side or both, long strips, halves, equal, single pixels."""
    for number in range(count):
        height, width, new_height, new_width = (int(side) for side in np.exp(rng.uniform(0, 5.3, 4)))
        kind = number % 10
        if kind == 0:
            width, new_width = (int(side) for side in rng.integers(1, 5000, 2))
            height, new_height = (int(side) for side in rng.integers(1, 9, 2))
        elif kind == 1:
            height, new_height = (int(side) for side in rng.integers(1, 5000, 2))
            width, new_width = (int(side) for side in rng.integers(1, 9, 2))
        elif kind == 2:
            height, width = 2 * new_height, 2 * new_width  # OpenCV goes another way here
        elif kind == 3:
            new_height, new_width = height, width
        yield (height, width), (new_height, new_width)


def resized(image: np.ndarray, size: tuple[int, int], dtype: type, filter: Filter = "bilinear") -> np.ndarray:
    """Resize as the runtime does on the CPU."""
    result = np.empty((*size, 3), dtype)
    FILTERS[filter].resize(image, size, result)
    return result


def along_x_first(source: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether all versions of Pillow do; from 13 on, y comes first for some images that shrink in height.

    Of those that keep their ratio of sides, these are more than about twice as high as wide.
    """
    ratio = (size[0] * source[1]) / (size[1] * source[0])
    return size[0] >= source[0] or (0.8 < ratio < 1.25 and 2 * source[0] < 3 * source[1])


def scaled_sizes(rng: np.random.Generator, count: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """(height, width) before and after: resized as detectors resize, with the ratio of sides kept."""
    for height, width, scale in zip(*rng.integers(40, 300, (2, count)), rng.uniform(0.2, 3, count), strict=True):
        yield (int(height), int(width)), (int(height * scale + 0.5), int(width * scale + 0.5))


@pytest.mark.parametrize("optimized", [True, False])
def test_host_equals_runtime(optimized: bool, reference: Callable[..., Any]) -> None:
    """Bit for bit, with OpenCV's vector instructions and without."""
    rng = np.random.default_rng(optimized)
    cv2.setUseOptimized(optimized)
    try:
        for source, size in random_sizes(rng, CASES):
            image = rng.integers(0, 256, (*source, 3), np.uint8)
            canvas_size = (size[0] + 2, size[1] + 1)
            for dtype in DTYPES:
                (slot,) = reference(host.resize_pad, [image], [size], canvas_size, dtype)
                expected = np.zeros((*canvas_size, 3), dtype)
                expected[: size[0], : size[1]] = resized(image, size, dtype)
                np.testing.assert_array_equal(slot, expected, err_msg=f"{source} to {size}")
    finally:
        cv2.setUseOptimized(True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_host_equals_opencv(dtype: type, reference: Callable[..., Any]) -> None:
    """Whole grey levels in a float32 canvas, too."""
    rng = np.random.default_rng()
    for source, size in random_sizes(rng, CASES // 2):
        image = rng.integers(0, 256, (*source, 3), np.uint8)
        (slot,) = reference(host.resize_pad, [image], [size], size, dtype, "opencv_bilinear")
        expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(slot, expected, err_msg=f"{source} to {size}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_host_equals_pillow(dtype: type, reference: Callable[..., Any]) -> None:
    """Pillow itself, and where its version decides which axis comes first, its arithmetic written out."""
    image_module = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng()
    for source, size in [*random_sizes(rng, CASES // 4), *scaled_sizes(rng, CASES // 4)]:
        image = rng.integers(0, 256, (*source, 3), np.uint8)
        (slot,) = reference(host.resize_pad, [image], [size], size, dtype, "pillow_bilinear")
        if along_x_first(source, size):
            expected = image_module.fromarray(image).resize(size[::-1], image_module.Resampling.BILINEAR)
            np.testing.assert_array_equal(slot, np.asarray(expected), err_msg=f"{source} to {size}")
        elif max(*source, *size) < 200:
            np.testing.assert_array_equal(slot, by_the_rules(image, size, (1, 0)), err_msg=f"{source} to {size}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("filter", FILTERS)
def test_host_equals_runtime_on_photographs(
    filter: Filter, dtype: type, photographs: dict[str, np.ndarray], reference: Callable[..., Any]
) -> None:
    for name, photograph in photographs.items():
        (slot,) = reference(host.resize_pad, [photograph], [(200, 301)], (224, 320), dtype, filter)
        expected = resized(photograph, (200, 301), dtype, filter)
        np.testing.assert_array_equal(slot[:200, :301], expected, err_msg=name)


def frame_in_memory(rng: np.random.Generator, height: int, width: int, offset: int, gap: int) -> np.ndarray:
    """Make a frame that starts `offset` bytes into a one-dimensional array, with `gap` bytes between its rows."""
    stride = 3 * width + gap
    memory = rng.integers(0, 256, offset + (height - 1) * stride + 3 * width, np.uint8)
    return np.ndarray((height, width, 3), np.uint8, memory, offset, (stride, 3, 1))


@pytest.mark.parametrize("width", [180, 181, 183])
@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernel_equals_host(
    kernels: Any, reference: Callable[..., Any], dtype: type, filter: Filter, width: int
) -> None:
    """Frames of all sizes in one batch, at any address, with gaps between rows; rows of whole vectors and others."""
    rng = np.random.default_rng(1)
    frames = [
        frame_in_memory(rng, *size)
        for size in ((1, 1, 0, 0), (1, 2, 5, 0), (3, 1, 2, 7), (40, 61, 3, 1), (90, 17, 0, 13), (9, 130, 1, 2))
    ]
    sizes = [(1, 1), (37, 59), (30, 50), (21, 180), (37, 1), (9, 130)]
    result = kernels.resize_pad(frames, sizes, (37, width), dtype, filter)
    np.testing.assert_array_equal(result, reference(host.resize_pad, frames, sizes, (37, width), dtype, filter))


@pytest.mark.parametrize("filter", ["bilinear", "pillow_bilinear"])
def test_more_frames_than_a_launch_takes(kernels: Any, reference: Callable[..., Any], filter: Filter) -> None:
    rng = np.random.default_rng(2)
    frames = [frame_in_memory(rng, *rng.integers(1, 9, 2), 0, 0) for _ in range(70)]
    sizes = [(int(height), int(width)) for height, width in rng.integers(1, (7, 9), (70, 2))]
    result = kernels.resize_pad(frames, sizes, (6, 8), np.uint8, filter)
    np.testing.assert_array_equal(result, reference(host.resize_pad, frames, sizes, (6, 8), np.uint8, filter))


def test_no_frames(kernels: Any) -> None:
    assert kernels.resize_pad([], [], (32, 32), np.uint8).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(("offset", "gap"), [(0, 0), (1, 0), (2, 3), (7, 1)])
def test_kernel_reads_nothing_outside_of_a_frame(offset: int, gap: int, filter: Filter, emulated_kernels: Any) -> None:
    """On a GPU compute-sanitizer looks: see test_gpu.py."""
    rng = np.random.default_rng(offset)
    watch = ctypes.CDLL(str(emulated_kernels.folder / libraries.PLUGINS)).emulation_watch
    watch.argtypes, watch.restype = (ctypes.c_void_p, ctypes.c_void_p), ctypes.c_bool
    for height, width in ((1, 1), (1, 3), (4, 5), (7, 11)):
        frame = frame_in_memory(rng, height, width, offset, gap)
        start = frame.ctypes.data
        end = start + (height - 1) * frame.strides[0] + 3 * width
        try:
            watch(start, end)
            emulated_kernels.resize_pad([frame], [(9, 13)], (9, 16), np.uint8, filter)
            strayed = watch(start, end - 1)
            emulated_kernels.resize_pad([frame], [(9, 13)], (9, 16), np.uint8, filter)
        finally:
            noticed = watch(0, 2**64 - 1)
        assert not strayed
        assert noticed  # the watch sees the last byte being read


def test_a_frame_of_more_than_4_gib(tmp_path: Path, emulated_kernels: Any, reference: Callable[..., Any]) -> None:
    """Five short rows, a GiB apart, in a file that is all hole but for them."""
    rng = np.random.default_rng(3)
    image, stride = rng.integers(0, 256, (5, 6, 3), np.uint8), 1 << 30
    with (tmp_path / "frame").open("wb") as file:
        for row in range(5):
            file.seek(row * stride)
            file.write(image[row].tobytes())
    memory = np.memmap(tmp_path / "frame", np.uint8, "r")
    frame = np.ndarray((5, 6, 3), np.uint8, memory, 0, (stride, 3, 1))
    for dtype in DTYPES:
        expected = resized(image, (7, 4), dtype)[None]
        np.testing.assert_array_equal(reference(host.resize_pad, [frame], [(7, 4)], (7, 4), dtype), expected)
        np.testing.assert_array_equal(emulated_kernels.resize_pad([frame], [(7, 4)], (7, 4), dtype), expected)


@pytest.mark.parametrize(
    ("frame", "size", "canvas", "message"),
    [
        (np.zeros((4, 5)), (4, 5), np.zeros((1, 8, 8, 3), np.uint8), r"frame 0 must be uint8 .* is float64"),
        (np.zeros((4, 5, 4), np.uint8), (4, 5), np.zeros((1, 8, 8, 3), np.uint8), r"\(any, any, 3\), but is uint8 of"),
        (np.zeros((0, 5, 3), np.uint8), (4, 5), np.zeros((1, 8, 8, 3), np.uint8), "at least one pixel, but is 0x5"),
        (np.zeros((4, 5, 3), np.uint8)[:, ::2], (4, 5), np.zeros((1, 8, 8, 3), np.uint8), "one after the other"),
        (np.zeros((4, 5, 3), np.uint8)[::-1], (4, 5), np.zeros((1, 8, 8, 3), np.uint8), "one after the other"),
        (np.zeros((4, 5, 3), np.uint8), (9, 5), np.zeros((1, 8, 8, 3), np.uint8), "become 9x5, but the canvas is 8x8"),
        (np.zeros((4, 5, 3), np.uint8), (4, 0), np.zeros((1, 8, 8, 3), np.uint8), "become 4x0"),
        (np.zeros((4, 5, 3), np.uint8), (4, 5), np.zeros((1, 8, 8, 3)), "uint8 or float32, but is float64"),
        (np.zeros((4, 5, 3), np.uint8), (4, 5), np.zeros((2, 8, 8, 3), np.uint8), r"canvas must be .* \(1, any"),
    ],
)
def test_device_says_what_does_not_fit(
    frame: np.ndarray, size: tuple[int, int], canvas: np.ndarray, message: str, as_device_array: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=message):
        device.resize_pad([as_device_array(frame)], [size], as_device_array(canvas))


def test_host_says_what_does_not_fit(reference: Callable[..., Any]) -> None:
    frame = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="refused the call"):
        reference(host.resize_pad, [frame], [(9, 5)], (8, 8), np.uint8)
    with pytest.raises(ValueError, match="one after the other"):
        reference(host.resize_pad, [frame[:, ::2]], [(4, 5)], (8, 8), np.uint8)
    with pytest.raises(ValueError, match="frame 0 must be uint8"):
        reference(host.resize_pad, [frame.astype(np.float32)], [(4, 5)], (8, 8), np.uint8)
    with pytest.raises(ValueError, match="must be uint8 or float32, but is to be float16"):
        reference(host.resize_pad, [frame], [(4, 5)], (8, 8), np.float16)
    with pytest.raises(ValueError, match="1 frames need as many sizes, but there are 2"):
        reference(host.resize_pad, [frame], [(4, 5)] * 2, (8, 8), np.uint8)


def test_device_needs_a_workspace_for_pillow(emulated_kernels: Any, as_device_array: Callable[..., Any]) -> None:
    emulated_kernels.resize_pad([], [], (8, 8), np.uint8)  # finds the library
    frame, canvas = np.zeros((4, 5, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)
    arguments: Any = ([as_device_array(frame)], [(8, 8)], as_device_array(canvas))
    needed = device.resize_pad_workspace_bytes([(4, 5)], [(8, 8)], "pillow_bilinear")
    # 4 rows of 24 numbers, padded to 32; two tables of 8 entries: first, count and at most 3 weights.
    assert needed == 4 * 32 + 2 * 8 * 5 * 4
    with pytest.raises(ValueError, match=f"the workspace must have {needed} bytes, but has 0"):
        device.resize_pad(*arguments, filter="pillow_bilinear")
    with pytest.raises(ValueError, match=f"the workspace must have {needed} bytes, but has {needed - 1}"):
        workspace = as_device_array(np.zeros(needed + 15, np.uint8))[: needed - 1]
        device.resize_pad(*arguments, filter="pillow_bilinear", workspace=workspace)


def test_device_needs_a_size_for_each_frame(as_device_array: Callable[..., Any]) -> None:
    frame, canvas = np.zeros((4, 5, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="1 frames need as many sizes, but there are 0"):
        device.resize_pad([as_device_array(frame)], [], as_device_array(canvas))
