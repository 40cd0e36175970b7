"""What only a GPU shows: repeatability, CUDA graphs, memory errors and races, and sizes too large to emulate."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskrt.plugins import device, host
from maskrt.plugins.attributes import RoiAlignAttributes

pytestmark = pytest.mark.gpu

SCALES = (0.25, 0.125, 0.0625, 0.03125)
ATTRIBUTES = RoiAlignAttributes(7, 7, 2, SCALES, (112.0, 224.0, 448.0), "output_half_pixel")


def rois_and_features(batch: int, count: int, channels: int, dtype: torch.dtype) -> tuple[Any, list[Any]]:
    """[batch, count, 4] RoIs and channels-last features of a 512 x 640 canvas, on the GPU."""
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(batch, count, 2, generator=generator) * 500
    rois = torch.cat([start, start + torch.exp(torch.rand(batch, count, 2, generator=generator) * 6)], -1)
    features = [
        torch.randn(batch, channels, int(512 * s), int(640 * s), generator=generator)
        .to(dtype)
        .cuda()
        .contiguous(memory_format=torch.channels_last)
        for s in SCALES
    ]
    return rois.cuda(), features


def boxes_scores_groups(batch: int, count: int, groups: int) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    start = torch.rand(batch, count, 2, generator=generator) * 300
    boxes = torch.cat([start, start + torch.rand(batch, count, 2, generator=generator) * 80], -1)
    scores = (torch.rand(batch, count, generator=generator) * 1000).round() / 1000
    return [boxes.cuda(), scores.cuda(), torch.randint(0, groups, (batch, count), generator=generator).int().cuda()]


class Nms:
    """BatchedNMS on arrays that stay where they are.

    Args:
        iou: the threshold of the first image; those of the others lie above it.
        score: the same.
    """

    def __init__(self, batch: int, count: int, groups: int, iou: float, score: float, max_output: int) -> None:
        self.inputs = boxes_scores_groups(batch, count, groups)
        self.thresholds = [torch.linspace(value, value + 0.09, batch, device="cuda")[:, None] for value in (iou, score)]
        self.num = torch.full((batch,), 77, dtype=torch.int32, device="cuda")
        self.indices = torch.full((batch, max_output), 77, dtype=torch.int32, device="cuda")
        bytes_needed = device.batched_nms_workspace_bytes(batch, count, max_output)
        self.workspace = torch.randint(0, 256, (bytes_needed,), dtype=torch.uint8, device="cuda")

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        stream = torch.cuda.current_stream().cuda_stream
        device.batched_nms(*self.inputs, *self.thresholds, self.num, self.indices, self.workspace, stream)
        return self.num, self.indices

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        arrays = [array.cpu().numpy() for array in (*self.inputs, *self.thresholds)]
        return host.batched_nms(*arrays, self.indices.shape[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_full_size_roi_align_equals_host(
    dtype: torch.dtype, plugin_directory: Path, use_libraries: Callable[[Path], None]
) -> None:
    use_libraries(plugin_directory)
    rois, features = rois_and_features(2, 500, 256, dtype)
    output = torch.empty(1000, 256, 7, 7, dtype=dtype, device="cuda").contiguous(memory_format=torch.channels_last)
    device.multilevel_roi_align(rois, features, output, ATTRIBUTES, torch.cuda.current_stream().cuda_stream)
    arrays = [feature.contiguous().cpu().numpy() for feature in features]
    np.testing.assert_array_equal(
        output.cpu().numpy(), host.multilevel_roi_align(rois.cpu().numpy(), arrays, ATTRIBUTES)
    )


@pytest.mark.parametrize(
    ("batch", "count", "groups", "score", "max_output"),
    [(1, 5000, 5, -1.0, 1000), (1, 90_000, 90, 0.0, 100), (4, 90_000, 90, 0.9, 100), (1, 90_000, 1, 0.0, 1000)],
)
def test_full_size_nms_equals_host_and_repeats(
    batch: int,
    count: int,
    groups: int,
    score: float,
    max_output: int,
    plugin_directory: Path,
    use_libraries: Callable[[Path], None],
) -> None:
    use_libraries(plugin_directory)
    nms = Nms(batch, count, groups, 0.5, score, max_output)
    expected = nms.expected()
    for _ in range(5):
        nms.workspace.random_(0, 256)
        num, indices = nms()
        np.testing.assert_array_equal(num.cpu(), expected[0])
        np.testing.assert_array_equal(indices.cpu(), expected[1])


def test_roi_align_repeats_bit_for_bit(plugin_directory: Path, use_libraries: Callable[[Path], None]) -> None:
    use_libraries(plugin_directory)
    rois, features = rois_and_features(2, 300, 64, torch.float16)
    results = []
    for _ in range(5):
        output = torch.full((600, 64, 7, 7), torch.nan, dtype=torch.half, device="cuda")
        output = output.contiguous(memory_format=torch.channels_last)
        device.multilevel_roi_align(rois, features, output, ATTRIBUTES, torch.cuda.current_stream().cuda_stream)
        results.append(output.view(torch.int16))
    assert all(torch.equal(result, results[0]) for result in results)


def test_both_in_a_cuda_graph(plugin_directory: Path, use_libraries: Callable[[Path], None]) -> None:
    """Captured once, replayed on new inputs in the same places."""
    use_libraries(plugin_directory)
    nms = Nms(2, 9000, 9, 0.5, 0.3, 100)
    rois, features = rois_and_features(2, 100, 64, torch.float32)
    output = torch.zeros(200, 64, 7, 7, device="cuda").contiguous(memory_format=torch.channels_last)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        nms()
        device.multilevel_roi_align(rois, features, output, ATTRIBUTES, torch.cuda.current_stream().cuda_stream)
    for seed in range(3):
        generator = torch.Generator("cuda").manual_seed(seed)
        nms.inputs[1].uniform_(generator=generator)
        for threshold in nms.thresholds:
            threshold.uniform_(0.1, 0.9, generator=generator)
        rois += 3
        graph.replay()
        expected = nms.expected()
        np.testing.assert_array_equal(nms.num.cpu(), expected[0])
        np.testing.assert_array_equal(nms.indices.cpu(), expected[1])
        arrays = [feature.contiguous().cpu().numpy() for feature in features]
        np.testing.assert_array_equal(
            output.cpu().numpy(), host.multilevel_roi_align(rois.cpu().numpy(), arrays, ATTRIBUTES)
        )


def discs(count: int, image_size: tuple[int, int]) -> tuple[Any, Any]:
    """[count, 4] boxes of all sizes in and partly outside of the image, and [count, 28, 28] soft discs, on the GPU."""
    generator = torch.Generator().manual_seed(2)
    start = torch.rand(count, 2, generator=generator) * torch.tensor(image_size[::-1]) - 20
    boxes = torch.cat([start, start + torch.exp(torch.rand(count, 2, generator=generator) * 7)], -1)
    position = torch.linspace(-0.5, 0.5, 28)
    radius = torch.rand(count, 1, 1, generator=generator) * 0.8
    return boxes.cuda(), torch.sigmoid(20 * (radius - torch.hypot(position[:, None], position[None]))).cuda()


class Paste:
    """Mask pasting on arrays that stay where they are."""

    def __init__(self, count: int, image_size: tuple[int, int]) -> None:
        self.image_size = image_size
        self.boxes, self.masks = discs(count, image_size)
        self.counts = torch.zeros(count * 2 * image_size[1], dtype=torch.uint32, device="cuda")
        self.lengths = torch.zeros(count, dtype=torch.int32, device="cuda")
        self.total = torch.zeros(1, dtype=torch.int64, device="cuda")
        bytes_needed = device.paste_rle_workspace_bytes(count, image_size[1])
        self.workspace = torch.randint(0, 256, (bytes_needed,), dtype=torch.uint8, device="cuda")

    def __call__(self) -> None:
        stream = torch.cuda.current_stream().cuda_stream
        outputs = (self.counts, self.lengths, self.total, self.workspace)
        device.paste_rle(self.boxes, self.masks, self.image_size, *outputs, stream)

    def check(self) -> None:
        counts, lengths = host.paste_rle(self.boxes.cpu().numpy(), self.masks.cpu().numpy(), self.image_size)
        assert int(self.total) == len(counts)
        np.testing.assert_array_equal(self.counts.cpu().numpy()[: len(counts)], counts)
        np.testing.assert_array_equal(self.lengths.cpu().numpy(), lengths)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_full_size_resize_pad_equals_host(
    dtype: torch.dtype, plugin_directory: Path, use_libraries: Callable[[Path], None]
) -> None:
    use_libraries(plugin_directory)
    frames = [torch.randint(0, 256, (*size, 3), dtype=torch.uint8) for size in ((1080, 1920), (2160, 3840), (640, 427))]
    sizes = [(749, 1333), (750, 1333), (1199, 800)]
    canvas = torch.full((3, 1216, 1344, 3), 77, dtype=dtype, device="cuda")
    stream = torch.cuda.current_stream().cuda_stream
    device.resize_pad([frame.cuda() for frame in frames], sizes, canvas, stream)
    result = canvas.cpu().numpy()
    expected = host.resize_pad([frame.numpy() for frame in frames], sizes, (1216, 1344), result.dtype.type)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("count", "image_size"), [(100, (2160, 3840)), (1000, (1080, 1920)), (20, (11_585, 17_321))])
def test_full_size_paste_equals_host_and_repeats(
    count: int, image_size: tuple[int, int], plugin_directory: Path, use_libraries: Callable[[Path], None]
) -> None:
    use_libraries(plugin_directory)
    paste = Paste(count, image_size)
    for _ in range(3):
        paste.workspace.random_(0, 256)
        paste.counts.zero_()
        paste()
        paste.check()


def test_images_in_a_cuda_graph(plugin_directory: Path, use_libraries: Callable[[Path], None]) -> None:
    """Captured once, replayed on new pixels and new boxes in the same places."""
    use_libraries(plugin_directory)
    paste = Paste(30, (480, 640))
    frame = torch.zeros(480, 640, 3, dtype=torch.uint8, device="cuda")
    canvas = torch.zeros(1, 320, 416, 3, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        device.resize_pad([frame], [(300, 400)], canvas, torch.cuda.current_stream().cuda_stream)
        paste()
    for _ in range(3):
        frame.random_(0, 256)
        paste.boxes += 5
        graph.replay()
        expected = host.resize_pad([frame.cpu().numpy()], [(300, 400)], (320, 416), np.float32)
        np.testing.assert_array_equal(canvas.cpu().numpy(), expected)
        paste.check()


SANITIZED = [
    "test_device.py::test_roi_align_equals_host[gpu-half_pixel-avg-0-float16-True]",
    "test_device.py::test_roi_align_equals_host[gpu-half_pixel-max-2-float32-False]",
    "test_device.py::test_roi_align_channel_counts[gpu-13-False]",
    "test_device.py::test_batched_nms_equals_host[gpu-1-10000-1-200-0-0.02-0.0]",
    "test_device.py::test_batched_nms_equals_host[gpu-2-9000-90-100-100-0.5-0.5]",
    "test_nms_thresholds.py::test_a_batch_equals_one_by_one_calls[gpu-5-300-20]",
    "test_resize_pad.py::test_kernel_equals_host[gpu-uint8-bilinear-180]",
    "test_resize_pad.py::test_kernel_equals_host[gpu-float32-bilinear-181]",
    "test_resize_pad.py::test_kernel_equals_host[gpu-uint8-pillow_bilinear-180]",
    "test_resize_pad.py::test_kernel_equals_host[gpu-float32-pillow_bilinear-181]",
    "test_paste_rle.py::test_kernels_equal_host[gpu-integer_box-image_size1]",
    "test_paste_rle.py::test_kernels_equal_host[gpu-pixel_centers-image_size1]",
    "test_paste_rle.py::test_too_little_room[gpu]",
]


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_compute_sanitizer_finds_nothing(tool: str, plugin_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sanitizer = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:/usr/local/cuda/bin")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not installed")
    monkeypatch.setenv("MASKRT_PLUGINS_DIR", str(plugin_directory))
    monkeypatch.setenv("PYTORCH_NO_CUDA_MEMORY_CACHING", "1")  # so that every array is an allocation of its own
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # the tests within are no part of a parallel run
    # Only our kernels: torch's own, and its calls of the driver that fail by intention, are not what is tested here.
    check = [sanitizer, "--tool", tool, "--kernel-name", "kns=maskrt", "--error-exitcode", "99"]
    check += ["--target-processes", "application-only", "--launch-timeout", "0"]
    if tool == "memcheck":
        check += ["--report-api-errors", "no"]
    tests = [str(Path(__file__).parent / name) for name in SANITIZED]
    command = [*check, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert f"{len(SANITIZED)} passed" in result.stdout
    assert "ERROR SUMMARY: 0 errors" in result.stdout or "RACECHECK SUMMARY: 0 hazards" in result.stdout
