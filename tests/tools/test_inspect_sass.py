"""What the compiler made of the kernels, read from the machine code where none of it can be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrt.plugins import libraries
from maskrt.tools import inspect_sass

LINES_OF_TAPS = [lines * columns for columns in (2, 3, 4) for lines in (2, 1, 2)]
"""Pixels that a bin of merged taps reads at once: two lines, and, where there are more, the third or these two."""


def is_merged(kernel: inspect_sass.KernelFacts) -> bool:
    return "channels-last" in kernel.kernel and kernel.kernel.endswith("avg ratio 2")


@pytest.fixture(scope="module")
def kernels(plugin_directory: Path) -> list[inspect_sass.KernelFacts]:
    if inspect_sass.find_cuobjdump() is None:
        pytest.skip("cuobjdump is not installed")
    return inspect_sass.inspect(plugin_directory / libraries.PLUGINS)


def test_every_kernel_is_there(kernels: list[inspect_sass.KernelFacts]) -> None:
    architectures = {kernel.architecture for kernel in kernels}
    # RoIAlign: float32 and float16, two layouts, two modes, ratio 2 and any; to a linear output, the mean; the order of
    # RoIs. NMS; proposals, but for the kernel that clears; detections. Resizing: three kinds of arithmetic and canvas,
    # in whole vectors or not; as Pillow does, two passes before. Pasting: two rules. Keypoints.
    assert len(kernels) == len(architectures) * (16 + 4 + 1 + 5 + 4 + 2 + 6 + (2 + 4) + 6 + 1)
    assert all(kernel.registers > 0 and kernel.instructions > 50 for kernel in kernels)


def test_no_kernel_uses_local_memory(kernels: list[inspect_sass.KernelFacts]) -> None:
    assert [kernel for kernel in kernels if kernel.stack or kernel.local_accesses] == []


def test_channels_last_features_are_read_and_written_16_bytes_at_a_time(
    kernels: list[inspect_sass.KernelFacts],
) -> None:
    chosen = [kernel for kernel in kernels if "channels-last" in kernel.kernel]
    assert chosen
    for kernel in chosen:
        loads = sum(LINES_OF_TAPS) if is_merged(kernel) else 4 * 2 * 2 if kernel.kernel.endswith("ratio 2") else 4
        assert kernel.loads_16 in (loads, loads + 1), kernel  # and one for the RoI on most architectures
        assert kernel.stores_16 == ("linear" not in kernel.kernel), kernel


def test_lines_of_a_bin_are_read_before_any_of_it_is_used(kernels: list[inspect_sass.KernelFacts]) -> None:
    chosen = [kernel for kernel in kernels if is_merged(kernel)]
    assert chosen
    for kernel in chosen:
        batches = sorted(kernel.load_batches[-len(LINES_OF_TAPS) :])
        assert batches == sorted(LINES_OF_TAPS), kernel


def test_frames_are_read_in_words_and_the_canvas_is_written_in_vectors(
    kernels: list[inspect_sass.KernelFacts],
) -> None:
    chosen = [kernel for kernel in kernels if kernel.kernel.startswith("resize_pad_kernel")]
    assert chosen
    for kernel in chosen:
        assert kernel.loads_8 == 2 * 2 * 2, kernel  # two pixels, two rows, two words
        assert kernel.stores_16 == kernel.kernel.endswith("float32 vectors"), kernel


def test_only_what_the_source_fuses_is_rounded_once(
    kernels: list[inspect_sass.KernelFacts], plugin_directory: Path
) -> None:
    """Contraction would give other bits than the host build and the runtime on the CPU."""
    fused = inspect_sass.fused_operations(plugin_directory / libraries.PLUGINS)
    assert fused["resize_pad_kernel float32 vectors"] == 3  # the source position, of a row and of two columns
    exact = ("resize_pad_kernel rounded", "pillow", "paste")
    assert {kernel: count for kernel, count in fused.items() if kernel.startswith(exact) and count} == {}
    assert fused["mask_kernel"] == 0
    assert fused["roi_align_kernel float16 channels-last avg ratio 2"] > 0


def test_blocks_fit_a_multiprocessor(kernels: list[inspect_sass.KernelFacts]) -> None:
    for kernel in kernels:
        threads = {"roi_align_kernel": 2 * 224, "roi_align_linear_kernel": 2 * 224}
        threads |= {"mask_kernel": 4 * 256, "merge_runs_kernel": 4 * 256}
        threads |= {"resize_pad_kernel": 8 * 128, "paste_tile_kernel": 4 * 128}
        threads["decode_keypoints_kernel"] = 6 * 128
        resident = threads.get(kernel.kernel.split()[0], 1024)
        assert resident * kernel.registers <= 65536, kernel
        assert kernel.shared <= 48 * 1024, kernel


def test_command_prints_a_table(
    kernels: list[inspect_sass.KernelFacts],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(inspect_sass, "inspect", lambda library: kernels)
    assert inspect_sass.main(["any.so"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(kernels)
    assert lines[0].startswith("kernel") and any(line.startswith("resolve_kernel") for line in lines)


def test_command_says_that_the_file_is_no_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if inspect_sass.find_cuobjdump() is None:
        pytest.skip("cuobjdump is not installed")
    (tmp_path / "empty.so").write_bytes(b"")
    assert inspect_sass.main([str(tmp_path / "empty.so")]) == 1
    assert "failed" in capsys.readouterr().err
