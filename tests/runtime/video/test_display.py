"""Flags beside the picture: what a viewer shows is what the model sees, or the video is refused."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from maskrt.errors import VideoError
from maskrt.runtime.video.display import square_pixels, upright
from maskrt.runtime.video.reader import VideoReader

ONE = 1 << 16


def picture(height: int = 64, width: int = 96) -> np.ndarray:
    """Four quarters of four colours, so that every turn and mirroring can be told."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 40, 40)
    image[: height // 2, width // 2 :] = (40, 200, 40)
    image[height // 2 :, : width // 2] = (40, 40, 200)
    image[height // 2 :, width // 2 :] = (200, 200, 200)
    return image


def write(path: Path, matrix: tuple[int, ...] | None = None, **flags: Any) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("h264", rate=25, options={"qp": "1"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, flags.pop("pix_fmt", "yuv444p")
        for name, value in flags.items():
            setattr(stream.codec_context, name, value)
        if matrix:
            stream.set_display_matrix(matrix)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(picture(), format="rgb24")
            matrices = {1: "ITU709", 5: "ITU601", 6: "ITU601"}
            frame = frame.reformat(
                format=stream.pix_fmt, dst_colorspace=matrices.get(flags.get("colorspace"), "ITU601")
            )
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path) -> np.ndarray:
    with VideoReader(str(path), threads=1) as reader:
        return [reader.to_rgb(frame) for frame in reader.pictures()][-1]


def close(image: np.ndarray, expected: np.ndarray) -> None:
    assert image.shape == expected.shape
    inside = np.abs(image.astype(int) - expected)
    assert np.median(inside) <= 2
    assert (inside <= 3).mean() > 0.9  # at the edges, colours are scaled


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1, 2), Fraction(16, 11), Fraction(12, 11), Fraction(4, 3)])
def test_pixels_become_square(tmp_path: Path, aspect: Fraction) -> None:
    image = read(write(tmp_path / "clip.mkv", sample_aspect_ratio=aspect))
    width, height = (round(96 * aspect), 64) if aspect > 1 else (96, round(64 / aspect))
    close(image, picture(height, width))


def test_pixels_that_are_none() -> None:
    assert square_pixels(10, 20, None, "a") == square_pixels(10, 20, Fraction(0), "a") == (10, 20)
    for aspect in (Fraction(1000), Fraction(1, 1000)):
        with pytest.raises(VideoError, match=r"a is damaged: its pixels are said to be"):
            square_pixels(10, 20, aspect, "a")


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize(
    ("a", "b", "c", "d", "seen"),
    [
        (1, 0, 0, 1, lambda image: image),
        (-1, 0, 0, 1, np.fliplr),
        (1, 0, 0, -1, np.flipud),
        (-1, 0, 0, -1, lambda image: np.rot90(image, 2)),
        (0, 1, -1, 0, lambda image: np.rot90(image, -1)),
        (0, -1, 1, 0, lambda image: np.rot90(image, 1)),
        (0, 1, 1, 0, lambda image: image.transpose(1, 0, 2)),
        (0, -1, -1, 0, lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
    ],
)
def test_turned_and_mirrored(tmp_path: Path, suffix: str, a: int, b: int, c: int, d: int, seen: Any) -> None:
    matrix = (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    close(read(write(tmp_path / f"clip.{suffix}", matrix)), seen(picture()))


@pytest.mark.parametrize("degrees", [5, 30, 45, 100, 200, -60])
def test_turned_by_another_angle(degrees: int) -> None:
    cos, sin = (round(ONE * value) for value in (math.cos(math.radians(degrees)), math.sin(math.radians(degrees))))
    with pytest.raises(VideoError, match=r"a is shown turned by an angle that is no multiple of 90 degrees"):
        upright(picture(), (cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30), "a")


def test_a_matrix_of_nothing() -> None:
    assert upright(picture(), (0,) * 9, "a") is not None


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuvj444p", "yuv420p", "yuvj420p", "yuv444p10le"])
@pytest.mark.parametrize("colorspace", [1, 6])
def test_range_and_matrix(tmp_path: Path, pix_fmt: str, colorspace: int) -> None:
    """Full range and limited, BT.709 and BT.601, 8 and 10 bits: the same colours."""
    flags = {"colorspace": colorspace, "color_range": 2 if "j" in pix_fmt else 1}
    close(read(write(tmp_path / "clip.mp4", pix_fmt=pix_fmt, **flags)), picture())


def test_hdr_is_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", pix_fmt="yuv420p10le", color_trc=16, color_primaries=9)
    with VideoReader(str(path), threads=1) as reader, pytest.raises(VideoError, match=r"clip.mp4 is HDR \(PQ\)"):
        next(reader.pictures())


def test_hlg_is_made_for_ordinary_screens_too(tmp_path: Path) -> None:
    assert read(write(tmp_path / "clip.mp4", pix_fmt="yuv420p10le", color_trc=18)).shape == (64, 96, 3)
